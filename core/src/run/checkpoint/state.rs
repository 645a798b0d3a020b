//! state.json: the step, and everything small that a run keeps, as named parts.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::CheckpointError;

/// What a run saves besides tensors. The owner of a piece of state puts it in under a name and reads it
/// back under the same name; numbers come back bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    step: u64,
    updates: u64,
    parts: Map<String, Value>,
}

impl State {
    /// The state after `step` completed steps and `updates` optimizer updates.
    #[must_use]
    pub fn new(step: u64, updates: u64) -> Self {
        Self {
            step,
            updates,
            parts: Map::new(),
        }
    }

    /// Completed steps.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Optimizer updates done.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Keeps `value` as the part `name`.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn put(&mut self, name: &str, value: &impl Serialize) -> Result<(), CheckpointError> {
        let value = serde_json::to_value(value).map_err(|e| self.problem(name, format!("cannot be written: {e}")))?;
        self.parts.insert(name.to_owned(), value);
        Ok(())
    }

    /// Keeps each field of `values` as a part under its name.
    ///
    /// # Errors
    /// They cannot be written as a JSON object.
    pub fn put_all(&mut self, values: &impl Serialize) -> Result<(), CheckpointError> {
        match serde_json::to_value(values) {
            Ok(Value::Object(fields)) => self.parts.extend(fields),
            Ok(other) => return Err(self.problem("parts", format!("found {other}, expected named fields"))),
            Err(error) => return Err(self.problem("parts", format!("cannot be written: {error}"))),
        }
        Ok(())
    }

    /// The parts that [`State::put_all`] kept, as the struct that they were.
    ///
    /// # Errors
    /// One is missing, or is something else.
    pub fn all<T: DeserializeOwned>(&self) -> Result<T, CheckpointError> {
        serde_json::from_value(Value::Object(self.parts.clone()))
            .map_err(|e| self.problem("parts", format!("does not fit: {e}")))
    }

    /// The part `name`.
    ///
    /// # Errors
    /// There is none, or it is something else.
    pub fn part<T: DeserializeOwned>(&self, name: &str) -> Result<T, CheckpointError> {
        let value = self
            .parts
            .get(name)
            .ok_or_else(|| self.problem(name, "is missing".into()))?;
        serde_json::from_value(value.clone()).map_err(|e| self.problem(name, format!("does not fit: {e}")))
    }

    /// The text of state.json.
    pub(super) fn to_json(&self) -> Result<String, CheckpointError> {
        match serde_json::to_string_pretty(self) {
            Ok(text) => Ok(text + "\n"),
            Err(error) => Err(self.problem("step", format!("cannot be written: {error}"))),
        }
    }

    fn problem(&self, part: &str, problem: String) -> CheckpointError {
        CheckpointError::Part {
            path: super::names::name(self.step).into(),
            part: part.to_owned(),
            problem,
        }
    }
}
