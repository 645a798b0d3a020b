//! An update that ruins the policy is no completed step: it is noticed before the step is committed, so that the
//! checkpoints before it stay.

use rayon::prelude::*;
use thiserror::Error;

use super::run::Run;
use crate::{
    error::{Error, Report},
    rollout::Rollouts,
};

/// Completions whose log-probabilities are looked at.
const PROBED: usize = 4;
/// Nats a token by which a policy that still is one does not fall: guessing among 150,000 tokens is 12 below certainty.
const LARGEST_DROP: f64 = 20.0;

/// The update of a step left a policy that cannot go on.
#[derive(Debug, Error)]
#[error("the update with learning rate {lr:e} ruined the policy: {found}")]
pub(super) struct Ruined {
    lr: f64,
    found: String,
}

impl Report for Ruined {
    fn hint(&self) -> Option<String> {
        Some("a smaller optimizer.lr, or a smaller optimizer.clip_norm; a resumed run may change both".into())
    }
}

impl Run {
    /// Whether the parameters are finite after an update, and give some of the step's completions log-probabilities that are
    /// not far below those before it.
    ///
    /// # Errors
    /// They are not, or the model fails.
    pub(super) fn check_update(&self, rollouts: &Rollouts, lr: f64) -> Result<(), Error> {
        let ruined = |found: String| Err(Ruined { lr, found }.into());
        for (slot, values) in self.policy.model().params().all().iter() {
            // A sum is finite only if all of its terms are.
            let sum: f32 = values.par_chunks(1 << 16).map(|part| part.iter().sum::<f32>()).sum();
            if !sum.is_finite() {
                return ruined(format!("the numbers of {} sum up to {sum}", slot.name));
            }
        }
        if rollouts.is_empty() {
            return Ok(());
        }
        let rows: Vec<usize> = (0..rollouts.len().min(PROBED)).collect();
        let some = rollouts.select(&rows);
        let logprobs = self.policy.logprobs(&some)?;
        let drop = some
            .logprobs
            .iter()
            .zip(&logprobs)
            .map(|(old, new)| f64::from(old - new))
            .sum::<f64>();
        let drop = drop / some.tokens.len().max(1) as f64;
        if drop.is_finite() && drop < LARGEST_DROP {
            return Ok(());
        }
        ruined(format!(
            "the log-probability of its own completions fell by {drop:.1} nats a token"
        ))
    }
}
