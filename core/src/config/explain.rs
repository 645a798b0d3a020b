//! What a key means, what it is and where that came from: `config explain`, `config check`, `config schema`.

use std::fmt;

use serde_json::json;
use toml::{Table, Value};

use super::error::ConfigError;
use super::keys::{Key, Kind, schema_key};
use super::layer::Layer;
use super::layers::reason;
use super::origin::Origin;
use super::resolve::Resolved;
use super::table::{KeyKind, all_keys, find, nearest, renamed};

/// All that is known about a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The key.
    pub key: String,
    /// Its value in TOML's spelling; none if it is not set.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
    /// Why, where a built-in file says so.
    pub reason: Option<&'static str>,
    /// What it may be, in words.
    pub expected: String,
    /// What it is if nobody sets it, in TOML's spelling.
    pub default: Option<String>,
    /// What it means.
    pub doc: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = || "not set".to_owned();
        writeln!(f, "{} = {}", self.key, self.value.clone().unwrap_or_else(none))?;
        if self.value.is_some() {
            writeln!(f, "  from     {}", self.origin)?;
        }
        if let Some(reason) = self.reason {
            writeln!(f, "  because  {reason}")?;
        }
        writeln!(f, "  default  {}", self.default.clone().unwrap_or_else(none))?;
        writeln!(f, "  expects  {}", self.expected)?;
        write!(f, "  {}", self.doc)
    }
}

impl Resolved {
    /// Explains a key, or every key of a table (`rollout`), in the order of the documentation.
    pub fn explain(&self, key: &str) -> Result<Vec<Explanation>, ConfigError> {
        let values = self.values()?;
        let defaults = self.defaults();
        let explain = |name: &str, key: &Key| Explanation {
            key: name.to_owned(),
            value: lookup(&values, name).map(|value| value.to_string()),
            reason: reason(&self.origin(name)),
            origin: self.origin(name),
            expected: key.expected(),
            default: default_of(&defaults, key).map(|value| value.to_string()),
            doc: key.doc.clone(),
        };
        // `objective.name` for `objective[].name`: brackets need quotes in some shells.
        let listed = all_keys()
            .iter()
            .find(|known| known.name.contains("[]") && known.name.replace("[]", "") == key);
        let key = listed.map_or(key, |known| known.name.as_str());
        match find(key) {
            KeyKind::Leaf(found) => Ok(vec![explain(key, found)]),
            KeyKind::Table => {
                let prefix = format!("{}.", schema_key(key));
                Ok(all_keys()
                    .iter()
                    .filter(|k| k.name.starts_with(&prefix))
                    .map(|k| explain(&k.name, k))
                    .collect())
            }
            KeyKind::Unknown => Err(ConfigError::NoSuchKey {
                key: key.to_owned(),
                nearest: renamed(key).map(|now| now.name.clone()).or_else(|| nearest(key)),
            }),
        }
    }

    /// Every value with where it came from, one line each: what `config check` prints.
    pub fn report(&self) -> Result<String, ConfigError> {
        let values = self.values()?;
        let mut lines: Vec<(String, Origin)> = Vec::new();
        for key in all_keys().iter().filter(|key| !key.name.contains("[]")) {
            if let Some(table) = key.name.strip_suffix(".*") {
                let params = lookup(&values, table)
                    .and_then(|value| value.as_table().cloned())
                    .unwrap_or_default();
                for (name, value) in params.iter().filter(|(name, _)| *name != "name") {
                    let path = format!("{table}.{name}");
                    lines.push((format!("{path} = {value}"), self.origin(&path)));
                }
                continue;
            }
            match lookup(&values, &key.name) {
                Some(Value::Array(list)) if key.kind == Kind::Tables => {
                    for (index, entry) in list.iter().enumerate() {
                        let path = format!("{}[{index}]", key.name);
                        lines.push((format!("{path} = {entry}"), self.origin(&path)));
                    }
                }
                Some(value) => lines.push((format!("{} = {value}", key.name), self.origin(&key.name))),
                None => {}
            }
        }
        const WIDEST: usize = 48; // longer values push their own comment only
        let width = lines
            .iter()
            .map(|(text, _)| text.chars().count())
            .filter(|n| *n <= WIDEST)
            .max()
            .unwrap_or(0);
        let line = |(text, origin): &(String, Origin)| format!("{text:width$}  # {origin}\n");
        Ok(lines.iter().map(line).collect())
    }

    /// The values of the built-in layers.
    fn defaults(&self) -> Table {
        let built_in = self.layers[..self.built_in].iter().cloned();
        let merged = built_in.reduce(|low, top| top.merge_over(low));
        merged.map(|layer: Layer| layer.table).unwrap_or_default()
    }

    fn values(&self) -> Result<Table, ConfigError> {
        Table::try_from(&self.config).map_err(|error| ConfigError::Write {
            problem: error.to_string(),
        })
    }
}

/// Type, range, default and documentation of every key, for editors and scripts: `config schema`.
pub fn schema() -> Result<serde_json::Value, ConfigError> {
    let entry = |key: &Key| {
        let mut entry = json!({ "key": key.name, "type": key.kind.name(), "doc": key.doc });
        if let Kind::Choice(names) = key.kind {
            entry["choices"] = json!(names);
        }
        if let Some(range) = key.range {
            entry["range"] = json!(range.to_string());
        }
        entry["default"] = json!(key.default);
        entry["optional"] = json!(key.optional);
        entry
    };
    Ok(json!({ "keys": all_keys().iter().map(entry).collect::<Vec<_>>() }))
}

/// The value at a dotted path, `objective[0].name` in lists; `objective[].name` is the list of all of them.
fn lookup(table: &Table, path: &str) -> Option<Value> {
    let (part, rest) = match path.split_once('.') {
        Some((part, rest)) => (part, Some(rest)),
        None => (path, None),
    };
    let below = |value: &Value| match rest {
        Some(rest) => lookup(value.as_table()?, rest),
        None => Some(value.clone()),
    };
    let Some((name, index)) = part.split_once('[') else {
        return below(table.get(part)?);
    };
    let list = table.get(name)?.as_array()?;
    match index.strip_suffix(']')? {
        "" => {
            let values: Vec<Value> = list.iter().filter_map(below).collect();
            (!values.is_empty()).then_some(Value::Array(values))
        }
        index => below(list.get(index.parse::<usize>().ok()?)?),
    }
}

/// The value that the built-in layers set, or the default of a key that they leave out. Entries of lists have none.
fn default_of(defaults: &Table, key: &Key) -> Option<Value> {
    lookup(defaults, &key.name)
        .filter(|_| !key.name.contains('['))
        .or_else(|| key.default.clone())
}
