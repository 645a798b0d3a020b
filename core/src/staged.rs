//! A folder that is whole or not there: written beside its place, then renamed.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file operation that failed.
#[derive(Debug)]
pub(crate) struct FileError {
    /// The file or folder.
    pub(crate) path: PathBuf,
    /// The operating system's answer.
    pub(crate) source: io::Error,
}

impl FileError {
    fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}

/// A folder under construction: `.NAME.new` beside the place of `NAME`.
pub(crate) struct StagedFolder {
    place: PathBuf,
    new: PathBuf,
    old: PathBuf,
}

impl StagedFolder {
    /// Removes what an earlier attempt left, and makes an empty folder to write into.
    ///
    /// # Errors
    /// `place` does not name a folder; a folder cannot be removed or made.
    pub(crate) fn create(place: &Path) -> Result<Self, FileError> {
        let name = place.file_name().ok_or_else(|| FileError {
            path: place.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "not a folder name"),
        })?;
        let parent = match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(FileError::of(parent))?;
        let beside = |suffix: &str| {
            let mut other = OsString::from(".");
            other.push(name);
            other.push(suffix);
            parent.join(other)
        };
        let staged = Self {
            place: place.to_owned(),
            new: beside(".new"),
            old: beside(".old"),
        };
        remove_folder(&staged.new)?;
        remove_folder(&staged.old)?;
        fs::create_dir(&staged.new).map_err(FileError::of(&staged.new))?;
        Ok(staged)
    }

    /// The folder to write into.
    pub(crate) fn path(&self) -> &Path {
        &self.new
    }

    /// Moves the folder to its place. A folder that was there is removed.
    ///
    /// # Errors
    /// A folder cannot be renamed or removed.
    pub(crate) fn commit(self) -> Result<(), FileError> {
        // One rename cannot replace a folder: the old one steps aside first.
        if self.place.exists() {
            fs::rename(&self.place, &self.old).map_err(FileError::of(&self.place))?;
        }
        fs::rename(&self.new, &self.place).map_err(FileError::of(&self.place))?;
        remove_folder(&self.old)
    }
}

/// Removes a folder with everything in it; a folder that is not there is fine.
///
/// # Errors
/// The folder cannot be removed.
pub(crate) fn remove_folder(folder: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(FileError::of(folder)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_replaced_whole_and_leaves_nothing_behind() {
        let parent = tempfile::tempdir().expect("a folder");
        let place = parent.path().join("model");
        fs::create_dir(&place).expect("the old folder");
        fs::write(place.join("old"), "1").expect("an old file");
        fs::create_dir(parent.path().join(".model.new")).expect("what a kill left");
        fs::write(parent.path().join(".model.new/half"), "2").expect("half a file");

        let staged = StagedFolder::create(&place).expect("a new folder");
        fs::write(staged.path().join("new"), "3").expect("a new file");
        assert!(place.join("old").exists(), "the old folder stays until the commit");
        staged.commit().expect("renamed");

        let names = |folder: &Path| -> Vec<OsString> {
            let entries = fs::read_dir(folder).expect("a folder");
            entries.map(|entry| entry.expect("an entry").file_name()).collect()
        };
        assert_eq!(names(&place), ["new"]);
        assert_eq!(names(parent.path()), ["model"]);
        assert!(StagedFolder::create(Path::new("/")).is_err());
    }
}
