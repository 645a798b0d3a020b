//! What the tests share: the built host, libraries and components, requests for a config, short runs.

pub mod components;
pub mod config;
pub mod decoder;
pub mod host;
pub mod library;
pub mod modules;
pub mod run;
pub mod slopes;

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .expect("core/ has a parent folder")
}

/// The golden file `name`.
pub fn golden(name: &str) -> PathBuf {
    root().join("tests/golden").join(name)
}

/// All files under `folder` with the given ending, build output left out.
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != "runs" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
