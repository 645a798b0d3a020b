//! Writes a run's page, with its figures and tables beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{error::ReportError, page::page, runs::RunData};
use crate::error::Error;

/// Writes `report.html` into the run folder, and its figures and tables into `report/` there. Returns the page's path.
///
/// # Errors
/// The folder is no run, a file in it holds something else, or the folder cannot be written.
pub fn write_page(run: &Path) -> Result<PathBuf, Error> {
    let page = page(&RunData::read(run)?)?;
    let folder = run.join("report");
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ReportError::Io { path, source }
    };
    fs::create_dir_all(&folder).map_err(io(&folder))?;
    for (name, text) in &page.files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(io(&path))?;
    }
    let (path, new) = (run.join("report.html"), run.join(".report.html.new"));
    fs::write(&new, &page.html)
        .and_then(|()| fs::rename(&new, &path))
        .map_err(io(&path))?;
    Ok(path)
}
