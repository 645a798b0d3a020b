//! The strict check of one layer against the key table: unknown keys, wrong types and numbers out of range, named with
//! where they stand. Also reads the values of `--set` and of environment variables, whose type the key decides.

use toml::{Table, Value};

use super::error::ConfigError;
use super::keys::{Key, Kind, join, schema_key};
use super::origin::Origin;
use super::table::{KeyKind, all_keys, find, nearest, renamed};

/// Checks a layer; `origin` says where a concrete path (`objective[1].reward`) was written.
pub(crate) fn check(table: &Table, origin: &dyn Fn(&str) -> Origin) -> Result<(), ConfigError> {
    check_table("", table, origin)
}

fn check_table(path: &str, table: &Table, origin: &dyn Fn(&str) -> Origin) -> Result<(), ConfigError> {
    let mut entries: Vec<(String, &Value)> = table.iter().map(|(name, value)| (join(path, name), value)).collect();
    entries.sort_by_key(|(path, _)| origin(path).line()); // the first mistake of a file is reported first
    for (path, value) in entries {
        match (find(&path), value) {
            (KeyKind::Leaf(key), value) => check_value(&path, key, value, origin)?,
            (KeyKind::Table, Value::Table(table)) => check_table(&path, table, origin)?,
            (KeyKind::Table, other) => return Err(refused(&path, other, &format!("a table, [{path}]"), origin)),
            (KeyKind::Unknown, _) => return Err(unknown(path, origin)),
        }
    }
    Ok(())
}

fn unknown(key: String, origin: &dyn Fn(&str) -> Origin) -> ConfigError {
    let origin = origin(&key);
    match renamed(&key) {
        Some(now) => ConfigError::Renamed {
            key,
            origin,
            now: now.name.clone(),
        },
        None => ConfigError::UnknownKey {
            nearest: nearest(&key),
            key,
            origin,
        },
    }
}

fn check_value(path: &str, key: &Key, value: &Value, origin: &dyn Fn(&str) -> Origin) -> Result<(), ConfigError> {
    #[allow(clippy::cast_precision_loss, reason = "no range has an end beyond 2^53")]
    let number = |value: &Value| match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) if number.is_finite() => Some(*number),
        _ => None,
    };
    let in_range = |value: &Value| number(value).is_some_and(|n| key.range.is_none_or(|range| range.contains(n)));
    let fits = match (key.kind, value) {
        (Kind::Text, Value::String(text)) if text.trim().is_empty() => {
            return Err(refused(path, value, "a string that is not blank", origin));
        }
        (Kind::Text, Value::String(_)) | (Kind::Flag, Value::Boolean(_)) => true,
        (Kind::Count, Value::Integer(number)) => *number >= 0 && in_range(value),
        (Kind::Number, value) => in_range(value),
        (Kind::Numbers(n), Value::Array(list)) => list.len() == n && list.iter().all(in_range),
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
        Err(refused(path, value, &key.expected(), origin))
    }
}

/// One table of a list of tables.
fn check_entry(path: &str, entry: &Value, origin: &dyn Fn(&str) -> Origin) -> Result<(), ConfigError> {
    let Value::Table(table) = entry else {
        return Err(refused(path, entry, "a table", origin));
    };
    check_table(path, table, origin)?;
    let prefix = format!("{}.", schema_key(path));
    for key in all_keys().iter().filter(|key| !key.optional) {
        if let Some(name) = key.name.strip_prefix(&prefix)
            && !table.contains_key(name)
        {
            let key_path = format!("{path}.{name}");
            return Err(ConfigError::Missing {
                key: key_path,
                origin: origin(path),
                expected: key.expected(),
            });
        }
    }
    Ok(())
}

/// Plugins get their parameters as JSON, which has no dates and no numbers that are not finite.
fn check_free(path: &str, value: &Value, origin: &dyn Fn(&str) -> Origin) -> Result<(), ConfigError> {
    match value {
        Value::Datetime(_) => Err(refused(
            path,
            value,
            "a string, a number, true, false, a list or a table",
            origin,
        )),
        Value::Float(number) if !number.is_finite() => Err(refused(path, value, "a finite number", origin)),
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

fn refused(path: &str, found: &Value, expected: &str, origin: &dyn Fn(&str) -> Origin) -> ConfigError {
    ConfigError::Value {
        key: path.to_owned(),
        origin: origin(path),
        found: describe(found),
        expected: expected.to_owned(),
    }
}

/// A value for a message: short, in TOML's spelling.
fn describe(value: &Value) -> String {
    const LONGEST: usize = 60; // a terminal line has room for this beside key and place
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
/// The type is not checked yet.
pub(crate) fn read_value(path: &str, text: &str, origin: &Origin) -> Result<Value, ConfigError> {
    let kind = match find(path) {
        KeyKind::Leaf(key) => key.kind,
        KeyKind::Table | KeyKind::Unknown => Kind::Free,
    };
    let text = text.trim();
    let is_structured = text.starts_with(['[', '{', '"', '\'']);
    if matches!(kind, Kind::Text | Kind::Choice(_)) && !text.starts_with(['"', '\'']) {
        return Ok(Value::String(text.to_owned()));
    }
    match text.parse::<Value>() {
        Ok(Value::Datetime(_)) => Ok(Value::String(text.to_owned())),
        Ok(value) => Ok(value),
        Err(error) if is_structured => Err(ConfigError::Syntax {
            place: origin.to_string(),
            report: error.to_string().trim_end().to_owned(),
        }),
        Err(_) if is_bare_list(kind, text) => Err(ConfigError::NoBrackets {
            key: path.to_owned(),
            origin: origin.clone(),
            text: text.to_owned(),
        }),
        // TOML wants a digit before the point; `.5` and `1.` are common on a command line.
        Err(_) => match (kind, text.parse::<f64>()) {
            (Kind::Number | Kind::Free, Ok(number)) => Ok(Value::Float(number)),
            _ => Ok(Value::String(text.to_owned())),
        },
    }
}

/// Whether `text` is a list without brackets: numbers with commas, or any commas where a list of numbers is wanted.
fn is_bare_list(kind: Kind, text: &str) -> bool {
    let is_number = |part: &str| part.trim().parse::<f64>().is_ok();
    match kind {
        Kind::Numbers(_) => text.contains(','),
        Kind::Free => text.contains(',') && text.split(',').all(is_number),
        _ => false,
    }
}
