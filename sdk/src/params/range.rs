//! The range of a param's numbers.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    pub(super) fn outside(&self, value: &Value) -> Option<f64> {
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
