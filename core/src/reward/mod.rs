//! Objectives: rollouts -> scores `[B, M]`, and what a validation reports for each of them.

use thiserror::Error;

use crate::{
    config::OnError,
    error::Hint,
    plugin::{Completion, Direction, MeanTokens, Objective, Performance, PluginError, RewardPlugin},
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
        "objective {objective}: reward {reward} failed on a completion of row {row}: {message} (response: {response:?})"
    )]
    Completion {
        /// Name of the objective.
        objective: String,
        /// Name of the reward.
        reward: String,
        /// Row of the data file.
        row: usize,
        /// What the reward said.
        message: String,
        /// The first characters of the response.
        response: String,
    },
}

impl Hint for RewardError {
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
pub struct ScoredObjective {
    name: String,
    reward: RewardPlugin,
    /// Direction of the raw score, as the config says.
    direction: Direction,
    on_error: OnError,
}

impl ScoredObjective {
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
    pub fn performance_name(&self) -> String {
        match self.reward.performance() {
            Performance::Score => self.name.clone(),
            Performance::ResponseTokens => format!("{} (tokens)", self.name),
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
    /// Completions left out by `on_error = "skip"`: these rows hold 0 and take no part in the step.
    pub skipped: Vec<usize>,
    /// Failures per objective `[M]`.
    pub failures: Vec<usize>,
    /// The first failure's text, with the objective's name.
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

    /// The rows of `keep`, in their order.
    #[must_use]
    pub fn select(&self, keep: &[usize]) -> Self {
        Self {
            values: keep
                .iter()
                .flat_map(|&b| &self.values[b * self.m..(b + 1) * self.m])
                .copied()
                .collect(),
            skipped: Vec::new(),
            ..self.clone()
        }
    }
}

/// Running mean of response lengths over all training responses so far, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LengthBaseline {
    tokens: u64,
    responses: u64,
}

impl LengthBaseline {
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

/// What each completion may be measured against, `[B]`. Before the first training response the running mean is that
/// of the batch: a policy that was never trained has no other length.
fn mean_tokens(rollouts: &Rollouts, baseline: &LengthBaseline) -> Vec<MeanTokens> {
    #[allow(clippy::cast_possible_truncation, reason = "a mean length fits f32")]
    let narrow = |mean: f64| mean as f32;
    let batch = rollouts.mean_length();
    let running = if baseline.responses == 0 {
        batch
    } else {
        baseline.mean()
    };
    let mut means = Vec::with_capacity(rollouts.len());
    for group in rollouts.groups.chunk_by(|a, b| a == b) {
        let (first, end) = (means.len(), means.len() + group.len());
        let tokens = rollouts.offsets[end] - rollouts.offsets[first];
        let of_group = MeanTokens {
            running: narrow(running),
            batch: narrow(batch),
            group: narrow(tokens as f64 / group.len() as f64),
        };
        means.resize(end, of_group);
    }
    means
}

/// All objectives of a run.
pub struct Objectives {
    list: Vec<ScoredObjective>,
}

impl Objectives {
    /// The objectives in the order of the config; never empty (the config refuses that).
    #[must_use]
    pub fn new(list: Vec<ScoredObjective>) -> Self {
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
    pub fn performance_names(&self) -> Vec<String> {
        self.list.iter().map(ScoredObjective::performance_name).collect()
    }

    /// What a scalarizer is told: names, and directions of the performance that it sees in `on_validation`.
    #[must_use]
    pub fn for_scalarizer(&self) -> Vec<Objective> {
        self.list
            .iter()
            .map(|o| Objective {
                name: o.name.clone(),
                direction: o.performance_direction(),
            })
            .collect()
    }

    /// Scores `[B, M]` of a batch. `baseline` has the lengths of all training responses so far; in training it must
    /// include this batch.
    ///
    /// # Errors
    /// A reward that fails as a whole; a completion it refuses where `on_error = "stop"`.
    pub fn score(&self, rollouts: &Rollouts, baseline: &LengthBaseline) -> Result<Scores, RewardError> {
        let means = mean_tokens(rollouts, baseline);
        let lengths = rollouts.lengths();
        let completions: Vec<Completion<'_>> = (0..rollouts.len())
            .map(|b| {
                let prompt = rollouts.prompt(b);
                Completion {
                    prompt: &prompt.text,
                    response: &rollouts.texts[b],
                    ground_truth: &prompt.ground_truth,
                    data_source: &prompt.data_source,
                    response_tokens: lengths[b],
                    means: Some(means[b]),
                    truncated: rollouts.truncated[b],
                    extra: &prompt.extra,
                }
            })
            .collect();
        let m = self.len();
        let mut scores = Scores {
            m,
            values: vec![0.0; completions.len() * m],
            failures: vec![0; m],
            ..Scores::default()
        };
        for (column, objective) in self.list.iter().enumerate() {
            let results = objective
                .reward
                .score_all(&completions)
                .map_err(|source| RewardError::Plugin {
                    objective: objective.name.clone(),
                    source,
                })?;
            let sign = if objective.direction == Direction::Minimize {
                -1.0
            } else {
                1.0
            };
            for (b, result) in results.into_iter().enumerate() {
                match result {
                    Ok(score) => scores.values[b * m + column] = sign * score,
                    Err(message) => {
                        scores.failures[column] += 1;
                        scores
                            .first_failure
                            .get_or_insert(format!("{}: {message}", objective.name));
                        match objective.on_error {
                            OnError::Zero => {}
                            OnError::Skip => scores.skipped.push(b),
                            OnError::Stop => {
                                return Err(RewardError::Completion {
                                    objective: objective.name.clone(),
                                    reward: objective.reward.name().to_owned(),
                                    row: rollouts.prompt(b).row,
                                    message,
                                    response: rollouts.texts[b].chars().take(80).collect(),
                                });
                            }
                        }
                    }
                }
            }
        }
        scores.skipped.sort_unstable();
        scores.skipped.dedup();
        Ok(scores)
    }

    /// Performance `[M]` of a batch that was scored: the mean raw score of each objective, or the mean response length
    /// in tokens for rewards that say so.
    #[must_use]
    pub fn performance(&self, rollouts: &Rollouts, scores: &Scores) -> Vec<f64> {
        let mean = |(m, objective): (usize, &ScoredObjective)| match objective.reward.performance() {
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

#[cfg(test)]
mod tests {
    use super::{LengthBaseline, mean_tokens};
    use crate::{data::Prompt, plugin::MeanTokens, rollout::Rollouts};

    /// Rollouts with the given response lengths by group.
    fn rollouts(groups: &[&[usize]]) -> Rollouts {
        let mut out = Rollouts {
            offsets: vec![0],
            ..Rollouts::default()
        };
        for (group, lengths) in (0..).zip(groups) {
            out.prompts.push(Prompt::default());
            for length in *lengths {
                out.groups.push(group);
                out.tokens.resize(out.tokens.len() + length, 0);
                out.offsets.push(out.tokens.len());
            }
        }
        out
    }

    #[test]
    fn the_means_are_of_training_of_the_batch_and_of_the_group() {
        let batch = rollouts(&[&[2, 4], &[9]]);
        let means = |running, group| MeanTokens {
            running,
            batch: 5.0,
            group,
        };
        let mut baseline = LengthBaseline::default();
        let first = mean_tokens(&batch, &baseline);
        assert_eq!(first, [means(5.0, 3.0), means(5.0, 3.0), means(5.0, 9.0)]);
        baseline.add(&batch);
        baseline.add(&rollouts(&[&[1]]));
        let later = mean_tokens(&batch, &baseline);
        assert_eq!(later, [means(4.0, 3.0), means(4.0, 3.0), means(4.0, 9.0)]);
        assert!(mean_tokens(&rollouts(&[]), &baseline).is_empty());
    }
}
