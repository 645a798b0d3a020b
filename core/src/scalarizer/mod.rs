//! Drives the scalarizer's hooks: scores `[B, M]` -> what the update takes (advantages and their scale).

use moa_sdk::Signal as PluginSignal;
use thiserror::Error;

use crate::{
    advantage::{AdvantageError, Estimator, estimate, estimate_gdpo},
    error::Hint,
    plugin::{BatchInput, Hooks, Needs, PluginError, Recorder, ScalarizerPlugin, UpdateInput},
    reward::Scores,
    rollout::Rollouts,
};

/// A hook failed, or what it gave cannot be turned into advantages.
#[derive(Debug, Error)]
pub enum ScalarizerError {
    /// The plugin failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The estimator refused.
    #[error(transparent)]
    Advantage(#[from] AdvantageError),
    /// Something that is defined on the scalar reward of a completion meets a method that has none.
    #[error("scalarizer `{scalarizer}` gives {form}, found {setting}, which needs {needs}")]
    NoReward {
        /// The scalarizer.
        scalarizer: String,
        /// What it gives.
        form: &'static str,
        /// The setting that needs more, as it is written.
        setting: &'static str,
        /// What the setting needs.
        needs: &'static str,
        /// What to set instead.
        instead: &'static str,
    },
}

impl Hint for ScalarizerError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Plugin(e) => e.hint(),
            Self::Advantage(e) => e.hint(),
            Self::NoReward { instead, .. } => Some(format!("set {instead}, or choose another scalarizer")),
        }
    }
}

/// Advantages in the form in which the scalarizer's method has them.
#[derive(Clone, Debug, PartialEq)]
pub enum Credit {
    /// One for each completion `[B]`.
    Completions(Vec<f32>),
    /// One for each token `[N]`.
    Tokens(Vec<f32>),
    /// One for each completion and objective; the scalarizer weighs the objectives' gradients in each mini-batch.
    Objectives {
        /// Row-major `[B, M]`.
        advantages: Vec<f32>,
        /// Objectives, M.
        m: usize,
    },
}

/// What one step trains on.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The scalar reward of each completion `[B]`, for metrics: what the scalarizer made of the scores, or the scores
    /// mixed with its current weights (equal ones if it has none) where its method has no scalar reward.
    pub rewards: Vec<f32>,
    /// The advantages.
    pub credit: Credit,
    /// Factor on all advantages.
    pub scale: f32,
    layers: Vec<String>,
}

impl Signal {
    /// Per-objective advantages `[B, M]`, for a Gramian without an update.
    #[must_use]
    pub fn for_gramian(advantages: Vec<f32>, m: usize) -> Self {
        Self {
            rewards: Vec::new(),
            credit: Credit::Objectives { advantages, m },
            scale: 1.0,
            layers: Vec::new(),
        }
    }

    /// Whether the scalarizer weighs the objectives' gradients in each mini-batch.
    #[must_use]
    pub fn weighs_gradients(&self) -> bool {
        matches!(self.credit, Credit::Objectives { .. })
    }

    /// Objectives whose gradients are weighed; 0 where none are.
    #[must_use]
    pub fn objectives(&self) -> usize {
        if let Credit::Objectives { m, .. } = self.credit {
            m
        } else {
            0
        }
    }

    /// Parts of the names of parameters that make the Gramian; empty: all.
    #[must_use]
    pub fn gradient_layers(&self) -> &[String] {
        &self.layers
    }

    /// Advantage of each completion `[B]` with the scale applied: the mean over a completion's tokens, or the mean over
    /// objectives where gradients are weighed.
    #[must_use]
    pub fn completion_advantages(&self, offsets: &[usize]) -> Vec<f32> {
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len().max(1) as f32;
        match &self.credit {
            Credit::Completions(advantages) => advantages.iter().map(|a| a * self.scale).collect(),
            Credit::Tokens(advantages) => offsets
                .windows(2)
                .map(|w| mean(&advantages[w[0]..w[1]]) * self.scale)
                .collect(),
            Credit::Objectives { advantages, m } => advantages.chunks(*m).map(|row| mean(row) * self.scale).collect(),
        }
    }
}

/// Log-probabilities `[N]` that a scalarizer may ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logprobs<'a> {
    /// Under the policy that sampled.
    pub old: Option<&'a [f32]>,
    /// Under the reference policy.
    pub reference: Option<&'a [f32]>,
}

/// What goes into the estimator beside the scores.
#[derive(Clone, Copy, Debug, Default)]
pub struct RewardTerms<'a> {
    /// Subtracted from the scalar reward of each completion `[B]`: the KL penalty in the reward. Per-objective advantages
    /// and the Gramian of a batch are those of the scores alone: the penalty belongs to no objective.
    pub penalty: Option<&'a [f32]>,
    /// Scores of the greedy completion of each completion's prompt `[B, M]`, row-major, for estimators that need them.
    pub greedy: Option<&'a [f32]>,
}

