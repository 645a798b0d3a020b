//! Reads the params of a plugin from a JSON object: unknown keys, wrong types and numbers out of range are errors.

use serde_json::{Map, Value};

use super::nearest::nearest;
use super::spec::ParamSpec;
use super::value::ParamValue;
use crate::math::{broadcast, simplex_weights};
use crate::{Error, Result, Setup};

/// The keys of a params object; what `#[derive(Params)]` reads from.
pub struct ParamFields<'a> {
    object: Option<&'a Map<String, Value>>,
    schema: Vec<ParamSpec>,
    setup: Option<&'a Setup>,
}

impl<'a> ParamFields<'a> {
    /// Checks that `value` is an object (or `null`) and that `schema` knows all its keys.
    ///
    /// # Errors
    /// Something else, or an unknown key, with the nearest known one as a hint.
    pub fn new(value: &'a Value, schema: Vec<ParamSpec>) -> Result<Self> {
        let object = match value {
            Value::Null => None,
            Value::Object(object) => Some(object),
            other => {
                return Err(Error::new(format!(
                    "params are {}, expected a table of keys and values",
                    found(other)
                )));
            }
        };
        let names: Vec<&str> = schema.iter().map(|spec| spec.name.as_str()).collect();
        for key in object.into_iter().flat_map(Map::keys) {
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
            object,
            schema,
            setup: None,
        })
    }

    /// The same keys, for a run.
    #[must_use]
    pub fn of_run(self, setup: &'a Setup) -> Self {
        Self {
            setup: Some(setup),
            ..self
        }
    }

    /// What the run is set up with.
    ///
    /// # Errors
    /// The params are read without a run.
    pub fn setup(&self) -> Result<&'a Setup> {
        self.setup.ok_or_else(|| {
            Error::new("these params depend on the run's objectives").hint("read them with Params::for_run")
        })
    }

    /// Weights `[M]` on the simplex, equal ones where the key is not there.
    ///
    /// # Errors
    /// As for [`simplex_weights`], or a wrong type.
    pub fn take_weights<T: From<f32>>(&mut self, key: &str) -> Result<Vec<T>> {
        let given: Vec<f32> = self.take(key, Vec::new)?;
        simplex_weights(&given, self.setup()?.m())
    }

    /// One number for each of `m` objectives; a single number stands for all.
    ///
    /// # Errors
    /// Another count, or a wrong type.
    pub fn take_per_objective<T: PerObjective>(
        &mut self,
        key: &str,
        m: usize,
        default: impl FnOnce() -> T,
    ) -> Result<T> {
        self.take(key, default)?.spread(key, m)
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

/// Numbers of which there may be one for each objective, or one for all.
pub trait PerObjective: ParamValue {
    /// One for each of `m` objectives. `key` is for the error.
    ///
    /// # Errors
    /// Neither one nor `m`, or one that is not finite.
    fn spread(self, key: &str, m: usize) -> Result<Self>;
}

impl PerObjective for Vec<f64> {
    fn spread(self, key: &str, m: usize) -> Result<Self> {
        broadcast(key, &self, m)
    }
}

impl PerObjective for Option<Vec<f64>> {
    fn spread(self, key: &str, m: usize) -> Result<Self> {
        self.map(|numbers| numbers.spread(key, m)).transpose()
    }
}
