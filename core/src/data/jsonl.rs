//! JSON lines: one object a line.

use std::path::Path;

use serde_json::Value;

use super::columns::{Table, to_columns};
use super::error::{DataError, Place};
use super::row::Row;
use super::write::write_file;

/// Reads the object of each line. Blank lines and a byte order mark are skipped.
///
/// # Errors
/// A line is not a JSON object, or there are no objects.
pub(super) fn read_lines(path: &Path, bytes: &[u8]) -> Result<Table, DataError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut rows = Vec::new();
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let bad = |message: String| DataError::BadLine {
            path: path.to_owned(),
            line: i + 1,
            message,
        };
        match serde_json::from_slice(line) {
            Ok(Value::Object(columns)) => rows.push((Place::Line(i + 1), columns)),
            Ok(Value::Array(_)) => return Err(bad("found an array".to_owned())),
            Ok(_) => return Err(bad("found a single value".to_owned())),
            // serde_json counts lines inside this one line; only the column helps.
            Err(e) => {
                return Err(bad(e.to_string().replace(" at line 1 column ", " at character ")));
            }
        }
    }
    if rows.is_empty() {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    Ok(Table {
        path: path.to_owned(),
        format: "JSON lines",
        rows,
    })
}

/// Writes rows as JSON lines in the papers' layout (see [`read_rows`](super::read_rows)).
///
/// # Errors
/// The file cannot be written.
pub fn write_jsonl(path: &Path, rows: &[Row]) -> Result<(), DataError> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&Value::Object(to_columns(row)).to_string());
        text.push('\n');
    }
    write_file(path, text.as_bytes())
}
