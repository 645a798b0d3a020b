//! Parquet files, read row by row through the record API of the `parquet` crate (no Arrow).

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::{Compression, Encoding};
use parquet::column::page::Page;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::{Field, Row as Record};
use serde_json::Value;

use super::columns::{Columns, Table};
use super::error::{DataError, Place};
use super::row::{Keys, Row};

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
    read(name, holder.buffer().clone())?.rows(keys)
}

/// Reads the columns of all rows of an open file.
///
/// # Errors
/// As [`read_rows`](super::read_rows).
pub(super) fn read_file(path: &Path, file: File) -> Result<Table, DataError> {
    let unreadable = |source| DataError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let bytes = file.metadata().map_err(unreadable)?.len();
    let slice = |start, length| ChunkReader::get_bytes(&file, start, length).ok();
    let starts = slice(0, usize::try_from(bytes.min(4)).unwrap_or(4)).unwrap_or_default();
    let ends = bytes >= 4 && slice(bytes - 4, 4).is_some_and(|last| last == MAGIC);
    check_ends(path, &starts, bytes, ends)?;
    read(path, file)
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

fn read<R: ChunkReader + 'static>(path: &Path, source: R) -> Result<Table, DataError> {
    let mut row = None;
    // The decoder panics on some damaged pages and on types that it does not know (intervals, empty groups).
    let outcome = catch_unwind(AssertUnwindSafe(|| decode(path, source, &mut row)));
    let damaged = |message: String| DataError::Damaged {
        path: path.to_owned(),
        row,
        message: short(&message),
    };
    let rows = match outcome {
        Ok(Ok(rows)) => rows,
        Ok(Err(Failure::Data(error))) => return Err(error),
        Ok(Err(Failure::Parquet(error))) => return Err(damaged(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            return Err(damaged(text.unwrap_or("the decoder gave up").to_owned()));
        }
    };
    if rows.is_empty() {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    Ok(Table {
        path: path.to_owned(),
        format: "Parquet",
        rows,
    })
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

/// Decodes all rows; `row` is the one being decoded.
fn decode<R: ChunkReader + 'static>(
    path: &Path,
    source: R,
    row: &mut Option<usize>,
) -> Result<Vec<(Place, Columns)>, Failure> {
    let reader = SerializedFileReader::new(source)?;
    for chunk in reader.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        if !matches!(
            chunk.compression(),
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_)
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
    let mut rows = Vec::new();
    *row = Some(0);
    for record in reader.get_row_iter(None)? {
        let columns = columns(record?).map_err(|column| {
            Failure::Data(DataError::WrongType {
                path: path.to_owned(),
                place: Place::Row(rows.len()),
                column,
                found: "bytes that are not UTF-8".to_owned(),
                expected: "text",
            })
        })?;
        rows.push((Place::Row(rows.len()), columns));
        *row = Some(rows.len());
    }
    if i64::try_from(rows.len()) != Ok(expected) {
        let message = format!("the footer promises {expected} rows");
        return Err(Failure::Parquet(ParquetError::General(message)));
    }
    Ok(rows)
}

/// A record as JSON. The error is the name of a column with bytes that are not UTF-8.
fn columns(record: Record) -> Result<Columns, String> {
    record
        .into_columns()
        .into_iter()
        .map(|(name, field)| match value(&field) {
            Some(value) => Ok((name, value)),
            None => Err(name),
        })
        .collect()
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
        Field::Group(record) => Value::Object(columns(record.clone()).ok()?),
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
