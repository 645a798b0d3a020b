//! Params: what a plugin is configured with. `#[derive(Params)]` writes the schema (for `plugin inspect`) and a
//! strict parser. An unknown key, a wrong type or a number out of range is an error that names the key, what was found
//! and what was expected.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// The params of a plugin, read from the JSON object that stands in the config. Derive it.
pub trait Params: Sized {
    /// One entry for each param, in the order of the fields.
    fn schema() -> Vec<ParamSpec>;

    /// Reads a JSON object; `null` is the empty object.
    ///
    /// # Errors
    /// Not an object, an unknown key, a wrong type, or a number out of its range.
    fn from_json(value: &Value) -> Result<Self> {
        Self::from_fields(&mut ParamFields::new(value, Self::schema())?)
    }

    /// Takes its own keys from an object whose keys are known; other params may stand beside them.
    ///
    /// # Errors
    /// A wrong type, or a number out of its range.
    fn from_fields(fields: &mut ParamFields<'_>) -> Result<Self>;
}

/// For plugins without params: `type Params = ();`
impl Params for () {
    fn schema() -> Vec<ParamSpec> {
        Vec::new()
    }

    fn from_fields(_: &mut ParamFields<'_>) -> Result<Self> {
        Ok(())
    }
}

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

/// The end of an optional param's kind.
const OR_NONE: &str = ", or none";

/// The range of a number: at most one lower and one upper bound. Display is `> 0 and <= 1`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ParamRange {
    /// `>=`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// `>`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// `<=`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// `<`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
}

impl ParamRange {
    /// Whether `value` is inside; NaN never is.
    pub fn contains(&self, value: f64) -> bool {
        self.at_least.is_none_or(|low| value >= low)
            && self.above.is_none_or(|low| value > low)
            && self.at_most.is_none_or(|high| value <= high)
            && self.below.is_none_or(|high| value < high)
            && !value.is_nan()
    }

    /// The first number in a JSON number or list that is outside.
    fn outside(&self, value: &Value) -> Option<f64> {
        match value {
            Value::Array(list) => list.iter().find_map(|value| self.outside(value)),
            other => other.as_f64().filter(|number| !self.contains(*number)),
        }
    }
}

impl fmt::Display for ParamRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds = [
            (">=", self.at_least),
            (">", self.above),
            ("<=", self.at_most),
            ("<", self.below),
        ];
        let mut between = "";
        for (sign, bound) in bounds {
            if let Some(bound) = bound {
                write!(f, "{between}{sign} {bound}")?;
                between = " and ";
            }
        }
        Ok(())
    }
}

/// A type that a param may have: numbers, bool, text, lists, options, tables, and enums with `#[derive(Choice)]`.
pub trait ParamValue: Sized {
    /// Whether it holds numbers, so that a range makes sense.
    const IS_NUMBER: bool = false;
    /// Whether it is a text, so that it may be one of some choices.
    const IS_TEXT: bool = false;
    /// The type in words, for errors and `plugin inspect`.
    fn kind() -> String;
    /// The words of a choice.
    fn choices() -> Vec<String> {
        Vec::new()
    }
    /// The value, or `None` where `value` is of another type or out of range.
    fn from_value(value: &Value) -> Option<Self>;
    /// The value as JSON, for defaults.
    fn to_value(&self) -> Value;
}

/// An enum whose variants have names. Derive it.
pub trait Choice: Sized {
    /// All names, in the order of the variants.
    const NAMES: &'static [&'static str];
    /// The name of this variant.
    fn name(&self) -> &'static str;
    /// The variant of a name.
    fn from_name(name: &str) -> Option<Self>;
}

/// `one of "a", "b"`: the kind of a choice.
pub fn choice_kind<C: Choice>() -> String {
    one_of(C::NAMES)
}

fn one_of(names: &[impl fmt::Debug]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("one of {}", names.join(", "))
}

impl ParamValue for f64 {
    const IS_NUMBER: bool = true;
    fn kind() -> String {
        "number".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_f64()
    }
    fn to_value(&self) -> Value {
        Value::from(*self)
    }
}

impl ParamValue for f32 {
    const IS_NUMBER: bool = true;
    fn kind() -> String {
        f64::kind()
    }
    fn from_value(value: &Value) -> Option<Self> {
        // The nearest f32 is wanted; what is too large for one is refused.
        #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
        let number = value.as_f64()? as f32;
        number.is_finite().then_some(number)
    }
    fn to_value(&self) -> Value {
        // Through the shortest text, so that a default of 0.1 reads 0.1 and not 0.10000000149011612.
        self.to_string().parse::<f64>().map_or(Value::Null, Value::from)
    }
}

