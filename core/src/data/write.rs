//! Writes a file of data.

use std::fs;
use std::path::Path;

use super::error::DataError;

/// Writes a whole file, and makes the folders above it.
///
/// # Errors
/// The file or a folder cannot be written.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|source| DataError::Unwritable {
            path: path.to_owned(),
            source,
        })
}
