//! Parquet files, read row by row through the record API of the `parquet` crate (no Arrow).

use std::fs::File;
use std::path::Path;

use parquet::basic::{Compression, Encoding};
use parquet::column::page::Page;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::{Field, Row as Fields};
use serde_json::Value;

use super::columns::{Columns, Record, Visit, row};
use super::error::{DataError, Place};
use super::row::{Keys, Row};
use crate::caught::quietly;

/// First and last bytes of every Parquet file.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// [`read_rows`](super::read_rows) for a Parquet file in memory, such as one that was embedded; `name` stands for
/// the path in messages.
///
/// # Errors
/// As [`read_rows`](super::read_rows).
pub fn read_parquet_bytes(name: &Path, bytes: &[u8], keys: &Keys) -> Result<Vec<Row>, DataError> {
    // The parquet crate reads from `bytes::Bytes`. A page's buffer is its one public place that names the type, which
    // saves a dependency of our own.
    let holder = Page::DictionaryPage {
        buf: bytes.to_vec().into(),
        num_values: 0,
        encoding: Encoding::PLAIN,
        is_sorted: false,
    };
    let starts = bytes.get(..4).unwrap_or(bytes);
    check_ends(name, starts, bytes.len() as u64, bytes.ends_with(MAGIC))?;
    let mut rows = Vec::new();
    read(name, holder.buffer().clone(), &mut |path, record| {
        rows.push(row(path, rows.len(), record, keys)?);
        Ok(())
    })?;
    Ok(rows)
}

/// Reads the columns of all rows of an open file. Returns the format's name.
///
/// # Errors
/// As [`read_rows`](super::read_rows).
pub(super) fn read_file(path: &Path, file: File, visit: &mut Visit<'_>) -> Result<&'static str, DataError> {
    let unreadable = |source| DataError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let bytes = file.metadata().map_err(unreadable)?.len();
    let slice = |start, length| ChunkReader::get_bytes(&file, start, length).ok();
    let starts = slice(0, usize::try_from(bytes.min(4)).unwrap_or(4)).unwrap_or_default();
    let ends = bytes >= 4 && slice(bytes - 4, 4).is_some_and(|last| last == MAGIC);
    check_ends(path, &starts, bytes, ends)?;
    read(path, file, visit)
}

/// Checks the marks at both ends, for clearer messages than the decoder's.
fn check_ends(path: &Path, starts: &[u8], bytes: u64, ends: bool) -> Result<(), DataError> {
    if bytes == 0 {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    if starts != MAGIC {
        return Err(DataError::NotParquet {
            path: path.to_owned(),
            found: format!("{:?}", String::from_utf8_lossy(starts)),
        });
    }
    // Both marks, the footer's length and at least a byte of footer.
    if !ends || bytes < 13 {
        return Err(DataError::CutShort {
            path: path.to_owned(),
            bytes,
        });
    }
    Ok(())
}

fn read<R: ChunkReader + 'static>(path: &Path, source: R, visit: &mut Visit<'_>) -> Result<&'static str, DataError> {
    let mut row = None;
    // The decoder panics on some damaged pages and on types that it does not know (intervals, empty groups).
    let outcome = quietly(|| decode(path, source, &mut row, visit));
    let damaged = |message: String| DataError::Damaged {
        path: path.to_owned(),
        row,
        message: short(&message),
    };
    match outcome {
        Ok(Ok(0)) => Err(DataError::Empty { path: path.to_owned() }),
        Ok(Ok(_)) => Ok("Parquet"),
        Ok(Err(Failure::Data(error))) => Err(error),
        Ok(Err(Failure::Parquet(error))) => Err(damaged(error.to_string())),
        Err(panic) => Err(damaged(panic)),
    }
}

