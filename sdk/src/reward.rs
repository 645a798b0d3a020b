//! The reward: one objective's score of a completion.

use serde::{Deserialize, Serialize};

use crate::params::Params;
use crate::{Error, Result, scoring};

/// A reward. It may be asked from several threads at once and has no state: the same completion gets the
/// same score.
pub trait Reward: Send + Sync + Sized + 'static {
    /// Its name in configs, kebab-case.
    const NAME: &'static str;
    /// What it measures, one sentence.
    const ABOUT: &'static str;
    /// What a validation reports for it.
    const VALIDATION: Performance = Performance::Score;
    /// Whether scores depend on [`Completion::means`]. A reward without it may be scored while later groups are
    /// still being sampled, and gets `None`.
    const NEEDS_MEANS: bool = false;
    /// What it is configured with.
    type Params: Params;

    /// Called once.
    fn new(params: Self::Params) -> Result<Self>;

    /// The score of one completion; larger is better. An error is this completion's alone: the run follows
    /// `on_error` of its config.
    fn score(&self, completion: &Completion<'_>) -> Result<f32>;

    /// Scores of many completions, one for each, in order. An error of the whole call stops the run.
    fn score_all(&self, completions: &[Completion<'_>]) -> Result<Vec<Result<f32>>> {
        let scores = completions.iter().enumerate().map(|(index, completion)| {
            scoring::set(Some(index));
            self.score(completion)
        });
        let scores = scores.collect();
        scoring::set(None);
        Ok(scores)
    }
}

/// What a validation reports for an objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Performance {
    /// The mean score.
    #[default]
    Score,
    /// The mean length of the responses in tokens, which is minimised.
    ResponseTokens,
}

/// One completion, as a reward sees it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Completion<'a> {
    /// The prompt as the model got it.
    pub prompt: &'a str,
    /// The response without special tokens.
    pub response: &'a str,
    /// The row's answer.
    pub ground_truth: &'a str,
    /// The row's `data_source`.
    pub data_source: &'a str,
    /// Length of the response in tokens.
    pub response_tokens: u32,
    /// Mean lengths to measure this one against; `None` unless the reward's [`Reward::NEEDS_MEANS`] is set.
    pub means: Option<MeanTokens>,
    /// Whether the response was cut at the length limit.
    pub truncated: bool,
    /// The row's other columns, a JSON object.
    pub extra: &'a str,
}

impl Completion<'_> {
    /// The mean lengths. Error: the reward did not ask for them in [`Reward::NEEDS_MEANS`].
    pub fn means(&self) -> Result<MeanTokens> {
        self.means.ok_or_else(|| {
            Error::new("`means` was not asked for").hint("set `const NEEDS_MEANS: bool = true;` in the reward")
        })
    }
}

/// Mean response lengths in tokens that a completion may be measured against. In a validation `batch` and `group`
/// are those of the validation, and `running` is that of training so far (before its first step: `batch`).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MeanTokens {
    /// All training responses so far, this batch included.
    pub running: f32,
    /// The responses of this step.
    pub batch: f32,
    /// The responses to the same prompt in this step.
    pub group: f32,
}

#[cfg(test)]
mod tests {
    use super::{Completion, MeanTokens};

    #[test]
    fn means_that_nobody_asked_for_are_an_error_that_names_what_to_set() {
        let error = Completion::default().means().expect_err("there are none");
        assert!(error.hint.is_some_and(|hint| hint.contains("NEEDS_MEANS")));
        let means = MeanTokens {
            running: 1.0,
            batch: 2.0,
            group: 3.0,
        };
        let completion = Completion {
            means: Some(means),
            ..Completion::default()
        };
        assert_eq!(completion.means(), Ok(means));
    }
}
