//! Warnings about a run that goes wrong without failing: the policy leaves the model that it began as, its entropy or its
//! length collapses, a step moves nothing. Each is said once a process, with what to change.

use std::collections::BTreeSet;

use crate::config::Config;

/// Nats per token from the reference beyond which the policy is another model.
const FAR: f64 = 0.1;
/// Share of the first length, and of the first entropy, below which it has collapsed.
const SHORT: f64 = 0.4;
const SURE: f64 = 0.1;
/// Entropy in nats above which nothing has collapsed.
const SURE_AT_MOST: f64 = 0.05;

/// What a step was like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) step: u64,
    /// Nats per token, where there is a reference.
    pub(super) kl: Option<f64>,
    /// Nats per token.
    pub(super) entropy: f64,
    /// Mean tokens of a response.
    pub(super) length: f64,
    /// L2 norm of the gradient.
    pub(super) gradient: f64,
}

/// What was seen first, and what was said already.
#[derive(Debug)]
pub(super) struct Watch {
    length: f64,
    entropy: Option<f64>,
    said: BTreeSet<&'static str>,
}

impl Watch {
    /// Of a run whose first validation had responses of mean `length` tokens.
    pub(super) fn new(length: f64) -> Self {
        Self {
            length,
            entropy: None,
            said: BTreeSet::new(),
        }
    }

    /// What there is to say about a step.
    pub(super) fn look(&mut self, seen: Seen, config: &Config) -> Vec<String> {
        let Seen {
            step,
            kl,
            entropy,
            length,
            gradient,
        } = seen;
        let (lr, kl_weight) = (config.optimizer.lr, config.algorithm.kl.coefficient);
        let first = *self.entropy.get_or_insert(entropy);
        let mut warnings = Vec::new();
        let mut say = |what: &'static str, is_so: bool, text: String| {
            if is_so && self.said.insert(what) {
                warnings.push(format!("warning: step {step}: {text}"));
            }
        };
        let far = kl.unwrap_or(0.0);
        say(
            "kl",
            far > FAR,
            format!(
                "the policy is {far:.2} nats a token away from the model that it began as; \
                 lower optimizer.lr ({lr:e}) or raise algorithm.kl.coefficient ({kl_weight})"
            ),
        );
        say(
            "entropy",
            entropy < SURE_AT_MOST && entropy < SURE * first,
            format!(
                "the entropy fell from {first:.3} to {entropy:.4} nats: completions are nearly all alike; \
                 lower optimizer.lr ({lr:e}) or raise algorithm.entropy ({})",
                config.algorithm.entropy
            ),
        );
        say(
            "length",
            length < SHORT * self.length,
            format!(
                "responses have {length:.1} tokens, {:.1} at the start; if that is not what the objectives ask for, \
                 lower optimizer.lr ({lr:e}), raise algorithm.kl.coefficient ({kl_weight}), or weigh short answers less",
                self.length
            ),
        );
        say(
            "gradient",
            gradient == 0.0,
            "its gradient is 0 and it moved nothing: see groups/equal_reward in metrics.jsonl".to_owned(),
        );
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Request, resolve};

    #[test]
    fn each_thing_that_goes_wrong_is_said_once_with_what_to_change() {
        let config = resolve(&Request::default()).unwrap().config;
        let good = Seen {
            step: 1,
            kl: Some(0.01),
            entropy: 0.8,
            length: 40.0,
            gradient: 0.3,
        };
        let mut watch = Watch::new(39.0);
        assert!(watch.look(good, &config).is_empty());
        for (bad, words) in [
            (Seen { kl: Some(2.6), ..good }, ["2.60 nats", "optimizer.lr"]),
            (Seen { entropy: 0.01, ..good }, ["0.800 to 0.0100", "algorithm.entropy"]),
            (
                Seen { length: 4.0, ..good },
                ["4.0 tokens, 39.0", "algorithm.kl.coefficient"],
            ),
            (Seen { gradient: 0.0, ..good }, ["moved nothing", "groups/equal_reward"]),
        ] {
            let said = watch.look(bad, &config);
            assert!(
                said.len() == 1 && words.iter().all(|word| said[0].contains(word)),
                "{said:?}"
            );
            assert!(watch.look(bad, &config).is_empty(), "once");
        }
    }
}