/// The decoder's message without the dump of bytes that may follow.
fn short(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line
        .strip_prefix("External: ")
        .or_else(|| line.strip_prefix("Parquet error: "))
        .unwrap_or(line);
    let line = line.split(". Bytes: [").next().unwrap_or_default();
    let line = line.split(", value ").next().unwrap_or_default();
    line.chars().take(200).collect()
}

/// Why decoding stopped.
enum Failure {
    Data(DataError),
    Parquet(ParquetError),
}

impl From<ParquetError> for Failure {
    fn from(error: ParquetError) -> Self {
        Self::Parquet(error)
    }
}

/// Decodes all rows and returns their number; `row` is the one being decoded.
fn decode<R: ChunkReader + 'static>(
    path: &Path,
    source: R,
    row: &mut Option<usize>,
    visit: &mut Visit<'_>,
) -> Result<usize, Failure> {
    let reader = SerializedFileReader::new(source)?;
    for chunk in reader.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        if !matches!(
            chunk.compression(),
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) | Compression::GZIP(_)
        ) {
            return Err(Failure::Data(DataError::Codec {
                path: path.to_owned(),
                column: chunk.column_path().string(),
                codec: chunk
                    .compression()
                    .to_string()
                    .split('(')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            }));
        }
    }
    let expected = reader.metadata().file_metadata().num_rows();
    let mut rows = 0;
    *row = Some(0);
    for fields in reader.get_row_iter(None)? {
        let (columns, binary) = columns(fields?);
        let place = Place::Row(rows);
        let record = Record { place, columns, binary };
        visit(path, record).map_err(Failure::Data)?;
        rows += 1;
        *row = Some(rows);
    }
    if i64::try_from(rows) != Ok(expected) {
        let message = format!("the footer promises {expected} rows");
        return Err(Failure::Parquet(ParquetError::General(message)));
    }
    Ok(rows)
}

/// Fields as JSON, and the names of those with bytes that are not UTF-8.
fn columns(fields: Fields) -> (Columns, Vec<String>) {
    let (mut columns, mut binary) = (Columns::new(), Vec::new());
    for (name, field) in fields.into_columns() {
        match value(&field) {
            Some(value) => drop(columns.insert(name, value)),
            None => binary.push(name),
        }
    }
    (columns, binary)
}

/// A field as JSON: dates, times and decimals as text; none for bytes that are not UTF-8.
fn value(field: &Field) -> Option<Value> {
    let float = |number: f64| {
        serde_json::Number::from_f64(number).map_or_else(|| Value::from(number.to_string()), Value::Number)
    };
    Some(match field {
        Field::Null => Value::Null,
        Field::Bool(v) => Value::from(*v),
        Field::Byte(v) => Value::from(*v),
        Field::Short(v) => Value::from(*v),
        Field::Int(v) => Value::from(*v),
        Field::Long(v) => Value::from(*v),
        Field::UByte(v) => Value::from(*v),
        Field::UShort(v) => Value::from(*v),
        Field::UInt(v) => Value::from(*v),
        Field::ULong(v) => Value::from(*v),
        Field::Float16(v) => float(f64::from(*v)),
        Field::Float(v) => float(f64::from(*v)),
        Field::Double(v) => float(*v),
        Field::Str(v) => Value::from(v.as_str()),
        // Some writers leave out the mark that says text.
        Field::Bytes(v) => Value::from(std::str::from_utf8(v.data()).ok()?),
        Field::Group(fields) => match columns(fields.clone()) {
            (columns, binary) if binary.is_empty() => Value::Object(columns),
            _ => return None,
        },
        Field::ListInternal(list) => Value::Array(list.elements().iter().map(value).collect::<Option<_>>()?),
        Field::MapInternal(map) => {
            let entry = |(key, item): &(Field, Field)| {
                let key = match value(key)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                Some((key, value(item)?))
            };
            Value::Object(map.entries().iter().map(entry).collect::<Option<_>>()?)
        }
        Field::Decimal(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => Value::from(field.to_string()),
    })
}