/// The scalarizer of a run, its estimator, and the trace of what it was told.
pub struct Scalarizer {
    plugin: ScalarizerPlugin,
    estimator: Estimator,
    /// What the last signal mixed with, for methods whose weights are no state of theirs.
    mixed_with: Option<Vec<f32>>,
}

impl Scalarizer {
    /// Drives `plugin`; rewards become advantages through `estimator`; all events go to `recorder` if there is one.
    #[must_use]
    pub fn new(plugin: ScalarizerPlugin, estimator: Estimator) -> Self {
        Self {
            plugin,
            estimator,
            mixed_with: None,
        }
    }

    /// Name of the plugin.
    #[must_use]
    pub fn name(&self) -> &str {
        self.plugin.name()
    }

    /// The hooks that the plugin implements.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        self.plugin.hooks()
    }

    /// The data that the plugin wants.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.plugin.needs()
    }

    /// The current weights `[M]`, where the method has any: what the plugin says, or what it mixed with last.
    ///
    /// # Errors
    /// The plugin fails.
    pub fn weights(&self) -> Result<Option<Vec<f32>>, ScalarizerError> {
        Ok(self.plugin.weights()?.or_else(|| self.mixed_with.clone()))
    }

    /// Writes every event to `recorder` from now on.
    pub fn record(&mut self, recorder: Recorder) {
        self.plugin.record_to(recorder);
    }

    /// The trace that events go to, if there is one.
    #[must_use]
    pub fn trace(&self) -> Option<&Recorder> {
        self.plugin.recorder()
    }

    /// The plugin's state as JSON. What the last signal mixed with is not in it: the next step mixes anew before
    /// anyone asks.
    ///
    /// # Errors
    /// The plugin fails, or has a state that would not come back as it is.
    pub fn save(&self) -> Result<String, ScalarizerError> {
        Ok(self.plugin.save()?)
    }

    /// Gives the plugin the state that [`Scalarizer::save`] gave.
    ///
    /// # Errors
    /// The plugin refuses it.
    pub fn load(&mut self, state: &str) -> Result<(), ScalarizerError> {
        Ok(self.plugin.load(state)?)
    }

    /// Parts of the names of parameters that make the Gramian; empty: all.
    #[must_use]
    pub fn gradient_layers(&self) -> &[String] {
        self.plugin.gradient_layers()
    }

    /// Numbers that the plugin reports about itself.
    ///
    /// # Errors
    /// The plugin fails.
    pub fn metrics(&self) -> Result<Vec<(String, f64)>, ScalarizerError> {
        Ok(self.plugin.metrics()?)
    }

    /// Tells the plugin the performance `[M]` of a validation.
    ///
    /// # Errors
    /// The plugin fails.
    pub fn on_validation(&mut self, step: u64, values: &[f64]) -> Result<(), ScalarizerError> {
        Ok(self.plugin.on_validation(step, values)?)
    }

    /// Shows the plugin the Gramian `[M, M]` and the losses `[M]` of the whole batch.
    ///
    /// # Errors
    /// The plugin fails.
    pub fn observe_gradients(&mut self, step: u64, lr: f64, gram: &[f64], losses: &[f64]) -> Result<(), PluginError> {
        self.plugin.observe_gradients(step, lr, gram, losses)
    }

    /// Weights `[M]` of the objectives' gradients, from the Gramian `[M, M]` and the losses `[M]`.
    ///
    /// # Errors
    /// The plugin fails or gives something else than M finite numbers.
    pub fn weigh_gradients(
        &mut self,
        step: u64,
        minibatch: u32,
        lr: f64,
        gram: &[f64],
        losses: &[f64],
    ) -> Result<Vec<f32>, PluginError> {
        self.plugin.weigh_gradients(step, minibatch, lr, gram, losses)
    }

    /// Advantages of each objective by itself `[B, M]`, row-major.
    ///
    /// # Errors
    /// The estimator refuses.
    pub fn objective_advantages(
        &self,
        rollouts: &Rollouts,
        scores: &Scores,
        terms: RewardTerms<'_>,
    ) -> Result<Vec<f32>, ScalarizerError> {
        let lengths = rollouts.lengths();
        let mut all = vec![0.0; scores.values.len()];
        for m in 0..scores.m {
            let greedy: Option<Vec<f32>> = terms
                .greedy
                .map(|greedy| greedy.iter().skip(m).step_by(scores.m).copied().collect());
            let (column, groups) = (scores.column(m), &rollouts.groups);
            let column = estimate(self.estimator, &column, groups, &lengths, greedy.as_deref())?;
            for (b, advantage) in column.into_iter().enumerate() {
                all[b * scores.m + m] = advantage;
            }
        }
        Ok(all)
    }

    /// The signal of a step.
    ///
    /// # Errors
    /// The plugin fails or gives something that does not fit the batch; the estimator refuses.
    pub fn scalarize(
        &mut self,
        step: u64,
        rollouts: &Rollouts,
        scores: &Scores,
        logprobs: Logprobs<'_>,
        terms: RewardTerms<'_>,
    ) -> Result<Signal, ScalarizerError> {
        let (m, lengths, needs) = (scores.m, rollouts.lengths(), self.needs());
        let asked = needs.has(Needs::OBJECTIVE_ADVANTAGES);
        let objective_advantages = if asked {
            Some(self.objective_advantages(rollouts, scores, terms)?)
        } else {
            None
        };
        let input = BatchInput {
            step,
            m,
            scores: &scores.values,
            groups: &rollouts.groups,
            lengths: &lengths,
            objective_advantages: objective_advantages.as_deref(),
            old_logprobs: logprobs.old.filter(|_| needs.has(Needs::OLD_LOGPROBS)),
            ref_logprobs: logprobs.reference.filter(|_| needs.has(Needs::REF_LOGPROBS)),
            offsets: &rollouts.offsets,
        };
        let scalarized = self.plugin.scalarize(&input)?;

        self.check_terms(scalarized.signal(), terms)?;
        self.mixed_with = scalarized.mixing_weights().map(<[f32]>::to_vec);
        let groups = &rollouts.groups;
        let per_objective = |known: Option<Vec<f32>>| match known {
            Some(advantages) => Ok(advantages),
            None => self.objective_advantages(rollouts, scores, terms),
        };
        let credit = match scalarized.signal() {
            PluginSignal::Weights(weights) if self.estimator.mixes_objectives() => {
                Credit::Completions(estimate_gdpo(&scores.values, weights, groups)?)
            }
            signal @ (PluginSignal::Weights(_) | PluginSignal::Rewards(_)) => {
                let mut rewards = scalarized.rewards_of(&scores.values).unwrap_or_default();
                if let Some(penalty) = terms.penalty {
                    rewards.iter_mut().zip(penalty).for_each(|(reward, kl)| *reward -= kl);
                }
                let greedy = match (terms.greedy, signal) {
                    (Some(greedy), PluginSignal::Weights(weights)) => Some(mixed(greedy, weights)),
                    _ => None,
                };
                let advantages = estimate(self.estimator, &rewards, groups, &lengths, greedy.as_deref())?;
                Credit::Completions(advantages)
            }
            PluginSignal::AdvantageWeights(weights) => {
                Credit::Completions(mixed(&per_objective(objective_advantages)?, weights))
            }
            PluginSignal::GradientWeights => Credit::Objectives {
                advantages: per_objective(objective_advantages)?,
                m,
            },
            PluginSignal::Advantages(advantages) => Credit::Completions(advantages.clone()),
            PluginSignal::TokenAdvantages(advantages) => Credit::Tokens(advantages.clone()),
        };
        let rewards = match scalarized.rewards_of(&scores.values) {
            Some(rewards) => rewards,
            None => {
                #[allow(clippy::cast_precision_loss, reason = "a handful of objectives")]
                let equal = || vec![1.0 / m as f32; m];
                mixed(&scores.values, &self.weights()?.unwrap_or_else(equal))
            }
        };
        Ok(Signal {
            rewards,
            credit,
            scale: scalarized.advantage_scale(),
            layers: self.plugin.gradient_layers().to_vec(),
        })
    }

    /// Refuses what cannot be defined: a penalty on the reward where there is none, a greedy completion's reward where only
    /// the plugin knows what a completion is worth.
    fn check_terms(&self, signal: &PluginSignal, terms: RewardTerms<'_>) -> Result<(), ScalarizerError> {
        let form = match signal {
            PluginSignal::Weights(_) => return Ok(()),
            PluginSignal::Rewards(_) => "rewards",
            PluginSignal::AdvantageWeights(_) => "weights on advantages",
            PluginSignal::GradientWeights => "weights on gradients",
            PluginSignal::Advantages(_) | PluginSignal::TokenAdvantages(_) => "advantages",
        };
        let refuse = |setting, needs, instead| {
            Err(ScalarizerError::NoReward {
                scalarizer: self.name().to_owned(),
                form,
                setting,
                needs,
                instead,
            })
        };
        match signal {
            PluginSignal::Rewards(_) if terms.greedy.is_some() => refuse(
                "algorithm.estimator = \"remax\"",
                "weights, to mix the scores of greedy completions alike",
                "another algorithm.estimator",
            ),
            PluginSignal::Rewards(_) => Ok(()),
            _ if terms.penalty.is_some() => refuse(
                "algorithm.kl.placement = \"reward\"",
                "one reward for each completion",
                "algorithm.kl.placement to \"loss\"",
            ),
            _ => Ok(()),
        }
    }

    /// Tells the plugin what the update did; called where its needs say so.
    ///
    /// # Errors
    /// The plugin fails.
    pub fn after_update(&mut self, input: &UpdateInput<'_>) -> Result<(), ScalarizerError> {
        Ok(self.plugin.after_update(input)?)
    }
}

/// `Σ_m weights[m] · rows[b, m]` for each row of `[B, M]`.
fn mixed(rows: &[f32], weights: &[f32]) -> Vec<f32> {
    rows.chunks(weights.len().max(1))
        .map(|row| row.iter().zip(weights).map(|(x, w)| x * w).sum())
        .collect()
}
