//! The types that a param may have: each says its kind in words, and reads itself from JSON.

use std::fmt;

use serde_json::{Map, Value};

/// The end of an optional param's kind.
pub(super) const OR_NONE: &str = ", or none";

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

pub(super) fn one_of(names: &[impl fmt::Debug]) -> String {
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
