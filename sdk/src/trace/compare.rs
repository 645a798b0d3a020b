//! What is expected of an event, and whether an outcome is that, within the tolerance of traces.

use serde::{Deserialize, Serialize};

use crate::Metrics;

/// What is expected, or was found, once a hook has returned. What is not named is not compared.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// `[M]`: what `weigh_gradients` returned, which is what the objectives' gradients are mixed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_weights: Option<Vec<f32>>,
    /// `[M]`: the weights on scores or advantages that `scalarize` returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixing_weights: Option<Vec<f32>>,
    /// `[M]`: the scalarizer's current weights, [`crate::Scalarizer::weights`]; where it has none of its own, those that the
    /// hook returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<f32>>,
    /// `[B]`: the rewards that the scalarizer makes of the scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewards: Option<Vec<f32>>,
    /// `[B]` or `[N]`: the advantages, where the scalarizer gives them itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advantages: Option<Vec<f32>>,
    /// What the step's advantages are multiplied by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advantage_scale: Option<f32>,
    /// The scalarizer's metrics, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
}

/// A difference between what was expected and what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Which field: `weights[1]`, `metrics.contribution`.
    pub field: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl Expect {
    /// The first field of `self` that `found` does not have within the tolerance, if any. What `self` does not
    /// name is not compared.
    pub fn first_difference(&self, found: &Expect) -> Option<Difference> {
        let lists = [
            ("gradient_weights", &self.gradient_weights, &found.gradient_weights),
            ("mixing_weights", &self.mixing_weights, &found.mixing_weights),
            ("weights", &self.weights, &found.weights),
            ("rewards", &self.rewards, &found.rewards),
            ("advantages", &self.advantages, &found.advantages),
        ];
        for (field, expected, found) in lists {
            if let Some(expected) = expected
                && let Some(difference) = list_difference(field, expected, found.as_deref())
            {
                return Some(difference);
            }
        }
        if let Some(expected) = self.advantage_scale {
            let found = found.advantage_scale.map(f64::from);
            let difference = number_difference("advantage_scale", f64::from(expected), found);
            if difference.is_some() {
                return difference;
            }
        }
        self.metrics
            .iter()
            .flat_map(Metrics::iter)
            .find_map(|(name, expected)| {
                let value = found.metrics.as_ref().and_then(|metrics| metrics.get(name));
                number_difference(&format!("metrics.{name}"), expected, value)
            })
    }
}

/// Whether two numbers are the same for a trace: |found − expected| <= 1e-5 + 1e-4·|expected|. NaN is not.
pub fn close(found: f64, expected: f64) -> bool {
    found == expected || (found - expected).abs() <= 1e-5 + 1e-4 * expected.abs()
}

fn number_difference(field: &str, expected: f64, found: Option<f64>) -> Option<Difference> {
    if found.is_some_and(|found| close(found, expected)) {
        return None;
    }
    Some(Difference {
        field: field.to_owned(),
        expected: expected.to_string(),
        found: found.map_or_else(|| "nothing".to_owned(), |found| found.to_string()),
    })
}

fn list_difference(field: &str, expected: &[f32], found: Option<&[f32]>) -> Option<Difference> {
    let Some(found) = found else {
        return Some(Difference {
            field: field.to_owned(),
            expected: format!("{} values", expected.len()),
            found: "nothing".to_owned(),
        });
    };
    if found.len() != expected.len() {
        return Some(Difference {
            field: field.to_owned(),
            expected: format!("{} values", expected.len()),
            found: format!("{} values", found.len()),
        });
    }
    expected
        .iter()
        .zip(found)
        .enumerate()
        .find(|(_, (expected, found))| !close(f64::from(**found), f64::from(**expected)))
        .map(|(index, (expected, found))| Difference {
            field: format!("{field}[{index}]"),
            expected: expected.to_string(),
            found: found.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::{Expect, close};
    use crate::Metrics;

    #[test]
    fn the_first_difference_is_named() {
        let expect = Expect {
            weights: Some(vec![0.5, 0.5]),
            metrics: Some(Metrics::new().with("gap", 1.0)),
            ..Expect::default()
        };
        let mut found = expect.clone();
        found.rewards = Some(vec![1.0]);
        assert_eq!(expect.first_difference(&found), None);
        found.metrics = Some(Metrics::new().with("gap", 1.1));
        let field = |found: &Expect| expect.first_difference(found).map(|d| d.field);
        assert_eq!(field(&found).as_deref(), Some("metrics.gap"));
        found.weights = Some(vec![0.5, 0.5002]);
        assert_eq!(field(&found).as_deref(), Some("weights[1]"));
        found.weights = None;
        assert_eq!(field(&found).as_deref(), Some("weights"));
    }

    #[test]
    fn the_tolerance_is_absolute_and_relative() {
        assert!(close(1e-5, 0.0) && !close(1.1e-5, 0.0));
        assert!(close(100.009, 100.0) && !close(100.02, 100.0));
        assert!(!close(f64::NAN, 0.0));
    }
}
