//! JSON: one object a line, or one array of objects.

use std::io::BufRead;
use std::path::Path;

use serde_json::Value;

use super::columns::{Columns, Record, Visit, to_columns};
use super::error::{DataError, Place};
use super::row::Row;
use super::write::write_file;

/// Reads the object of each line. Blank lines and a byte order mark are skipped. A first line that begins with `[` opens an
/// array of objects. Returns the format's name.
///
/// # Errors
/// A line is not a JSON object, there are no objects, the file cannot be read, or what `visit` returns.
pub(super) fn read_lines(
    path: &Path,
    source: &mut dyn BufRead,
    visit: &mut Visit<'_>,
) -> Result<&'static str, DataError> {
    let unreadable = |source| DataError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let (mut line, mut number, mut found) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        if source.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            break;
        }
        number += 1;
        let mut text = line.as_slice();
        if number == 1 {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        // `[1]` on a line of its own is a row that is not an object; an array of objects goes on behind `[` or `[{`.
        if found == 0 && (text == b"[" || (text.starts_with(b"[") && is_array_of_objects(&text[1..]))) {
            let mut rest = text.to_vec();
            rest.push(b'\n');
            source.read_to_end(&mut rest).map_err(unreadable)?;
            return read_array(path, &rest, number, visit);
        }
        let bad = |message: String| DataError::BadLine {
            path: path.to_owned(),
            line: number,
            message,
        };
        match parse(text) {
            Ok(Value::Object(columns)) => visit(path, record(Place::Line(number), columns))?,
            Ok(Value::Array(_)) => return Err(bad("found an array".to_owned())),
            Ok(_) => return Err(bad("found a single value".to_owned())),
            // serde_json counts lines inside this one line; only the column helps.
            Err(e) => {
                return Err(bad(e.to_string().replace(" at line 1 column ", " at character ")));
            }
        }
        found += 1;
    }
    if found == 0 {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    Ok("JSON lines")
}

fn record(place: Place, columns: Columns) -> Record {
    Record {
        place,
        columns,
        binary: Vec::new(),
    }
}

fn is_array_of_objects(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_start();
    rest.is_empty() || rest.starts_with(b"{")
}

/// The objects of an array that begins on line `first`.
fn read_array(path: &Path, text: &[u8], first: usize, visit: &mut Visit<'_>) -> Result<&'static str, DataError> {
    let rows: Vec<Value> = match parse(text.trim_ascii()) {
        Ok(Value::Array(rows)) => rows,
        Ok(_) => Vec::new(), // it begins with a bracket
        Err(error) => {
            return Err(DataError::BadLine {
                path: path.to_owned(),
                line: first + error.line().saturating_sub(1),
                message: error.to_string(),
            });
        }
    };
    if rows.is_empty() {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    for (i, row) in rows.into_iter().enumerate() {
        let Value::Object(columns) = row else {
            return Err(DataError::BadLine {
                path: path.to_owned(),
                line: first,
                message: format!("element {i} of the array is another value"),
            });
        };
        visit(path, record(Place::Row(i), columns))?;
    }
    Ok("JSON")
}

/// JSON, and what Python's `json` writes beyond it: NaN and the infinities are null.
fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    let error = match serde_json::from_slice(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let mut clean = Vec::with_capacity(text.len());
    let (mut i, mut in_text, mut changed) = (0, false, false);
    while i < text.len() {
        let rest = &text[i..];
        let word: Option<&[u8]> = [b"-Infinity".as_slice(), b"Infinity", b"NaN"]
            .into_iter()
            .find(|word| !in_text && rest.starts_with(word));
        if let Some(word) = word {
            clean.extend_from_slice(b"null");
            i += word.len();
            changed = true;
            continue;
        }
        if in_text && text[i] == b'\\' && i + 1 < text.len() {
            clean.push(text[i]);
            i += 1;
        } else if text[i] == b'"' {
            in_text = !in_text;
        }
        clean.push(text[i]);
        i += 1;
    }
    if changed {
        serde_json::from_slice(&clean)
    } else {
        Err(error)
    }
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
