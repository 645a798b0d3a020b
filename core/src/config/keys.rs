//! The table of all keys: name, type, documentation. It is derived from the structs of [`super::settings`], so the
//! two cannot drift apart; the strict check, `config explain` and `config schema` read it.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::settings::{Config, Params, Source};

/// What a key's value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number, 0 or more.
    Count,
    /// A finite number.
    Number,
    /// A list of so many finite numbers.
    Numbers(usize),
    /// A list of strings.
    Texts,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of tables, written `[[key]]`; its entries' keys are listed as `key[].…`.
    Tables,
    /// Anything: a plugin or a reward checks it.
    Free,
}

impl Kind {
    /// The type in words, for messages: "expected …".
    pub fn expected(&self) -> String {
        match self {
            Kind::Text => "a string".into(),
            Kind::Flag => "true or false".into(),
            Kind::Count => "a whole number, 0 or more".into(),
            Kind::Number => "a finite number".into(),
            Kind::Numbers(n) => format!("a list of {n} finite numbers"),
            Kind::Texts => "a list of strings such as [\"a\", \"b\"]".into(),
            Kind::Choice(names) => {
                format!(
                    "one of {}",
                    names.iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ")
                )
            }
            Kind::Tables => "a list of tables, [[…]]".into(),
            Kind::Free => "a value".into(),
        }
    }

    /// The type as one word, for the schema.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Text | Kind::Choice(_) => "string",
            Kind::Flag => "boolean",
            Kind::Count => "integer",
            Kind::Number => "number",
            Kind::Numbers(_) => "numbers",
            Kind::Texts => "strings",
            Kind::Tables => "tables",
            Kind::Free => "any",
        }
    }
}

/// One key that a config file may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Dotted name, `rollout.group_size`. Keys of list entries have `[]`: `objective[].name`. A final `*` stands for
    /// any further name: `scalarizer.*`.
    pub name: String,
    /// What its value must look like.
    pub kind: Kind,
    /// What it means, one line.
    pub doc: String,
    /// Whether it may be left out although no default names it.
    pub optional: bool,
}

impl Key {
    /// A key that must have a value.
    pub(crate) fn new(name: String, kind: Kind, doc: &str) -> Key {
        Key {
            name,
            kind,
            doc: doc.trim().to_owned(),
            optional: false,
        }
    }
}

/// A type that can stand in the config: it lists the keys below it.
pub(crate) trait Setting {
    /// Adds the keys that the type has when it stands at `key` ("" is the root), documented there by `doc`.
    fn describe(key: String, doc: &str, keys: &mut Vec<Key>);
}

macro_rules! leaf {
    ($($type:ty => $kind:expr),+ $(,)?) => {$(
        impl Setting for $type {
            fn describe(key: String, doc: &str, keys: &mut Vec<Key>) {
                keys.push(Key::new(key, $kind, doc));
            }
        }
    )+};
}

leaf! {
    String => Kind::Text,
    PathBuf => Kind::Text,
    Source => Kind::Text,
    bool => Kind::Flag,
    usize => Kind::Count,
    u64 => Kind::Count,
    f64 => Kind::Number,
    [f64; 2] => Kind::Numbers(2),
    Vec<String> => Kind::Texts,
    Params => Kind::Free,
}

impl<T: Setting> Setting for Option<T> {
    fn describe(key: String, doc: &str, keys: &mut Vec<Key>) {
        let first = keys.len();
        T::describe(key, doc, keys);
        keys[first..].iter_mut().for_each(|key| key.optional = true);
    }
}

/// Every key, in the order of a written config file.
pub fn all_keys() -> &'static [Key] {
    static KEYS: OnceLock<Vec<Key>> = OnceLock::new();
    KEYS.get_or_init(|| {
        // `include` is spent when a file is read, so the resolved config does not have it.
        let doc = "Files to read first, lower than this one; their paths are relative to the file they stand in.";
        let mut keys = vec![Key {
            optional: true,
            ..Key::new("include".to_owned(), Kind::Texts, doc)
        }];
        Config::describe(String::new(), "", &mut keys);
        keys
    })
}

/// What stands at a dotted path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A key of its own.
    Leaf(&'static Key),
    /// A table of keys.
    Table,
    /// Nothing.
    Unknown,
}

/// What stands at `path`; list entries are written `objective[]`.
pub(crate) fn find(path: &str) -> Place {
    for key in all_keys() {
        if key.name == path {
            return Place::Leaf(key);
        }
        if let Some(open) = key.name.strip_suffix('*')
            && path.len() > open.len()
            && path.starts_with(open)
            && !all_keys().iter().any(|key| key.name == path)
        {
            return Place::Leaf(key);
        }
    }
    let below = |key: &Key| key.name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    if all_keys().iter().any(below) {
        Place::Table
    } else {
        Place::Unknown
    }
}

/// The key or table nearest to a name that does not exist, if one is near: the same last part under another table
/// (`train.lr` -> `optimizer.lr`), else the smallest edit distance.
pub(crate) fn nearest(path: &str) -> Option<String> {
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
    let same_end = |name: &&&str| last(name) == last(path);
    if let Some(name) = names.iter().filter(same_end).min_by_key(|name| distance(name)) {
        return Some((*name).to_owned());
    }
    let near = |name: &&&str| distance(name) <= 1 + name.len().min(path.len()) / 4;
    let close_end = |name: &&&str| strsim::damerau_levenshtein(&last(name), &last(path)) <= 1 + last(path).len() / 5;
    let by_path = names.iter().filter(near).min_by_key(|name| distance(name));
    by_path
        .or_else(|| names.iter().filter(close_end).min_by_key(|name| distance(name)))
        .map(|name| (*name).to_owned())
}

/// The name under which the key table lists a concrete path: `objective[2].name` -> `objective[].name`.
pub(crate) fn general(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    let mut inside = false;
    for letter in path.chars() {
        inside &= letter != ']';
        if !inside {
            name.push(letter);
        }
        inside |= letter == '[';
    }
    name
}
