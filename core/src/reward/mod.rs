//! Objectives: rollouts -> scores `[B, M]`, and what a validation reports for each of them.

pub mod score_file;
mod scoring;

pub use scoring::EarlyScores;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};

use thiserror::Error;

use crate::{
    config::OnError,
    error::{Fault, Report},
    metrics::Better,
    plugin::{Cause, Direction, Objective as ObjectiveInfo, Performance, PluginError, RewardPlugin},
    rollout::Rollouts,
};

/// Scoring failed in a way that stops the run.
#[derive(Debug, Error)]
pub enum RewardError {
    /// The reward as a whole failed.
    #[error("objective {objective}: {source}")]
    Plugin {
        /// Name of the objective.
        objective: String,
        /// What the plugin said.
        source: PluginError,
    },
    /// A reward refused one completion and the objective says `on_error = "stop"`.
    #[error(
        "objective {objective}: reward {reward} failed on completion {completion} (row {row}): {message} (response: {response:?})"
    )]
    Completion {
        /// Name of the objective.
        objective: String,
        /// Name of the reward.
        reward: String,
        /// Number of the completion in the step, from 0.
        completion: usize,
        /// Row of the data file.
        row: usize,
        /// What the reward said.
        message: String,
        /// The first characters of the response.
        response: String,
    },
}

impl Report for RewardError {
    fn fault(&self) -> Fault {
        match self {
            Self::Plugin { source, .. } if source.fault() == Fault::Interrupted => Fault::Interrupted,
            _ => Fault::Run,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Plugin { source, .. } => source.hint(),
            Self::Completion { .. } => {
                Some("on_error = \"zero\" scores such a completion 0, \"skip\" leaves it out of the step".into())
            }
        }
    }
}

/// One `[[objective]]`, ready to score.
pub struct Objective {
    name: String,
    reward: RewardPlugin,
    /// Direction of the raw score, as the config says.
    direction: Direction,
    on_error: OnError,
}

impl Objective {
    /// An objective called `name`, scored by `reward`. `direction` says whether high scores are good (the default)
    /// or low ones.
    #[must_use]
    pub fn new(name: String, reward: RewardPlugin, direction: Option<Direction>, on_error: OnError) -> Self {
        Self {
            name,
            reward,
            direction: direction.unwrap_or(Direction::Maximize),
            on_error,
        }
    }

    /// What the objective's performance is called in a table.
    #[must_use]
    pub fn display_name(&self) -> String {
        match self.reward.performance() {
            Performance::Score => self.name.clone(),
            Performance::ResponseTokens => format!("{} (tokens)", self.name),
        }
    }

    /// Performance of completion `b`, in the unit of its validation.
    fn performance_of(&self, rollouts: &Rollouts, score: f32, b: usize) -> f32 {
        match (self.reward.performance(), self.direction) {
            #[allow(clippy::cast_precision_loss, reason = "a response has fewer than 2^24 tokens")]
            (Performance::ResponseTokens, _) => rollouts.response(b).len() as f32,
            (Performance::Score, Direction::Minimize) => -score,
            (Performance::Score, Direction::Maximize) => score,
        }
    }

    /// Direction of the performance that a validation reports.
    fn performance_direction(&self) -> Direction {
        match self.reward.performance() {
            Performance::Score => self.direction,
            Performance::ResponseTokens => Direction::Minimize,
        }
    }
}

/// Scores of a batch, higher is better in every column: an objective that is minimized is negated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Objectives, M.
    pub m: usize,
    /// Row-major `[B, M]`.
    pub values: Vec<f32>,
    /// Completions left out by `on_error = "skip"`, by their numbers in the batch that was sampled: until
    /// [`Scores::without_skipped`] takes them out, their rows hold 0.
    pub skipped: Vec<usize>,
    /// Failures per objective, by cause `[M]`.
    pub failures: Vec<BTreeMap<Cause, usize>>,
    /// Completion and objective of each failure, the completion by its number in the batch that was sampled.
    pub failed: Vec<(usize, usize)>,
    /// The first failure's text, with the names of objective and reward and the number of the completion.
    pub first_failure: Option<String>,
}

