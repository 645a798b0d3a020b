//! Parquet files in the papers' layout, written through the low-level column writers (no Arrow).
//!
//! ```text
//! data_source text · prompt list<struct<content, role>> (or text) · [response text]
//! · reward_model struct<ground_truth, …> · every other column of `extra`, with its type found from the values
//! ```
//! Lists other than the prompt, and columns with values of several kinds, are written as JSON text. Everything is
//! optional, as pandas writes it. The same rows make the same bytes: one row group, no clock, a fixed writer name.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

use super::columns::{Columns, to_columns};
use super::error::DataError;
use super::kind::Kind;
use super::row::{PromptText, Row};
use super::write::write_file;

/// Strong and still fast; a data set is written once and read often.
const ZSTD_LEVEL: i32 = 15;

/// Writes rows to a Parquet file; the same rows make the same bytes.
///
/// # Errors
/// The file cannot be written, or [`parquet_bytes`] fails.
pub fn write_parquet(path: &Path, rows: &[Row]) -> Result<(), DataError> {
    write_file(path, &parquet_bytes(path, rows)?)
}

/// The bytes that [`write_parquet`] writes; `path` is for messages only.
///
/// # Errors
/// There are no rows, or both text prompts and conversations.
pub fn parquet_bytes(path: &Path, rows: &[Row]) -> Result<Vec<u8>, DataError> {
    let first = rows.first().ok_or_else(|| DataError::Empty { path: path.to_owned() })?;
    let is_text = |row: &Row| matches!(row.prompt, PromptText::Text(_));
    if let Some(row) = rows.iter().position(|row| is_text(row) != is_text(first)) {
        return Err(DataError::MixedPrompts {
            path: path.to_owned(),
            row,
        });
    }
    let columns: Vec<Columns> = rows.iter().map(to_columns).collect();
    encode(&columns).map_err(|e| DataError::Encoder {
        what: "writing Parquet",
        message: e.to_string(),
    })
}

fn encode(rows: &[Columns]) -> Result<Vec<u8>, ParquetError> {
    let kinds = rows
        .iter()
        .map(|row| Kind::of(&Value::Object(row.clone())))
        .fold(Kind::Null, Kind::join);
    let Kind::Struct(columns) = kinds else {
        return Err(ParquetError::General("rows are not structs".to_owned()));
    };
    let fields = columns
        .iter()
        .map(|(name, kind)| field(name, kind))
        .collect::<Result<_, _>>()?;
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_created_by("moa".to_owned())
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for (name, kind) in &columns {
        let cells: Vec<Cell<'_>> = rows.iter().map(|row| Cell::top(row.get(name))).collect();
        if is_messages(name, kind) {
            let lists: Vec<&[Value]> = cells
                .iter()
                .map(|cell| cell.value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice))
                .collect();
            write_messages(&lists, "content", &mut group)?;
            write_messages(&lists, "role", &mut group)?;
        } else {
            write_column(&cells, kind, &mut group)?;
        }
    }
    group.close()?;
    file.into_inner()
}

/// Whether this column is a list of messages, the one list with a schema of its own.
fn is_messages(name: &str, kind: &Kind) -> bool {
    name == "prompt" && matches!(kind, Kind::List(_))
}

/// The schema of a column; columns that cannot be typed are JSON text.
fn field(name: &str, kind: &Kind) -> Result<TypePtr, ParquetError> {
    if is_messages(name, kind) {
        return messages_field(name);
    }
    let primitive = |physical| Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    let built = match kind {
        Kind::Bool => primitive(Physical::BOOLEAN).build(),
        Kind::Int => primitive(Physical::INT64).build(),
        Kind::Float => primitive(Physical::DOUBLE).build(),
        Kind::Struct(fields) if !fields.is_empty() => Type::group_type_builder(name)
            .with_repetition(Repetition::OPTIONAL)
            .with_fields(
                fields
                    .iter()
                    .map(|(name, kind)| field(name, kind))
                    .collect::<Result<_, _>>()?,
            )
            .build(),
        _ => primitive(Physical::BYTE_ARRAY)
            .with_logical_type(Some(LogicalType::String))
            .build(),
    };
    built.map(Arc::new)
}

