//! The table of all keys. It is derived from the structs of [`super::settings`], so the two cannot drift apart; the
//! strict check, the layer of defaults, `config explain` and `config schema` read it.

use std::sync::OnceLock;

use toml::{Table, Value};

use super::keys::{Key, Kind, Setting, schema_key};
use super::settings::Config;

/// Every key, in the order of a written config file.
pub fn all_keys() -> &'static [Key] {
    static KEYS: OnceLock<Vec<Key>> = OnceLock::new();
    KEYS.get_or_init(|| {
        // `include` is resolved when a file is read, so the resolved config does not have it.
        let doc = "Files to read first, as lower layers. Their paths are relative to the file that includes them.";
        let mut keys = vec![Key {
            optional: true,
            ..Key::new("include".to_owned(), Kind::Texts, doc)
        }];
        Config::describe(String::new(), "", &mut keys);
        keys
    })
}

/// What stands at a dotted path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum KeyKind {
    /// A key with a value.
    Leaf(&'static Key),
    /// A table of keys.
    Table,
    /// Nothing.
    Unknown,
}

/// What stands at `path`, which may have indices: `objective[2].name`.
pub(crate) fn find(path: &str) -> KeyKind {
    let path = &schema_key(path);
    for key in all_keys() {
        if key.name == *path {
            return KeyKind::Leaf(key);
        }
        if let Some(open) = key.name.strip_suffix('*')
            && path.len() > open.len()
            && path.starts_with(open)
            && !all_keys().iter().any(|key| key.name == *path)
        {
            return KeyKind::Leaf(key);
        }
    }
    let is_below = |key: &Key| key.name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    if all_keys().iter().any(is_below) {
        KeyKind::Table
    } else {
        KeyKind::Unknown
    }
}

/// The key that had the name `path` before.
pub(crate) fn renamed(path: &str) -> Option<&'static Key> {
    let path = schema_key(path);
    all_keys()
        .iter()
        .find(|key| key.former_name().as_deref() == Some(&path))
}

/// The key or table nearest to a name that does not exist, if one is near: the same last part under another table
/// (`train.lr` -> `optimizer.lr`), else the smallest edit distance. A bare `steps` is the first key that ends so.
pub(crate) fn nearest(path: &str) -> Option<String> {
    let path = &schema_key(path);
    let mut names: Vec<&str> = Vec::new();
    for key in all_keys() {
        let name = key.name.trim_end_matches(".*");
        for (at, _) in name.match_indices('.') {
            if !name[..at].ends_with("[]") && !names.contains(&&name[..at]) {
                names.push(&name[..at]);
            }
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |name: &&str| strsim::damerau_levenshtein(name, path);
    let has_same_end = |name: &&&str| last(name) == last(path);
    let mut same_end = names.iter().filter(has_same_end);
    let same_end = if path.contains('.') {
        same_end.min_by_key(|name| distance(name))
    } else {
        same_end.next()
    };
    if let Some(name) = same_end {
        return Some((*name).to_owned());
    }
    let is_near = |name: &&&str| distance(name) <= 1 + name.len().min(path.len()) / 4;
    let has_near_end = |name: &&&str| strsim::damerau_levenshtein(&last(name), &last(path)) <= 1 + last(path).len() / 5;
    let by_path = names.iter().filter(is_near).min_by_key(|name| distance(name));
    by_path
        .or_else(|| names.iter().filter(has_near_end).min_by_key(|name| distance(name)))
        .map(|name| (*name).to_owned())
}

/// The default of every key that has one, as the tables of a file.
pub(crate) fn defaults() -> Table {
    let mut root = Table::new();
    for key in all_keys() {
        let Some(default) = &key.default else { continue };
        insert(&mut root, &key.name, default.clone());
    }
    root
}

fn insert(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(table.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let below = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(below) = below {
                insert(below, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
