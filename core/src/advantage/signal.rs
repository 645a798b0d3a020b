//! From the scalarizer's answer to the advantages that the update trains on.
//!
//! | the scalarizer answers | the host makes of it |
//! |---|---|
//! | weights on scores `[M]` | rewards `Σ_m w_m s_bm`, then the estimator: `[B]` |
//! | rewards `[B]` | the estimator: `[B]` |
//! | weights on advantages `[M]` | the estimator for each objective, then `Σ_m w_m A_bm`: `[B]` |
//! | weights on gradients | the estimator for each objective: `[B, M]`; the update asks for weights in each mini-batch |
//! | advantages `[B]` or `[N]` | they are taken as they are |
//!
//! A KL penalty in the reward is subtracted from the scalar reward; it belongs to no objective, so per-objective
//! advantages are those of the scores alone.

use moa_sdk::{Signal, SignalKind, weighted_sum};

use super::{AdvantageError, Estimator, estimate, estimate_gdpo};
use crate::{reward::Scores, rollout::Rollouts};

/// What one number of [`Advantages`] belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// A completion: `[B]`.
    Completion,
    /// A token: `[N]`.
    Token,
    /// A completion and one of M objectives, whose gradients are weighed in each mini-batch: `[B, M]`, row-major.
    Objective {
        /// Objectives, M.
        m: usize,
    },
}

/// What a step trains on.
#[derive(Clone, Debug, PartialEq)]
pub struct Advantages {
    /// The numbers, without `scale`.
    pub values: Vec<f32>,
    /// What each of them belongs to.
    pub per: Per,
    /// Factor on all of them.
    pub scale: f32,
}

impl Advantages {
    /// Advantages of M objectives `[B, M]`, row-major.
    #[must_use]
    pub fn of_objectives(values: Vec<f32>, m: usize) -> Self {
        Self {
            values,
            per: Per::Objective { m },
            scale: 1.0,
        }
    }

    /// Advantages times scale for the tokens of some completions `rows`, `[N]` each: one column, or one for each objective
    /// where their gradients are weighed. `offsets` `[B + 1]` are those of the whole batch.
    #[must_use]
    pub fn columns(&self, rows: &[usize], offsets: &[usize]) -> Vec<Vec<f32>> {
        let tokens = |b: usize| offsets[b]..offsets[b + 1];
        let spread = |value: &dyn Fn(usize) -> f32| -> Vec<f32> {
            rows.iter()
                .flat_map(|&b| std::iter::repeat_n(value(b) * self.scale, tokens(b).len()))
                .collect()
        };
        match self.per {
            Per::Completion => vec![spread(&|b| self.values[b])],
            Per::Token => {
                let packed = rows.iter().flat_map(|&b| &self.values[tokens(b)]);
                vec![packed.map(|a| a * self.scale).collect()]
            }
            Per::Objective { m } => (0..m).map(|k| spread(&|b| self.values[b * m + k])).collect(),
        }
    }

    /// Advantage times scale of each completion `[B]`: the mean over its tokens, or over objectives where their
    /// gradients are weighed.
    #[must_use]
    pub fn of_completions(&self, offsets: &[usize]) -> Vec<f32> {
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len().max(1) as f32;
        let scale = self.scale;
        match self.per {
            Per::Completion => self.values.iter().map(|a| a * scale).collect(),
            Per::Token => offsets
                .windows(2)
                .map(|w| mean(&self.values[w[0]..w[1]]) * scale)
                .collect(),
            Per::Objective { m } => self.values.chunks(m).map(|row| mean(row) * scale).collect(),
        }
    }
}

/// Everything that an estimator sees of a step.
#[derive(Clone, Copy)]
pub struct Estimation<'a> {
    /// Name of the scalarizer, for errors.
    pub scalarizer: &'a str,
    /// How rewards become advantages.
    pub estimator: Estimator,
    /// The completions.
    pub rollouts: &'a Rollouts,
    /// Their scores.
    pub scores: &'a Scores,
    /// Subtracted from the scalar reward of each completion `[B]`: the KL penalty in the reward.
    pub kl_penalty: Option<&'a [f32]>,
    /// Scores of the greedy completion of each completion's prompt `[B, M]`, row-major, for estimators that need them.
    pub greedy: Option<&'a [f32]>,
}

