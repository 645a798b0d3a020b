//! The type of a column, found from its values: for `inspect`, for messages and for the schema of a written file.

use std::fmt;

use serde_json::Value;

/// What a cell or a column holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool,
    Int,
    Float,
    Text,
    List(Box<Kind>),
    Struct(Vec<(String, Kind)>),
    /// Bytes that are not text.
    Binary,
    /// Values of several kinds.
    Mixed,
}

impl Kind {
    /// The kind of one value. Integers beyond 64 signed bits count as mixed.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(n) if n.is_i64() => Self::Int,
            Value::Number(n) if n.is_f64() => Self::Float,
            Value::Number(_) => Self::Mixed,
            Value::String(_) => Self::Text,
            Value::Array(items) => Self::List(Box::new(items.iter().map(Self::of).fold(Self::Null, Self::join))),
            Value::Object(fields) => Self::Struct(fields.iter().map(|(k, v)| (k.clone(), Self::of(v))).collect()),
        }
    }

    /// The kind of a column with values of both kinds: null fits anything, integers fit floats.
    pub(super) fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Null, kind) | (kind, Self::Null) => kind,
            (Self::Int, Self::Float) | (Self::Float, Self::Int) => Self::Float,
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.join(*b))),
            (Self::Struct(mut fields), Self::Struct(others)) => {
                for (name, kind) in others {
                    match fields.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, known)) => *known = std::mem::replace(known, Self::Null).join(kind),
                        None => fields.push((name, kind)),
                    }
                }
                Self::Struct(fields)
            }
            _ => Self::Mixed,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float"),
            Self::Text => f.write_str("text"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (i, (name, kind)) in fields.iter().enumerate() {
                    write!(f, "{}{name}: {kind}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(">")
            }
            Self::Binary => f.write_str("binary"),
            Self::Mixed => f.write_str("mixed"),
        }
    }
}