impl Scores {
    /// Completions, B.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() / self.m.max(1)
    }

    /// True without completions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Column `m`, `[B]`.
    #[must_use]
    pub fn column(&self, m: usize) -> Vec<f32> {
        self.values.iter().skip(m).step_by(self.m).copied().collect()
    }

    /// Takes the completions out that a reward could not score, where the config says "skip".
    #[must_use]
    pub fn without_skipped(self, rollouts: Rollouts) -> (Rollouts, Self) {
        if self.skipped.is_empty() {
            return (rollouts, self);
        }
        let keep: Vec<usize> = (0..rollouts.len())
            .filter(|b| self.skipped.binary_search(b).is_err())
            .collect();
        (rollouts.select(&keep), self.select(&keep))
    }

    /// The rows of `keep`, in their order.
    #[must_use]
    fn select(&self, keep: &[usize]) -> Self {
        Self {
            values: keep
                .iter()
                .flat_map(|&b| &self.values[b * self.m..(b + 1) * self.m])
                .copied()
                .collect(),
            ..self.clone()
        }
    }
}

/// Running mean of response lengths over all training responses so far, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MeanLength {
    tokens: u64,
    responses: u64,
}

impl MeanLength {
    /// Counts a batch in.
    pub fn add(&mut self, rollouts: &Rollouts) {
        self.tokens += rollouts.tokens.len() as u64;
        self.responses += rollouts.len() as u64;
    }

    /// Mean tokens of a response; 0 before the first.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.responses == 0 {
            0.0
        } else {
            self.tokens as f64 / self.responses as f64
        }
    }
}

impl Objectives {
    /// Native rewards are no longer waited for without end: see [`RewardPlugin::watch`].
    pub fn watch(&mut self, stop: &Arc<AtomicBool>) {
        self.list.iter_mut().for_each(|objective| objective.reward.watch(stop));
    }
}

/// What a reader of a run must know of an objective.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct About {
    /// Its name in the config and in metrics.jsonl.
    pub name: String,
    /// What its performance is called in validation.jsonl.
    pub performance: String,
    /// The reward that scores it.
    pub reward: String,
    /// Unit of the performance.
    pub unit: String,
    /// Which way the performance is good.
    pub better: Better,
}

/// All objectives of a run.
pub struct Objectives {
    list: Vec<Objective>,
}

impl Objectives {
    /// The objectives in the order of the config; never empty (the config refuses that).
    #[must_use]
    pub fn new(list: Vec<Objective>) -> Self {
        Self { list }
    }

    /// Objectives, M.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True without objectives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Names `[M]`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.list.iter().map(|o| o.name.clone()).collect()
    }

    /// Names and units for tables `[M]`.
    #[must_use]
    pub fn display_names(&self) -> Vec<String> {
        self.list.iter().map(Objective::display_name).collect()
    }

    /// What a scalarizer is told: names, and directions of the performance that it sees in `on_validation`.
    #[must_use]
    pub fn for_scalarizer(&self) -> Vec<ObjectiveInfo> {
        self.list
            .iter()
            .map(|o| ObjectiveInfo {
                name: o.name.clone(),
                direction: o.performance_direction(),
            })
            .collect()
    }

    /// What a reader of a run must know of each objective `[M]`.
    #[must_use]
    pub fn about(&self) -> Vec<About> {
        let about = |o: &Objective| About {
            name: o.name.clone(),
            performance: o.display_name(),
            reward: o.reward.name().to_owned(),
            unit: match o.reward.performance() {
                Performance::Score => "score".to_owned(),
                Performance::ResponseTokens => "tokens".to_owned(),
            },
            better: match o.performance_direction() {
                Direction::Maximize => Better::High,
                Direction::Minimize => Better::Low,
            },
        };
        self.list.iter().map(about).collect()
    }

    /// Performance of each completion `[B, M]`, row-major, in the units of the validation.
    #[must_use]
    pub fn performance_of_each(&self, rollouts: &Rollouts, scores: &Scores) -> Vec<f32> {
        let row = |b: usize| {
            let of = move |(m, o): (usize, &Objective)| o.performance_of(rollouts, scores.values[b * scores.m + m], b);
            self.list.iter().enumerate().map(of)
        };
        (0..rollouts.len()).flat_map(row).collect()
    }

    /// Performance `[M]` of a batch that was scored: the mean raw score of each objective, or the mean response length
    /// in tokens for rewards that say so.
    #[must_use]
    pub fn performance(&self, rollouts: &Rollouts, scores: &Scores) -> Vec<f64> {
        let mean = |(m, objective): (usize, &Objective)| match objective.reward.performance() {
            Performance::ResponseTokens => rollouts.mean_length(),
            Performance::Score => {
                let sign = if objective.direction == Direction::Minimize {
                    -1.0
                } else {
                    1.0
                };
                let total: f64 = scores.column(m).iter().map(|&s| f64::from(s)).sum();
                sign * total / rollouts.len().max(1) as f64
            }
        };
        self.list.iter().enumerate().map(mean).collect()
    }
}
