//! Data files, read whole: the format is told by the name, or by the first bytes.

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::columns::Table;
use super::error::DataError;
use super::row::{Keys, Row};
use super::{jsonl, parquet_read};

/// Reads all rows of a `.parquet` file (the papers' layout) or of a JSON lines file (`.jsonl`, `.ndjson`, `.json`
/// with one object a line).
///
/// The column `keys.prompt_key` is text or a list of `{role, content}`. The ground truth is `reward_model.ground_truth`
/// or `ground_truth`. `data_source` and `response` are optional. Everything else goes to [`Row::extra`].
///
/// # Errors
/// The file cannot be read, is of no known format, damaged, cut short or without rows; there is no prompt column; a
/// cell has the wrong type; a ground truth or response that `keys` requires is missing.
pub fn read_rows(path: &Path, keys: &Keys) -> Result<Vec<Row>, DataError> {
    read_table(path)?.rows(keys)
}

/// Reads JSON lines that are in memory, such as standard input; `name` stands for the path in errors.
///
/// # Errors
/// As [`read_rows`].
pub fn read_jsonl_bytes(name: &Path, bytes: &[u8], keys: &Keys) -> Result<Vec<Row>, DataError> {
    jsonl::read_lines(name, bytes)?.rows(keys)
}

/// The columns of every row of a file, as JSON: what reading, inspecting and converting start from.
pub(super) fn read_table(path: &Path) -> Result<Table, DataError> {
    let unreadable = |source| DataError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut magic = Vec::with_capacity(4);
    let file = fs::File::open(path).map_err(unreadable)?;
    let kind = file.metadata().map_err(unreadable)?.file_type();
    if kind.is_char_device() || kind.is_block_device() {
        return Err(DataError::Device { path: path.to_owned() });
    }
    (&file).take(4).read_to_end(&mut magic).map_err(unreadable)?;
    let extension = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    match extension.as_str() {
        "parquet" => parquet_read::read_file(path, file),
        _ if magic == parquet_read::MAGIC => parquet_read::read_file(path, file),
        "jsonl" | "ndjson" | "json" => jsonl::read_lines(path, &fs::read(path).map_err(unreadable)?),
        _ => Err(DataError::UnknownFormat { path: path.to_owned() }),
    }
}
