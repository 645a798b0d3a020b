//! Everything that a scalarizer gives back for an event, as named numbers, so that two answers can be compared bit
//! for bit and the first number that differs has a name.

use moa_sdk::SignalKind;
use moa_sdk::trace::{Event, Flat};

use super::finding::Finding;
use crate::plugin::ScalarizerPlugin;

/// Named numbers, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Answer(Vec<(String, f64)>);

impl Answer {
    fn list(&mut self, name: &str, values: &[f32]) {
        let numbers = values.iter().enumerate();
        self.0
            .extend(numbers.map(|(index, value)| (format!("{name}[{index}]"), f64::from(*value))));
    }

    /// The first number that is not the same to the last bit: what it is here and in `other`.
    pub(super) fn first_difference(&self, other: &Self) -> Option<String> {
        let pairs = self.0.iter().zip(&other.0);
        for ((name, value), (other_name, other_value)) in pairs {
            if name != other_name {
                return Some(format!("one gives {name}, the other {other_name}"));
            }
            if value.to_bits() != other_value.to_bits() {
                return Some(format!("{name} is {value} and {other_value}"));
            }
        }
        let (a, b) = (self.0.len(), other.0.len());
        (a != b).then(|| format!("one gives {a} numbers, the other {b}"))
    }
}

/// Calls the hook of `event` and asks for weights and metrics. Findings: what the plugin said, an output that the
/// host refuses, or a training signal that is not finite once it is mixed.
pub(super) fn answer(plugin: &mut ScalarizerPlugin, event: &Event) -> Result<Answer, Finding> {
    let mut answer = Answer::default();
    let ours = |error: moa_sdk::Error| Finding::failed(format!("inputs of the check: {error}"));
    match event {
        Event::OnValidation(event) => plugin.on_validation(event.step, &event.values)?,
        Event::ObserveGradients(event) => {
            let flat = Flat::gradients(event).map_err(ours)?;
            let input = flat.gradients_input(event);
            plugin.observe_gradients(input.step, input.lr, input.gram, input.losses)?;
        }
        Event::WeighGradients(event) => {
            let flat = Flat::gradients(event).map_err(ours)?;
            let input = flat.gradients_input(event);
            let minibatch = input.minibatch.unwrap_or_default();
            let weights = plugin.weigh_gradients(input.step, minibatch, input.lr, input.gram, input.losses)?;
            answer.list("gradient weights", &weights);
        }
        Event::Scalarize(event) => {
            let flat = Flat::batch(event).map_err(ours)?;
            let input = flat.batch_input(event, plugin.m());
            let signal = plugin.scalarize(&input)?;
            match signal.kind() {
                SignalKind::Weights(values) => answer.list("weights on scores", values),
                SignalKind::Rewards(values) => answer.list("rewards", values),
                SignalKind::AdvantageWeights(values) => answer.list("weights on advantages", values),
                SignalKind::GradientWeights => {}
                SignalKind::Advantages(values) => answer.list("advantages", values),
                SignalKind::TokenAdvantages(values) => answer.list("token advantages", values),
            }
            let scale = f64::from(signal.advantage_scale());
            answer.0.push(("advantage_scale".to_owned(), scale));
            let rewards = signal.rewards_of(input.scores).unwrap_or_default();
            if let Some(b) = rewards.iter().position(|reward| !reward.is_finite()) {
                return Err(Finding::failed(format!(
                    "scalarize at step {}: its weights make a reward of {} of finite scores, in row {b}",
                    event.step, rewards[b]
                )));
            }
        }
        Event::AfterUpdate(event) => {
            let flat = Flat::update(event).map_err(ours)?;
            plugin.after_update(&flat.update_input(event, plugin.m()))?;
        }
    }
    if let Some(weights) = plugin.weights()? {
        answer.list("weights", &weights);
    }
    let metrics = plugin.metrics()?;
    let named = |(name, value): (String, f64)| (format!("metric {name}"), value);
    answer.0.extend(metrics.into_iter().map(named));
    Ok(answer)
}

/// Two answers to the same event must be the same. `what` says what was compared.
pub(super) fn same(event: &Event, first: &Answer, second: &Answer, what: &str) -> Result<(), Finding> {
    match first.first_difference(second) {
        None => Ok(()),
        Some(difference) => Err(Finding::failed(format!(
            "{} at step {}: {difference}, {what}",
            event.hook(),
            event.step()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn answers_are_compared_to_the_last_bit() {
        let of = |values: &[f32]| {
            let mut answer = Answer::default();
            answer.list("rewards", values);
            answer
        };
        assert_eq!(of(&[0.5]).first_difference(&of(&[0.5])), None);
        let zero = of(&[1.0, 0.0]).first_difference(&of(&[1.0, -0.0]));
        assert_eq!(zero.as_deref(), Some("rewards[1] is 0 and -0"));
        let length = of(&[1.0]).first_difference(&of(&[1.0, 2.0]));
        assert_eq!(length.as_deref(), Some("one gives 1 numbers, the other 2"));
    }
}
