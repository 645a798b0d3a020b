//! An update that ruins the policy is no completed step: it is noticed before the step is committed, so that the
//! checkpoints before it stay.

use rayon::prelude::*;
use thiserror::Error;

use super::run::Run;
use crate::{
    error::{Error, Report},
    rollout::Rollouts,
};

/// The update of a step left a policy that cannot go on.
#[derive(Debug, Error)]
#[error("the update with learning rate {lr:e} ruined the policy: {found}, expected finite numbers")]
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
    /// Whether the parameters are finite after an update, and the log-probabilities that they give one of the step's
    /// completions.
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
        let logprobs = self.policy.logprobs(&rollouts.select(&[0]))?;
        match logprobs.iter().find(|logprob| !logprob.is_finite()) {
            Some(logprob) => ruined(format!("a log-probability of {logprob}")),
            None => Ok(()),
        }
    }
}
