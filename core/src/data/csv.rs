//! CSV as spreadsheets and pandas write it (RFC 4180): names in the first line, every cell a text, an empty one null.

use std::path::Path;

use serde_json::Value;

use super::columns::{Columns, Record, Visit};
use super::error::{DataError, Place};

/// Reads the row of each line behind the first. Returns the format's name.
///
/// # Errors
/// A row has more or fewer cells than the first line, a quote is not closed, the text is not UTF-8, there are no rows, or
/// what `visit` returns.
pub(super) fn read(path: &Path, bytes: &[u8], visit: &mut Visit<'_>) -> Result<&'static str, DataError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let bad = |line: usize, message: String| DataError::BadCsv {
        path: path.to_owned(),
        line,
        message,
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        bad(line, "bytes that are not UTF-8".to_owned())
    })?;
    let mut reader = Reader { rest: text, line: 1 };
    let names = reader.row().map_err(|message| bad(1, message))?.unwrap_or_default();
    let mut found = 0;
    loop {
        let line = reader.line;
        let Some(cells) = reader.row().map_err(|message| bad(line, message))? else {
            break;
        };
        if cells.len() == 1 && cells[0].is_empty() && names.len() != 1 {
            continue; // a blank line
        }
        if cells.len() != names.len() {
            let message = format!(
                "found {} cells, expected {} as in the first line",
                cells.len(),
                names.len()
            );
            return Err(bad(line, message));
        }
        let cell = |text: String| {
            if text.is_empty() {
                Value::Null
            } else {
                Value::from(text)
            }
        };
        let columns: Columns = names.iter().cloned().zip(cells.into_iter().map(cell)).collect();
        let record = Record {
            place: Place::Line(line),
            columns,
            binary: Vec::new(),
        };
        visit(path, record)?;
        found += 1;
    }
    if found == 0 {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    Ok("CSV")
}

struct Reader<'a> {
    rest: &'a str,
    /// Of the next row, from 1.
    line: usize,
}

impl Reader<'_> {
    /// The cells of the next row; none at the end.
    fn row(&mut self) -> Result<Option<Vec<String>>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut cells = Vec::new();
        loop {
            let mut cell = String::new();
            while let Some(quoted) = self.rest.strip_prefix('"') {
                // a doubled quote is one, and the quoted text goes on behind it
                let end = quoted.find('"').ok_or("a quote that is not closed")?;
                self.line += quoted[..end].matches('\n').count();
                cell.push_str(&quoted[..end]);
                self.rest = &quoted[end + 1..];
                if self.rest.starts_with('"') {
                    cell.push('"');
                }
            }
            let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
            let plain = &self.rest[..end];
            cell.push_str(if self.rest[end..].starts_with('\n') || end == self.rest.len() {
                plain.strip_suffix('\r').unwrap_or(plain)
            } else {
                plain
            });
            cells.push(cell);
            let separator = self.rest[end..].chars().next();
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if separator != Some(',') {
                self.line += 1;
                return Ok(Some(cells));
            }
        }
    }
}