impl Estimation<'_> {
    /// Advantages of each objective by itself `[B, M]`, row-major.
    ///
    /// # Errors
    /// The estimator refuses.
    pub fn of_objectives(&self) -> Result<Vec<f32>, AdvantageError> {
        let (lengths, m) = (self.rollouts.lengths(), self.scores.m);
        let mut all = vec![0.0; self.scores.values.len()];
        for k in 0..m {
            let greedy: Option<Vec<f32>> = self
                .greedy
                .map(|greedy| greedy.iter().skip(k).step_by(m).copied().collect());
            let rewards = self.scores.column(k);
            let column = estimate(
                self.estimator,
                &rewards,
                &self.rollouts.groups,
                &lengths,
                greedy.as_deref(),
            )?;
            for (b, advantage) in column.into_iter().enumerate() {
                all[b * m + k] = advantage;
            }
        }
        Ok(all)
    }

    /// The advantages that `signal` asks for. `of_objectives` `[B, M]` is taken where they are known already.
    ///
    /// # Errors
    /// The estimator refuses, or a setting needs a scalar reward that the scalarizer does not have.
    pub fn of_signal(&self, signal: &Signal, of_objectives: Option<Vec<f32>>) -> Result<Advantages, AdvantageError> {
        let (greedy, kl_in_reward) = (self.greedy.is_some(), self.kl_penalty.is_some());
        check_terms(self.scalarizer, signal.kind(), greedy, kl_in_reward)?;
        let groups = &self.rollouts.groups;
        let of_objectives = || of_objectives.map_or_else(|| self.of_objectives(), Ok);
        let (values, per) = match signal.kind() {
            SignalKind::Weights(weights) if self.estimator.normalizes_per_objective() => {
                (estimate_gdpo(&self.scores.values, weights, groups)?, Per::Completion)
            }
            form @ (SignalKind::Weights(_) | SignalKind::Rewards(_)) => {
                let mut rewards = signal.rewards_of(&self.scores.values).unwrap_or_default(); // [B]
                if let Some(penalty) = self.kl_penalty {
                    rewards.iter_mut().zip(penalty).for_each(|(reward, kl)| *reward -= kl);
                }
                let greedy = match (self.greedy, form) {
                    (Some(greedy), SignalKind::Weights(weights)) => Some(weighted_sum(weights, greedy)),
                    _ => None,
                };
                let lengths = self.rollouts.lengths();
                let advantages = estimate(self.estimator, &rewards, groups, &lengths, greedy.as_deref())?;
                (advantages, Per::Completion)
            }
            SignalKind::AdvantageWeights(weights) => (weighted_sum(weights, &of_objectives()?), Per::Completion),
            SignalKind::GradientWeights => (of_objectives()?, Per::Objective { m: self.scores.m }),
            SignalKind::Advantages(advantages) => (advantages.clone(), Per::Completion),
            SignalKind::TokenAdvantages(advantages) => (advantages.clone(), Per::Token),
        };
        Ok(Advantages {
            values,
            per,
            scale: signal.advantage_scale(),
        })
    }
}

/// Refuses what cannot be defined for a signal of this kind: a KL penalty in the reward where there is none, a greedy
/// completion's reward where only the plugin knows what a completion is worth.
///
/// # Errors
/// [`AdvantageError::NoReward`].
pub fn check_terms(
    scalarizer: &str,
    signal: &SignalKind,
    greedy: bool,
    kl_in_reward: bool,
) -> Result<(), AdvantageError> {
    let found = match signal {
        SignalKind::Weights(_) => return Ok(()),
        SignalKind::Rewards(_) => "rewards",
        SignalKind::AdvantageWeights(_) => "weights on advantages",
        SignalKind::GradientWeights => "weights on gradients",
        SignalKind::Advantages(_) | SignalKind::TokenAdvantages(_) => "advantages",
    };
    let has_reward = matches!(signal, SignalKind::Rewards(_));
    if has_reward && greedy {
        return Err(AdvantageError::NoReward {
            scalarizer: scalarizer.to_owned(),
            found,
            setting: "algorithm.estimator = \"remax\"",
            needs: "weights, to mix the scores of greedy completions alike",
            instead: "another algorithm.estimator",
        });
    }
    if !has_reward && kl_in_reward {
        return Err(AdvantageError::NoReward {
            scalarizer: scalarizer.to_owned(),
            found,
            setting: "algorithm.kl.placement = \"reward\"",
            needs: "one reward for each completion",
            instead: "algorithm.kl.placement to \"loss\"",
        });
    }
    Ok(())
}
