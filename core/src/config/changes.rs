//! What differs between two resolved configs, key by key: a resumed run needs the settings that it began with.

use serde_json::{Map, Value};

use super::error::ConfigError;
use super::keys::join;
use super::settings::Config;
use super::table::all_keys;

/// A key with two values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key: `optimizer.lr`, `objective[1].reward`.
    pub key: String,
    /// What it was, or "not set".
    pub was: String,
    /// What it is.
    pub now: String,
}

impl Config {
    /// The config as JSON, for [`Config::changes_since`].
    ///
    /// # Errors
    /// [`ConfigError::Write`] if serde refuses a value.
    pub fn to_json(&self) -> Result<Value, ConfigError> {
        serde_json::to_value(self).map_err(|error| ConfigError::Write {
            problem: error.to_string(),
        })
    }

    /// What [`Config::to_json`] returned then, with today's names of keys: [`super::Request::base`].
    ///
    /// # Errors
    /// It is no config.
    pub fn base(then: &Value) -> Result<toml::Table, ConfigError> {
        let mut then = then.clone();
        rename_keys(&mut then);
        drop_unset(&mut then);
        toml::Table::try_from(then).map_err(|error| ConfigError::Write {
            problem: error.to_string(),
        })
    }

    /// The keys whose values differ from those that [`Config::to_json`] returned then, in the order of the
    /// documentation. A key that had another name then is compared by its new one.
    ///
    /// # Errors
    /// As [`Config::to_json`].
    pub fn changes_since(&self, then: &Value) -> Result<Vec<Change>, ConfigError> {
        let mut then = then.clone();
        rename_keys(&mut then);
        let mut changes = Vec::new();
        compare("", &then, &self.to_json()?, &mut changes);
        Ok(changes)
    }
}

/// Gives the keys of an older config their names of today.
fn rename_keys(config: &mut Value) {
    for key in all_keys() {
        let (Some(former), Some((path, name))) = (key.formerly, key.name.rsplit_once('.')) else {
            continue;
        };
        let table = path
            .split('.')
            .try_fold(&mut *config, |value, part| value.get_mut(part));
        if let Some(table) = table.and_then(Value::as_object_mut)
            && let Some(value) = table.remove(former)
        {
            table.entry(name).or_insert(value);
        }
    }
}

/// Takes out keys that are not set, for which TOML has no value.
fn drop_unset(value: &mut Value) {
    match value {
        Value::Object(table) => {
            table.retain(|_, value| !value.is_null());
            table.values_mut().for_each(drop_unset);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_unset),
        _ => {}
    }
}

fn compare(path: &str, was: &Value, now: &Value, changes: &mut Vec<Change>) {
    match (was, now) {
        (Value::Object(was), Value::Object(now)) => {
            for name in names(now, was) {
                let path = join(path, name);
                let value = |table: &Map<String, Value>| table.get(name).cloned().unwrap_or_default();
                compare(&path, &value(was), &value(now), changes);
            }
        }
        // Lists of tables by entry; others, such as weights, as a whole.
        (Value::Array(was), Value::Array(now)) if was.len() == now.len() && now.iter().all(Value::is_object) => {
            for (index, (was, now)) in was.iter().zip(now).enumerate() {
                compare(&format!("{path}[{index}]"), was, now, changes);
            }
        }
        (was, now) if was != now => changes.push(Change {
            key: path.to_owned(),
            was: text(was),
            now: text(now),
        }),
        _ => {}
    }
}

/// The names of both tables, each once.
fn names<'a>(first: &'a Map<String, Value>, second: &'a Map<String, Value>) -> impl Iterator<Item = &'a String> {
    let rest = second.keys().filter(|name| !first.contains_key(*name));
    first.keys().chain(rest)
}

/// A value as messages show it; null is a key that is not set.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_renamed_key_is_no_change() {
        let mut then = json!({"checkpoint": {"every": 1, "undo": true}, "validation": {"n": 4}, "optimizer": 3});
        rename_keys(&mut then);
        let now = json!({"checkpoint": {"every": 1, "rollback": true}, "validation": {"rows": 4}, "optimizer": 3});
        assert_eq!(then, now);
    }

    #[test]
    fn each_key_that_differs_is_named_with_both_values() {
        let was =
            json!({"train": {"steps": 60, "seed": 0}, "objective": [{"name": "a", "reward": "x"}], "list": [1, 2]});
        let now = json!({"train": {"steps": 80, "seed": 0}, "objective": [{"name": "a", "reward": "y"}], "list": [1, 3],
            "new": 1.5});
        let mut changes = Vec::new();
        compare("", &was, &now, &mut changes);
        let shown: Vec<String> = changes
            .iter()
            .map(|c| format!("{} {} {}", c.key, c.was, c.now))
            .collect();
        assert_eq!(
            shown,
            [
                "train.steps 60 80",
                "objective[0].reward \"x\" \"y\"",
                "list [1,2] [1,3]",
                "new not set 1.5"
            ]
        );
        compare("", &now, &now, &mut changes);
        assert_eq!(changes.len(), 4, "nothing differs from itself");
    }
}
