//! What an event came to, looked at number by number: lengths, finite values, and the first bit that differs.

use crate::trace::{Event, Expect};
use crate::{Error, Metrics, Result};

/// The lists of an outcome, each with its name in a trace.
fn lists(outcome: &Expect) -> [(&'static str, Option<&[f32]>); 5] {
    [
        ("gradient_weights", outcome.gradient_weights.as_deref()),
        ("mixing_weights", outcome.mixing_weights.as_deref()),
        ("weights", outcome.weights.as_deref()),
        ("rewards", outcome.rewards.as_deref()),
        ("advantages", outcome.advantages.as_deref()),
    ]
}

/// Every number of an outcome with its name, in a fixed order.
fn numbers(outcome: &Expect) -> Vec<(String, f64)> {
    let mut all = Vec::new();
    for (name, list) in lists(outcome) {
        let values = list.unwrap_or_default().iter().enumerate();
        all.extend(values.map(|(index, value)| (format!("{name}[{index}]"), f64::from(*value))));
    }
    all.extend(
        outcome
            .advantage_scale
            .map(|scale| ("advantage_scale".to_owned(), f64::from(scale))),
    );
    let metrics = outcome.metrics.iter().flat_map(Metrics::iter);
    all.extend(metrics.map(|(name, value)| (format!("metric {name}"), value)));
    all
}

/// The first number that is not the same to the last bit: what it is in one and in the other outcome.
pub(super) fn first_bit_difference(one: &Expect, other: &Expect) -> Option<String> {
    let (one, other) = (numbers(one), numbers(other));
    for ((name, value), (other_name, other_value)) in one.iter().zip(&other) {
        if name != other_name {
            return Some(format!("one returns {name}, the other {other_name}"));
        }
        if value.to_bits() != other_value.to_bits() {
            return Some(format!("{name} is {value} and {other_value}"));
        }
    }
    let (a, b) = (one.len(), other.len());
    (a != b).then(|| format!("one returns {a} numbers, the other {b}"))
}

/// Lengths and finite numbers of the outcome of `event` with `m` objectives.
pub(super) fn well_formed(outcome: &Expect, event: &Event, m: usize) -> Result<()> {
    let (b, n) = match event {
        Event::Scalarize(event) => (
            event.groups.len(),
            event.lengths.iter().map(|length| *length as usize).sum(),
        ),
        _ => (0, 0),
    };
    for (name, list) in lists(outcome) {
        let Some(values) = list else { continue };
        let (lengths, of) = match name {
            "rewards" => ([b, b], "one for each completion"),
            "advantages" => ([b, n], "one for each completion"),
            _ => ([m, m], "one for each objective"),
        };
        if !lengths.contains(&values.len()) {
            let (found, expected) = (values.len(), lengths[0]);
            return Err(Error::new(format!(
                "{name} has {found} values, expected {expected}, {of}"
            )));
        }
        let Some(index) = values.iter().position(|value| !value.is_finite()) else {
            continue;
        };
        let value = values[index];
        return Err(match (name, &outcome.mixing_weights) {
            ("rewards", Some(weights)) => Error::new(format!(
                "its weights {weights:?} make a reward of {value} of finite scores, in row {index}"
            )),
            _ => Error::new(format!("{name}[{index}] is {value}, expected a finite number")),
        });
    }
    match numbers(outcome).into_iter().find(|(_, value)| !value.is_finite()) {
        Some((name, value)) => Err(Error::new(format!("{name} is {value}, expected a finite number"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Expect, first_bit_difference};

    #[test]
    fn outcomes_are_compared_to_the_last_bit() {
        let of = |rewards: &[f32]| Expect {
            rewards: Some(rewards.to_vec()),
            ..Expect::default()
        };
        assert_eq!(first_bit_difference(&of(&[0.5]), &of(&[0.5])), None);
        let zero = first_bit_difference(&of(&[1.0, 0.0]), &of(&[1.0, -0.0]));
        assert_eq!(zero.as_deref(), Some("rewards[1] is 0 and -0"));
        let length = first_bit_difference(&of(&[1.0]), &of(&[1.0, 2.0]));
        assert_eq!(length.as_deref(), Some("one returns 1 numbers, the other 2"));
    }
}
