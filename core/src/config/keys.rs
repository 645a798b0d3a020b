//! What is known about a key of the config: name, type, range, default and documentation. A type that can stand in
//! the config lists the keys below it through [`Setting`].

use std::path::PathBuf;

use toml::Value;

use super::range::Range;

/// What a key's value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string that is not blank.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number, 0 or more.
    Count,
    /// A finite number.
    Number,
    /// A list of this many finite numbers.
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
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Dotted name, `rollout.group_size`. Keys of list entries have `[]`: `objective[].name`. A final `*` stands for
    /// any further name: `scalarizer.*`.
    pub name: String,
    /// What its value must look like.
    pub kind: Kind,
    /// Range of its number or numbers.
    pub range: Option<Range>,
    /// Its value if no layer names it. Keys of list entries have none.
    pub default: Option<Value>,
    /// Last part of the name that it had before; the strict check refuses it and names the new one.
    pub formerly: Option<&'static str>,
    /// What it means.
    pub doc: String,
    /// Whether a resolved config may lack it.
    pub optional: bool,
}

impl Key {
    /// A key that must have a value, without range or default.
    pub(crate) fn new(name: String, kind: Kind, doc: &str) -> Key {
        Key {
            name,
            kind,
            range: None,
            default: None,
            formerly: None,
            doc: doc.trim().to_owned(),
            optional: false,
        }
    }

    /// What the value may be, in words: "expected …".
    pub fn expected(&self) -> String {
        let range = self.range.map(|range| range.to_string());
        let comma = match &range {
            Some(range) if range.starts_with(|letter: char| letter.is_ascii_digit()) => ", ",
            _ => " ",
        };
        match (self.kind, range) {
            (Kind::Text, _) => "a string".into(),
            (Kind::Flag, _) => "true or false".into(),
            (Kind::Count, None) => "a whole number, 0 or more".into(),
            (Kind::Count, Some(range)) => format!("a whole number{comma}{range}"),
            (Kind::Number, None) => "a finite number".into(),
            (Kind::Number, Some(range)) => format!("a number{comma}{range}"),
            (Kind::Numbers(n), None) => format!("a list of {n} finite numbers"),
            (Kind::Numbers(n), Some(range)) => format!("a list of {n} numbers, each {range}"),
            (Kind::Texts, _) => "a list of strings such as [\"a\", \"b\"]".into(),
            (Kind::Choice([only]), _) => format!("\"{only}\", the only choice so far"),
            (Kind::Choice(names), _) => {
                let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                format!("one of {}", quoted.join(", "))
            }
            (Kind::Tables, _) => "a list of tables, [[…]]".into(),
            (Kind::Free, _) => "a value".into(),
        }
    }

    /// The name that the key had before.
    pub(crate) fn former_name(&self) -> Option<String> {
        let former = self.formerly?;
        Some(match self.name.rsplit_once('.') {
            Some((table, _)) => format!("{table}.{former}"),
            None => former.to_owned(),
        })
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
    bool => Kind::Flag,
    usize => Kind::Count,
    u64 => Kind::Count,
    f64 => Kind::Number,
    [f64; 2] => Kind::Numbers(2),
    Vec<String> => Kind::Texts,
    serde_json::Map<String, serde_json::Value> => Kind::Free,
}

impl<T: Setting> Setting for Option<T> {
    fn describe(key: String, doc: &str, keys: &mut Vec<Key>) {
        let first = keys.len();
        T::describe(key, doc, keys);
        keys[first..].iter_mut().for_each(|key| key.optional = true);
    }
}

/// The name under which the key table lists a concrete path: `objective[2].name` -> `objective[].name`.
pub(crate) fn schema_key(path: &str) -> String {
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

/// `name` below the table at `path`; "" is the root.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