macro_rules! whole_number {
    ($($type:ty),*) => {$(
        impl ParamValue for $type {
            const IS_NUMBER: bool = true;
            fn kind() -> String {
                "whole number >= 0".to_owned()
            }
            fn from_value(value: &Value) -> Option<Self> {
                <$type>::try_from(value.as_u64()?).ok()
            }
            fn to_value(&self) -> Value {
                Value::from(*self)
            }
        }
    )*};
}
whole_number!(u32, u64, usize);

impl ParamValue for bool {
    fn kind() -> String {
        "true or false".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }
    fn to_value(&self) -> Value {
        Value::from(*self)
    }
}

impl ParamValue for String {
    const IS_TEXT: bool = true;
    fn kind() -> String {
        "text".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
    fn to_value(&self) -> Value {
        Value::from(self.as_str())
    }
}

/// A table of whatever keys: a JSON schema, for one. May be written as a text, too, since TOML has no null.
impl ParamValue for Map<String, Value> {
    fn kind() -> String {
        "table, or its JSON as text".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Object(object) => Some(object.clone()),
            Value::String(text) => serde_json::from_str(text).ok(),
            _ => None,
        }
    }
    fn to_value(&self) -> Value {
        Value::Object(self.clone())
    }
}

impl<T: ParamValue> ParamValue for Vec<T> {
    const IS_NUMBER: bool = T::IS_NUMBER;
    fn kind() -> String {
        match T::kind().as_str() {
            "number" => "list of numbers".to_owned(),
            "whole number >= 0" => "list of whole numbers >= 0".to_owned(),
            other => format!("list of {other}"),
        }
    }
    fn choices() -> Vec<String> {
        T::choices()
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::from_value).collect()
    }
    fn to_value(&self) -> Value {
        Value::Array(self.iter().map(T::to_value).collect())
    }
}

impl<T: ParamValue> ParamValue for Option<T> {
    const IS_NUMBER: bool = T::IS_NUMBER;
    const IS_TEXT: bool = T::IS_TEXT;
    fn kind() -> String {
        format!("{}{OR_NONE}", T::kind())
    }
    fn choices() -> Vec<String> {
        T::choices()
    }
    fn from_value(value: &Value) -> Option<Self> {
        if value.is_null() {
            Some(None)
        } else {
            T::from_value(value).map(Some)
        }
    }
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }
}

/// The keys of a params object; what `#[derive(Params)]` reads from.
pub struct ParamFields<'a> {
    object: Option<&'a Map<String, Value>>,
    schema: Vec<ParamSpec>,
}

impl<'a> ParamFields<'a> {
    /// Checks that `value` is an object (or `null`) and that `schema` knows all its keys.
    ///
    /// # Errors
    /// Something else, or an unknown key, with the nearest known one as a hint.
    pub fn new(value: &'a Value, schema: Vec<ParamSpec>) -> Result<Self> {
        let object = match value {
            Value::Null => return Ok(Self { object: None, schema }),
            Value::Object(object) => object,
            other => {
                return Err(Error::new(format!(
                    "params are {}, expected a table of keys and values",
                    found(other)
                )));
            }
        };
        let names: Vec<&str> = schema.iter().map(|spec| spec.name.as_str()).collect();
        for key in object.keys() {
            if !names.contains(&key.as_str()) {
                let expected = if names.is_empty() {
                    "it takes no params".to_owned()
                } else {
                    format!("expected one of {}", names.join(", "))
                };
                let error = Error::new(format!("unknown param `{key}`: {expected}"));
                return Err(match nearest(key, &names) {
                    Some(name) => error.hint(format!("did you mean `{name}`?")),
                    None => error,
                });
            }
        }
        Ok(Self {
            object: Some(object),
            schema,
        })
    }

