//! The strict check of one layer against the key table: unknown keys and wrong types, named with where they stand.
//! Also reads the values of `--set` and of environment variables, whose type the key decides.

use toml::{Table, Value};

use super::error::ConfigError;
use super::keys::{Key, Kind, Place, all_keys, find, general, nearest};
use super::layers::Origin;

/// Checks a layer; `origin` says where a concrete path (`objective[1].reward`) was written.
pub(crate) fn check(table: &Table, origin: &dyn Fn(&str) -> Origin) -> Result<(), ConfigError> {
    check_table("", table, origin)
}

fn check_table(path: &str, table: &Table, origin: &dyn Fn(&str) -> Origin) -> Result<(), ConfigError> {
    let mut entries: Vec<(String, &Value)> = table
        .iter()
        .map(|(name, value)| {
            (
                if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                },
                value,
            )
        })
        .collect();
    entries.sort_by_key(|(path, _)| origin(path).line()); // the first mistake of a file is reported first
    for (path, value) in entries {
        match find(&general(&path)) {
            Place::Leaf(key) => check_value(&path, key, value, origin)?,
            Place::Table => match value {
                Value::Table(table) => check_table(&path, table, origin)?,
                other => {
                    return Err(wrong_type(&path, other, &format!("a table, [{path}]"), origin));
                }
            },
            Place::Unknown => {
                let nearest = nearest(&general(&path));
                return Err(ConfigError::UnknownKey {
                    origin: origin(&path),
                    key: path,
                    nearest,
                });
            }
        }
    }
    Ok(())
}

fn check_value(path: &str, key: &Key, value: &Value, origin: &dyn Fn(&str) -> Origin) -> Result<(), ConfigError> {
    let finite = |value: &Value| match value {
        Value::Integer(_) => true,
        Value::Float(number) => number.is_finite(),
        _ => false,
    };
    let fits = match (key.kind, value) {
        (Kind::Text, Value::String(_)) | (Kind::Flag, Value::Boolean(_)) => true,
        (Kind::Count, Value::Integer(number)) => *number >= 0,
        (Kind::Number, value) => finite(value),
        (Kind::Numbers(n), Value::Array(list)) => list.len() == n && list.iter().all(finite),
        (Kind::Texts, Value::Array(list)) => list.iter().all(Value::is_str),
        (Kind::Choice(names), Value::String(word)) => names.contains(&word.as_str()),
        (Kind::Tables, Value::Array(list)) => {
            for (index, entry) in list.iter().enumerate() {
                check_entry(&format!("{path}[{index}]"), entry, origin)?;
            }
            true
        }
        (Kind::Free, value) => return check_free(path, value, origin),
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(wrong_type(path, value, &key.kind.expected(), origin))
    }
}

/// One table of a list of tables.
fn check_entry(path: &str, entry: &Value, origin: &dyn Fn(&str) -> Origin) -> Result<(), ConfigError> {
    let Value::Table(table) = entry else {
        return Err(wrong_type(path, entry, "a table", origin));
    };
    check_table(path, table, origin)?;
    let prefix = format!("{}.", general(path));
    for key in all_keys().iter().filter(|key| !key.optional) {
        if let Some(name) = key.name.strip_prefix(&prefix)
            && !table.contains_key(name)
        {
            let key_path = format!("{path}.{name}");
            return Err(ConfigError::Missing {
                key: key_path,
                origin: origin(path),
                expected: key.kind.expected(),
            });
        }
    }
    Ok(())
}

/// Parameters of plugins go to them as JSON, which has neither dates nor numbers that are not finite.
fn check_free(path: &str, value: &Value, origin: &dyn Fn(&str) -> Origin) -> Result<(), ConfigError> {
    match value {
        Value::Datetime(_) => Err(wrong_type(
            path,
            value,
            "a string, a number, true, false, a list or a table",
            origin,
        )),
        Value::Float(number) if !number.is_finite() => Err(wrong_type(path, value, "a finite number", origin)),
        Value::Array(list) => {
            let mut entries = list.iter().enumerate();
            entries.try_for_each(|(index, entry)| check_free(&format!("{path}[{index}]"), entry, origin))
        }
        Value::Table(table) => table
            .iter()
            .try_for_each(|(name, entry)| check_free(&format!("{path}.{name}"), entry, origin)),
        _ => Ok(()),
    }
}

fn wrong_type(path: &str, found: &Value, expected: &str, origin: &dyn Fn(&str) -> Origin) -> ConfigError {
    ConfigError::WrongType {
        key: path.to_owned(),
        origin: origin(path),
        found: describe(found),
        expected: expected.to_owned(),
    }
}

/// A value for a message: short, in TOML's spelling where that says it all.
fn describe(value: &Value) -> String {
    const LONGEST: usize = 60; // a line of a terminal has room for this beside key and place
    let text = value.to_string();
    let text = match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    match value {
        Value::String(_) => format!("the string {text}"),
        Value::Table(_) => format!("the table {text}"),
        Value::Array(list) => format!("a list of {}, {text}", list.len()),
        _ => text,
    }
}

/// The value that `text` means for the key at `path`: TOML's spelling, or a bare string where a string is wanted.
/// The type is not checked yet. Errors are TOML's own.
pub(crate) fn read_value(path: &str, text: &str) -> Result<Value, toml::de::Error> {
    let kind = match find(path) {
        Place::Leaf(key) => key.kind,
        Place::Table | Place::Unknown => Kind::Free,
    };
    let text = text.trim();
    let structured = text.starts_with(['[', '{', '"', '\'']);
    if matches!(kind, Kind::Text | Kind::Choice(_)) && !text.starts_with(['"', '\'']) {
        return Ok(Value::String(text.to_owned()));
    }
    match text.parse::<Value>() {
        Ok(Value::Datetime(_)) => Ok(Value::String(text.to_owned())),
        Ok(value) => Ok(value),
        Err(error) if structured => Err(error),
        // TOML wants a digit before the point; `.5` and `1.` are common on a command line.
        Err(_) => match (kind, text.parse::<f64>()) {
            (Kind::Number | Kind::Free, Ok(number)) => Ok(Value::Float(number)),
            _ => Ok(Value::String(text.to_owned())),
        },
    }
}