/// `optional group NAME (LIST) { repeated group list { optional group element { content; role } } }`
fn messages_field(name: &str) -> Result<TypePtr, ParquetError> {
    let element = Type::group_type_builder("element")
        .with_repetition(Repetition::OPTIONAL)
        .with_fields(vec![field("content", &Kind::Text)?, field("role", &Kind::Text)?])
        .build()?;
    let list = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![Arc::new(element)])
        .build()?;
    let messages = Type::group_type_builder(name)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(list)])
        .build()?;
    Ok(Arc::new(messages))
}

/// A value with its definition level: how many of the optional groups and the value itself are there.
#[derive(Clone, Copy)]
struct Cell<'a> {
    value: Option<&'a Value>,
    level: i16,
}

impl<'a> Cell<'a> {
    fn top(value: Option<&'a Value>) -> Self {
        let value = value.filter(|v| !v.is_null());
        Self {
            value,
            level: i16::from(value.is_some()),
        }
    }

    /// The field `name` of a struct.
    fn field(self, name: &str) -> Self {
        let inner = Self::top(self.value.and_then(|v| v.get(name)));
        Self {
            value: inner.value,
            level: self.level + inner.level,
        }
    }
}

/// The row group being written.
type Group<'w> = SerializedRowGroupWriter<'w, Vec<u8>>;

/// The writer of the next leaf in the schema's order.
fn next<'g>(group: &'g mut Group<'_>) -> Result<SerializedColumnWriter<'g>, ParquetError> {
    group
        .next_column()?
        .ok_or_else(|| ParquetError::General("more columns than the schema".to_owned()))
}

/// Writes a column, or every leaf of a struct in the schema's order.
fn write_column(cells: &[Cell<'_>], kind: &Kind, group: &mut Group<'_>) -> Result<(), ParquetError> {
    match kind {
        Kind::Struct(fields) if !fields.is_empty() => {
            for (name, kind) in fields {
                let inner: Vec<_> = cells.iter().map(|cell| cell.field(name)).collect();
                write_column(&inner, kind, group)?;
            }
            Ok(())
        }
        Kind::Bool => write_leaf::<BoolType>(cells, Value::as_bool, group),
        Kind::Int => write_leaf::<Int64Type>(cells, Value::as_i64, group),
        Kind::Float => write_leaf::<DoubleType>(cells, Value::as_f64, group),
        Kind::Text => write_leaf::<ByteArrayType>(cells, |v| v.as_str().map(ByteArray::from), group),
        Kind::Null | Kind::Binary | Kind::List(_) | Kind::Struct(_) | Kind::Mixed => {
            write_leaf::<ByteArrayType>(cells, |v| Some(ByteArray::from(v.to_string().as_str())), group)
        }
    }
}

fn write_leaf<T: DataType>(
    cells: &[Cell<'_>],
    get: impl Fn(&Value) -> Option<T::T>,
    group: &mut Group<'_>,
) -> Result<(), ParquetError> {
    let values: Vec<T::T> = cells.iter().filter_map(|cell| cell.value.and_then(&get)).collect();
    let levels: Vec<i16> = cells.iter().map(|cell| cell.level).collect();
    let mut writer = next(group)?;
    writer.typed::<T>().write_batch(&values, Some(&levels), None)?;
    writer.close()
}

/// Writes the field `name` of all messages. Definition level 4: list, its element and the field are there; 1: an
/// empty list. Repetition level 0 begins a row, 1 goes on with it.
fn write_messages(lists: &[&[Value]], name: &str, group: &mut Group<'_>) -> Result<(), ParquetError> {
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for list in lists {
        if list.is_empty() {
            defined.push(1);
            repeated.push(0);
        }
        for (i, message) in list.iter().enumerate() {
            values.push(ByteArray::from(
                message.get(name).and_then(Value::as_str).unwrap_or_default(),
            ));
            defined.push(4);
            repeated.push(i16::from(i > 0));
        }
    }
    let mut writer = next(group)?;
    writer
        .typed::<ByteArrayType>()
        .write_batch(&values, Some(&defined), Some(&repeated))?;
    writer.close()
}