    /// The value of `key`, or its default where the key is not there.
    ///
    /// # Errors
    /// A wrong type, a number out of range, or a text that is none of the choices.
    pub fn take<T: ParamValue>(&mut self, key: &str, default: impl FnOnce() -> T) -> Result<T> {
        let Some(value) = self.object.and_then(|object| object.get(key)) else {
            return Ok(default());
        };
        let spec = self.schema.iter().find(|spec| spec.name == key);
        let spec = spec.ok_or_else(|| Error::new(format!("param `{key}` is not in the schema")))?;
        let is_choice = |text: &str| spec.choices.is_empty() || spec.choices.iter().any(|choice| choice == text);
        let outside = spec.range.and_then(|range| range.outside(value));
        if outside.is_none()
            && value.as_str().is_none_or(is_choice)
            && let Some(value) = T::from_value(value)
        {
            return Ok(value);
        }
        let error = Error::new(format!(
            "param `{key}` is {}, expected {}",
            found(value),
            spec.accepted()
        ));
        let choices: Vec<&str> = spec.choices.iter().map(String::as_str).collect();
        let hint = match value.as_str().and_then(|word| nearest(word, &choices)) {
            Some(word) => Some(format!("did you mean {word:?}?")),
            None if outside.is_some() => Some(match &spec.default {
                Value::Null => "leave it out for none".to_owned(),
                default => format!("its default is {default}"),
            }),
            None => None,
        };
        Err(match hint {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }
}

/// A JSON value in words, cut where it is long: `the text "abc"`, `the number 3`.
fn found(value: &Value) -> String {
    let mut text = value.to_string();
    if text.chars().count() > 60 {
        text = text.chars().take(57).collect::<String>() + "...";
    }
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => text,
        Value::Number(_) => format!("the number {text}"),
        Value::String(_) => format!("the text {text}"),
        Value::Array(_) => format!("the list {text}"),
        Value::Object(_) => format!("the table {text}"),
    }
}

/// The candidate nearest to `word` by edit distance, if it is near enough to be meant: about a third of the
/// letters may differ, so that two letters of five can be swapped.
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (edit_distance(word, candidate), *candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= word.len().max(candidate.len()).div_ceil(3))
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance over characters, one row at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ParamSpec, Params as _, edit_distance};
    use crate::prelude::*;

    #[derive(Debug, Clone, Copy, PartialEq, Default, Choice)]
    enum Reference {
        #[default]
        RunningMax,
        BatchMax,
    }

    #[derive(Debug, PartialEq, Params)]
    struct All {
        /// weight of each objective,
        /// in order
        weights: Vec<f32>,
        #[param(default = 0.1)]
        tau: f32,
        #[param(default = [0.1, 0.05])]
        targets: Vec<f32>,
        #[param(default = Reference::BatchMax)]
        reference: Reference,
        fallback: Reference,
        #[param(default = 1)]
        every: u32,
        #[param(default = true)]
        normalize: bool,
        #[param(default = "none")]
        label: String,
        limit: Option<f64>,
    }

    #[test]
    fn defaults_docs_and_kinds_come_from_the_fields() -> Result<()> {
        let all = All::from_json(&json!({}))?;
        assert_eq!(all, All::from_json(&serde_json::Value::Null)?);
        assert_eq!(
            all,
            All {
                weights: vec![],
                tau: 0.1,
                targets: vec![0.1, 0.05],
                reference: Reference::BatchMax,
                fallback: Reference::RunningMax,
                every: 1,
                normalize: true,
                label: "none".to_owned(),
                limit: None,
            }
        );
        let schema = All::schema();
        assert_eq!(
            schema[0],
            ParamSpec {
                name: "weights".to_owned(),
                kind: "list of numbers".to_owned(),
                choices: vec![],
                range: None,
                default: json!([]),
                doc: "weight of each objective, in order".to_owned(),
            }
        );
        assert_eq!(schema[1].default, json!(0.1));
        assert_eq!(schema[3].choices, ["running-max", "batch-max"]);
        assert_eq!(schema[8].kind, "number, or none");
        Ok(())
    }

    #[test]
    fn values_are_read() -> Result<()> {
        let all = All::from_json(&json!({
            "weights": [1, 0.5], "reference": "running-max", "every": 7, "limit": 2, "label": "x", "normalize": false
        }))?;
        assert_eq!(all.weights, [1.0, 0.5]);
        assert_eq!(all.reference, Reference::RunningMax);
        assert_eq!((all.every, all.limit), (7, Some(2.0)));
        assert_eq!((all.label.as_str(), all.normalize), ("x", false));
        Ok(())
    }

    #[test]
    fn errors_name_key_found_expected_and_the_nearest_key() {
        let error = |value| All::from_json(&value).expect_err("must be refused");
        let unknown = error(json!({"weight": [1]}));
        assert!(unknown.message.contains("unknown param `weight`"), "{unknown}");
        assert_eq!(unknown.hint.as_deref(), Some("did you mean `weights`?"));
        assert_eq!(error(json!({"zzzzzzzz": 1})).hint, None);
        assert_eq!(
            error(json!({"weights": "half"})).message,
            "param `weights` is the text \"half\", expected list of numbers"
        );
        assert_eq!(
            error(json!({"every": -1})).message,
            "param `every` is the number -1, expected whole number >= 0"
        );
        let word = error(json!({"reference": "batch_max"}));
        assert_eq!(
            word.message,
            "param `reference` is the text \"batch_max\", expected one of \"running-max\", \"batch-max\""
        );
        assert_eq!(word.hint.as_deref(), Some("did you mean \"batch-max\"?"));
        assert!(error(json!({"tau": 1e300})).message.contains("`tau`"));
        assert!(error(json!([1])).message.contains("expected a table"));
        assert!(<()>::from_json(&json!({"a": 1})).is_err());
    }

    #[derive(Debug, PartialEq, Params)]
    struct Ranges {
        #[param(default = 0.1, above = 0.0, range = ..=1.0)]
        tau: f64,
        #[param(default = 1, range = 1..)]
        every: u32,
        #[param(range = 0.0..1.0)]
        shares: Vec<f64>,
        #[param(above = 0)]
        limit: Option<f64>,
        #[param(choices = ["old", "new"])]
        rule: Option<String>,
    }

    #[derive(Debug, PartialEq, Params)]
    struct More {
        #[param(flatten)]
        ranges: Ranges,
        #[param(default = 2)]
        more: u32,
    }

    #[test]
    fn flattened_params_stand_beside_others() -> Result<()> {
        let names: Vec<String> = More::schema().into_iter().map(|spec| spec.name).collect();
        assert_eq!(names, ["tau", "every", "shares", "limit", "rule", "more"]);
        let read = More::from_json(&json!({"tau": 0.5, "more": 3}))?;
        assert_eq!((read.ranges.tau, read.ranges.every, read.more), (0.5, 1, 3));
        assert!(More::from_json(&json!({"tau": 2})).is_err());
        assert!(More::from_json(&json!({"ranges": {}})).is_err());
        Ok(())
    }

    #[test]
    fn ranges_are_checked_and_shown() -> Result<()> {
        let read = Ranges::from_json(&json!({"tau": 1.0, "every": 1, "shares": [0, 0.5], "limit": 2, "rule": "old"}))?;
        assert_eq!((read.tau, read.every, read.limit), (1.0, 1, Some(2.0)));
        assert_eq!((read.shares, read.rule.as_deref()), (vec![0.0, 0.5], Some("old")));
        let shown: Vec<String> = Ranges::schema().iter().map(ParamSpec::accepted).collect();
        assert_eq!(
            shown,
            [
                "number > 0 and <= 1",
                "whole number >= 1",
                "list of numbers >= 0 and < 1",
                "number > 0, or none",
                "one of \"old\", \"new\", or none"
            ]
        );
        for (value, message, hint) in [
            (
                json!({"tau": 0}),
                "param `tau` is the number 0, expected number > 0 and <= 1",
                "its default is 0.1",
            ),
            (
                json!({"every": 0}),
                "param `every` is the number 0, expected whole number >= 1",
                "its default is 1",
            ),
            (
                json!({"shares": [0.5, 1.0]}),
                "param `shares` is the list [0.5,1.0], expected list of numbers >= 0 and < 1",
                "its default is []",
            ),
            (
                json!({"limit": -1.5}),
                "param `limit` is the number -1.5, expected number > 0, or none",
                "leave it out for none",
            ),
            (
                json!({"rule": "olt"}),
                "param `rule` is the text \"olt\", expected one of \"old\", \"new\", or none",
                "did you mean \"old\"?",
            ),
        ] {
            let error = Ranges::from_json(&value).expect_err("must be refused");
            assert_eq!((error.message.as_str(), error.hint.as_deref()), (message, Some(hint)));
        }
        Ok(())
    }

    #[derive(Debug, PartialEq, Params)]
    struct Free {
        schema: serde_json::Map<String, serde_json::Value>,
    }

    #[test]
    fn a_table_is_taken_as_it_is_or_as_json() -> Result<()> {
        let expected = json!({ "a": { "b": [1, null] } });
        for schema in [expected.clone(), json!(expected.to_string())] {
            let read = Free::from_json(&json!({ "schema": schema }))?;
            assert_eq!(serde_json::Value::Object(read.schema), expected);
        }
        for schema in [json!("a"), json!("[1]"), json!([1]), json!(1), json!(null)] {
            let error = Free::from_json(&json!({ "schema": schema })).expect_err("no table");
            assert!(error.message.starts_with("param `schema` is "), "{error}");
        }
        assert_eq!(Free::schema()[0].default, json!({}));
        Ok(())
    }

    #[test]
    fn edit_distance_counts_edits() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
    }
}
