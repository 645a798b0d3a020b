//! One param as data: what `plugin inspect` shows, and what a value is checked against.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::range::ParamRange;
use super::value::{OR_NONE, ParamValue, one_of};

/// One param, as `plugin inspect` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParamSpec {
    /// Key in the config.
    pub name: String,
    /// Type in words: "number", "list of numbers", "one of \"a\", \"b\"", …
    pub kind: String,
    /// The words that are accepted, for a choice; empty for everything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// The range of a number, or of each number of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ParamRange>,
    /// Default as JSON; `null` is "none".
    pub default: Value,
    /// The doc comment.
    pub doc: String,
}

impl ParamSpec {
    /// The entry of a param of type `T`.
    pub fn of<T: ParamValue>(name: &str, default: &T, doc: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: T::kind(),
            choices: T::choices(),
            range: None,
            default: default.to_value(),
            doc: doc.to_owned(),
        }
    }

    /// The same entry, for numbers in `range` only.
    #[must_use]
    pub fn within(mut self, range: ParamRange) -> Self {
        self.range = Some(range);
        self
    }

    /// The same entry, for these texts only.
    #[must_use]
    pub fn one_of(mut self, choices: &[&str]) -> Self {
        self.choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
        self.kind = self.kind.replacen(&String::kind(), &one_of(&self.choices), 1);
        self
    }

    /// What is accepted, in words: the kind and the range.
    pub fn accepted(&self) -> String {
        let Some(range) = self.range else {
            return self.kind.clone();
        };
        let (kind, or_none) = match self.kind.strip_suffix(OR_NONE) {
            Some(kind) => (kind, OR_NONE),
            None => (self.kind.as_str(), ""),
        };
        // A whole number's own bound is 0, and any other lower bound says more.
        let bounded = range.at_least.is_some() || range.above.is_some();
        let kind = if bounded { kind.trim_end_matches(" >= 0") } else { kind };
        format!("{kind} {range}{or_none}")
    }
}
