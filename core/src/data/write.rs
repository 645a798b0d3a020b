//! Writes a file of data.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::error::DataError;

/// Writes a whole file, and makes the folders above it. A file that is there already, with other bytes, stays.
///
/// # Errors
/// There is another file, or the file or a folder cannot be written.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    match fs::read(path) {
        Ok(there) if there == bytes => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        _ => return Err(DataError::Exists { path: path.to_owned() }),
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|source| DataError::Unwritable {
            path: path.to_owned(),
            source,
        })
}
