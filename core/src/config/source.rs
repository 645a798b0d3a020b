//! Where a model or data comes from.

use serde::{Deserialize, Serialize};

use super::keys::{Key, Kind, Setting};

/// Data or a model: compiled into the binary, or a path (or hub id) as it was typed. A relative path is relative
/// to the working directory, also when it stands in a config file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Source {
    /// Written "embedded".
    Embedded,
    /// Anything else.
    Path(String),
}

impl From<String> for Source {
    fn from(text: String) -> Source {
        if text == "embedded" {
            Source::Embedded
        } else {
            Source::Path(text)
        }
    }
}

impl From<Source> for String {
    fn from(source: Source) -> String {
        match source {
            Source::Embedded => "embedded".to_owned(),
            Source::Path(path) => path,
        }
    }
}

impl Setting for Source {
    fn describe(key: String, doc: &str, keys: &mut Vec<Key>) {
        keys.push(Key::new(key, Kind::Text, doc));
    }
}
