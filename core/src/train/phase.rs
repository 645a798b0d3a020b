//! The update phase of a step: from scores to new parameters, with everything that the scalarizer asks for on the way.

use super::{Session, SessionError};
use crate::{
    plugin::{Needs, UpdateInput},
    reward::Scores,
    rollout::Rollouts,
    scalarizer::{Logprobs, Signal},
    update::{UpdateBatch, UpdateReport, objective_gramian, update_policy},
};

impl Session {
    /// Log-probabilities before the update (where someone needs them), the Gramian per batch (where the scalarizer
    /// weighs gradients per batch), the signal, the update, log-probabilities after it (where the scalarizer wants them).
    /// What the step trained on, and what the update reports.
    ///
    /// # Errors
    /// A pass fails, a number is not finite, the scalarizer or the estimator refuses.
    pub fn improve(
        &mut self,
        step: u64,
        rollouts: &Rollouts,
        scores: &Scores,
        lr: f64,
    ) -> Result<(Signal, UpdateReport), SessionError> {
        let needs = self.scalarizer.needs();
        let several = self.update.several_steps(self.config.rollout.prompts);
        let wants_old = several || needs.has(Needs::OLD_LOGPROBS) || needs.has(Needs::AFTER_UPDATE);
        let old = if wants_old {
            Some(self.policy.logprobs(rollouts)?)
        } else {
            None
        };
        let reference = self
            .reference
            .as_ref()
            .map(|policy| policy.logprobs(rollouts))
            .transpose()?;
        let mut batch_gram = None;
        if needs.has(Needs::GRADIENTS_PER_BATCH) {
            let advantages = self.scalarizer.objective_advantages(rollouts, scores)?;
            let layers = self.scalarizer.gradient_layers();
            let (gram, losses) = objective_gramian(&self.policy, rollouts, &advantages, layers, &self.update)?;
            self.scalarizer.weigh_gradients(step, None, lr, &gram, &losses)?;
            batch_gram = Some(gram);
        }
        let logprobs = Logprobs {
            old: old.as_deref(),
            reference: reference.as_deref(),
        };
        let signal = self.scalarizer.scalarize(step, rollouts, scores, logprobs)?;
        let batch = UpdateBatch {
            rollouts,
            signal: &signal,
            old: old.as_deref().filter(|_| several),
            reference: reference.as_deref(),
        };
        let scalarizer = &mut self.scalarizer;
        let mut report = update_policy(
            &self.policy,
            &mut self.optimizer,
            batch,
            &self.update,
            lr,
            &mut |minibatch, gram, losses| scalarizer.weigh_gradients(step, Some(minibatch), lr, gram, losses),
        )?;
        report.gram = report.gram.or(batch_gram);
        if let (true, Some(old)) = (needs.has(Needs::AFTER_UPDATE), &old) {
            let new = self.policy.logprobs(rollouts)?;
            self.scalarizer.after_update(&UpdateInput {
                step,
                m: scores.m,
                groups: &rollouts.groups,
                scores: &scores.values,
                advantages: &signal.completion_advantages(&rollouts.offsets),
                old_logprobs: old,
                new_logprobs: &new,
                offsets: &rollouts.offsets,
                clip_low: self.config.algorithm.clip_low,
                clip_high: self.config.algorithm.clip_high,
            })?;
        }
        Ok((signal, report))
    }
}
