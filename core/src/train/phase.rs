//! The update phase of a step: from scores to new parameters, with everything that the scalarizer asks for on the way.

use std::sync::atomic::AtomicUsize;

use super::{Session, SessionError};
use crate::{
    config::KlPlacement,
    plugin::{Hooks, Needs, UpdateInput},
    reward::{Early, Scores},
    rollout::{Rollouts, Sampling, Stream},
    scalarizer::{Logprobs, RewardTerms, Signal},
    update::{UpdateBatch, UpdateReport, completion_kl, objective_gramian, update_policy},
};

impl Session {
    /// Scores `[P, M]` of the greedy completion of each prompt, where the estimator compares with it. The completions are
    /// no training data: they do not count towards the mean length.
    ///
    /// # Errors
    /// Sampling or a reward fails.
    pub fn greedy_scores(&self, step: u64, rollouts: &Rollouts) -> Result<Option<Scores>, SessionError> {
        if !self.config.algorithm.estimator.needs_greedy() {
            return Ok(None);
        }
        let sampling = Sampling {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            ..self.sampling
        };
        let stream = Stream::training(self.config.train.seed, step); // greedy decoding draws nothing from it
        let greedy = self.policy.sample(rollouts.prompts.clone(), 1, &sampling, stream)?;
        let done = AtomicUsize::new(0);
        let scores = self
            .objectives
            .score(&greedy, &self.baseline, Early::default(), &done)?;
        Ok(Some(scores))
    }

    /// Log-probabilities before the update (where someone needs them), the Gramian per batch (where the scalarizer
    /// weighs gradients per batch), the signal, the update, log-probabilities after it (where the scalarizer wants them).
    /// What the step trained on, and what the update reports. `greedy` is what [`Session::greedy_scores`] gave.
    ///
    /// # Errors
    /// A pass fails, a number is not finite, the scalarizer or the estimator refuses.
    pub fn improve(
        &mut self,
        step: u64,
        rollouts: &Rollouts,
        scores: &Scores,
        greedy: Option<&Scores>,
        lr: f64,
    ) -> Result<(Signal, UpdateReport), SessionError> {
        let (hooks, needs) = (self.scalarizer.hooks(), self.scalarizer.needs());
        let several = self.update.several_steps(self.config.rollout.prompts);
        let kl = self.config.algorithm.kl.clone();
        let in_reward = kl.coefficient > 0.0 && kl.placement == KlPlacement::Reward;
        let wants_old = several || in_reward || needs.has(Needs::OLD_LOGPROBS) || hooks.has(Hooks::AFTER_UPDATE);
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
        let kl_in_reward: Option<Vec<f64>> = match (&old, &reference) {
            (Some(old), Some(reference)) if in_reward => {
                Some(completion_kl(kl.estimator, old, reference, &rollouts.offsets))
            }
            _ => None,
        };
        #[allow(clippy::cast_possible_truncation, reason = "rewards are f32")]
        let penalty: Option<Vec<f32>> = kl_in_reward
            .as_ref()
            .map(|kl| kl.iter().map(|kl| (self.kl.coefficient() * kl) as f32).collect());
        let greedy: Option<Vec<f32>> = greedy.map(|greedy| {
            let row = |&group: &u32| &greedy.values[group as usize * greedy.m..(group as usize + 1) * greedy.m];
            rollouts.groups.iter().flat_map(row).copied().collect() // [B, M]
        });
        let terms = RewardTerms {
            penalty: penalty.as_deref(),
            greedy: greedy.as_deref(),
        };
        let mut of_batch = None;
        if hooks.has(Hooks::OBSERVE_GRADIENTS) {
            let advantages = self.scalarizer.objective_advantages(rollouts, scores, terms)?;
            let layers = self.scalarizer.gradient_layers();
            let found = objective_gramian(&self.policy, rollouts, &advantages, layers, &self.update)?;
            self.scalarizer
                .observe_gradients(step, lr, &found.gram, &found.losses)?;
            of_batch = Some(found);
        }
        let logprobs = Logprobs {
            old: old.as_deref(),
            reference: reference.as_deref(),
        };
        let signal = self.scalarizer.scalarize(step, rollouts, scores, logprobs, terms)?;
        self.remember_parameters()?;
        let batch = UpdateBatch {
            rollouts,
            signal: &signal,
            old: old.as_deref().filter(|_| several),
            reference: reference.as_deref(),
            forward: of_batch.as_ref().and_then(|found| found.forward.as_ref()),
        };
        let scalarizer = &mut self.scalarizer;
        let mut report = update_policy(
            &self.policy,
            &mut self.optimizer,
            batch,
            &self.update,
            lr,
            &mut |minibatch, gram, losses| scalarizer.weigh_gradients(step, minibatch, lr, gram, losses),
        )?;
        report.kl_coefficient = self.kl.coefficient();
        if let Some(kl) = &kl_in_reward {
            let sum: f64 = kl.iter().sum();
            report.kl = sum / rollouts.tokens.len().max(1) as f64;
            report.completion_kl = sum / kl.len().max(1) as f64;
        }
        if self.reference.is_some() && report.kl_coefficient > 0.0 {
            self.kl.observe(report.completion_kl, rollouts.len());
            if let Some(penalty) = &mut self.update.loss.kl {
                penalty.coefficient = self.kl.coefficient();
            }
        }
        report.gram = report.gram.or(of_batch.map(|found| found.gram));
        if let (true, Some(old)) = (hooks.has(Hooks::AFTER_UPDATE), &old) {
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
