//! The reward: one objective's score of a completion.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::params::Params;

/// A reward. It may be asked from several threads at once and has no state: the same completion gets the
/// same score.
pub trait Reward: Send + Sync + Sized + 'static {
    /// Its name in configs, kebab-case.
    const NAME: &'static str;
    /// What it measures, one sentence.
    const ABOUT: &'static str;
    /// What a validation reports for it.
    const VALIDATION: Performance = Performance::Score;
    /// What it is configured with.
    type Params: Params;

    /// Called once.
    fn new(params: Self::Params) -> Result<Self>;

    /// The score of one completion; larger is better. An error is this completion's alone: the run follows
    /// `on_error` of its config.
    fn score(&self, completion: &Completion<'_>) -> Result<f32>;

    /// Scores of many completions, one for each, in order. An error of the whole call stops the run.
    fn score_all(&self, completions: &[Completion<'_>]) -> Result<Vec<Result<f32>>> {
        Ok(completions.iter().map(|completion| self.score(completion)).collect())
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
    /// Running mean length in tokens of all training responses so far, this batch included.
    pub mean_response_tokens: f32,
    /// Whether the response was cut at the length limit.
    pub truncated: bool,
    /// The row's other columns, a JSON object.
    pub extra: &'a str,
}
