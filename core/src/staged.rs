//! Files and folders that are whole or not there, also after a loss of power: written beside their place, forced to the
//! disk, then renamed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
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
    /// Of what the operating system says of `path`.
    pub(crate) fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}

/// The folder that `path` stands in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// `path` with a dot before its name and `ending` after it: where what becomes `path` is written.
fn beside(path: &Path, ending: &str) -> Result<PathBuf, FileError> {
    let name = path.file_name().ok_or_else(|| FileError {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file or folder"),
    })?;
    let mut other = OsString::from(".");
    other.push(name);
    other.push(ending);
    Ok(folder_of(path).join(other))
}

/// Forces the entries of a folder to the disk.
///
/// # Errors
/// The system refuses.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(FileError::of(folder))
}

/// Writes a file: after a kill or a loss of power `path` holds what it held before, or `bytes`.
///
/// # Errors
/// The file cannot be written, forced to the disk or renamed; `path` is as it was then.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let new = beside(path, ".new")?;
    let written = File::create(&new)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&new); // what stopped the writing is the error to show
        return Err(FileError::of(path)(error));
    }
    sync_folder(folder_of(path))
}

/// A folder under construction: `.NAME.moa-new` beside the place of `NAME`.
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
        let (new, old) = (beside(place, ".moa-new")?, beside(place, ".moa-old")?);
        let parent = folder_of(place);
        fs::create_dir_all(parent).map_err(FileError::of(parent))?;
        remove_folder(&new)?;
        remove_folder(&old)?;
        fs::create_dir(&new).map_err(FileError::of(&new))?;
        Ok(Self {
            place: place.to_owned(),
            new,
            old,
        })
    }

    /// The folder to write into.
    pub(crate) fn path(&self) -> &Path {
        &self.new
    }

    /// Moves the folder to its place. A folder that was there is removed: the caller knows that it may be. The files have
    /// been forced to the disk before.
    ///
    /// # Errors
    /// A folder cannot be renamed or removed.
    pub(crate) fn commit(self) -> Result<(), FileError> {
        // One rename cannot replace a folder: the old one steps aside first.
        if self.place.exists() {
            fs::rename(&self.place, &self.old).map_err(FileError::of(&self.place))?;
        }
        fs::rename(&self.new, &self.place).map_err(FileError::of(&self.place))?;
        sync_folder(folder_of(&self.place))?;
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
        fs::create_dir(parent.path().join(".model.moa-new")).expect("what a kill left");
        fs::write(parent.path().join(".model.moa-new/half"), "2").expect("half a file");

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

    #[test]
    fn a_file_is_replaced_whole_or_left_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("test.json");
        write_file(&path, b"1").expect("written");
        write_file(&path, b"2").expect("written again");
        assert_eq!(fs::read(&path).expect("there"), b"2");
        fs::create_dir(folder.path().join(".test.json.new")).expect("an obstacle");
        assert!(write_file(&path, b"3").is_err());
        assert_eq!(fs::read(&path).expect("still there"), b"2");
    }
}
