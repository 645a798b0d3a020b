//! A reward behind the boundary, of a native library or of a component. It may be called from several threads at
//! once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use moa_sdk::abi::raw::{RawCompletion, RawRewardBox};
use moa_sdk::{Completion, Performance, RewardDescription};

use super::component::ComponentReward;
use super::error::PluginError;

/// One reward of a run.
pub struct RewardPlugin {
    name: String,
    library: PathBuf,
    performance: Performance,
    needs_means: bool,
    form: Form,
}

/// What stands behind the boundary.
enum Form {
    Native(RawRewardBox),
    Component(ComponentReward),
}

/// A finite score, or why there is none.
pub type Score = Result<f32, Failure>;

/// Why one completion has no score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub cause: Cause,
    /// In words, one line.
    pub message: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Kinds of failures, which the metrics count. All but the first two are of components alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The reward gave an error for the completion.
    Refused,
    /// The score is NaN or infinite.
    NotFinite,
    /// It computed longer than its fuel.
    Fuel,
    /// It took longer than its time.
    Time,
    /// It asked for more than its memory.
    Memory,
    /// It gave back more than it may.
    Result,
    /// It gave back another number of results.
    Output,
    /// It panicked, or did something that stops a WebAssembly program.
    Trap,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::NotFinite,
        Self::Fuel,
        Self::Time,
        Self::Memory,
        Self::Result,
        Self::Output,
        Self::Trap,
    ];

    /// Its name in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotFinite => "not-finite",
            Self::Fuel => "fuel",
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Result => "result",
            Self::Output => "output",
            Self::Trap => "trap",
        }
    }
}

impl RewardPlugin {
    pub(super) fn native(described: &RewardDescription, library: &Path, object: RawRewardBox) -> Self {
        Self::new(described, library, Form::Native(object))
    }

    pub(super) fn component(described: &RewardDescription, file: &Path, reward: ComponentReward) -> Self {
        Self::new(described, file, Form::Component(reward))
    }

    fn new(described: &RewardDescription, library: &Path, form: Form) -> Self {
        Self {
            name: described.name.clone(),
            library: library.to_owned(),
            performance: described.validation,
            needs_means: described.needs_means,
            form,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The library or component that it came from.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// What a validation reports for it.
    pub fn performance(&self) -> Performance {
        self.performance
    }

    /// Whether its scores depend on [`Completion::means`]: they can be given only when the step is sampled.
    pub fn needs_means(&self) -> bool {
        self.needs_means
    }

    /// One score or one failure for each completion, in order; a score that is not finite is a failure. Error: the
    /// whole call of a native reward failed, or gave another number of scores; a component fails one completion at a
    /// time.
    pub fn score_all(&self, completions: &[Completion<'_>]) -> Result<Vec<Score>, PluginError> {
        self.score_counted(completions, &AtomicUsize::new(0))
    }

    /// As [`RewardPlugin::score_all`]; `done` counts up as completions are scored.
    pub fn score_counted(&self, completions: &[Completion<'_>], done: &AtomicUsize) -> Result<Vec<Score>, PluginError> {
        let finite = |score: f32| match score.is_finite() {
            true => Ok(score),
            false => Err(Failure {
                cause: Cause::NotFinite,
                message: format!("the score is {score}, expected a finite number"),
            }),
        };
        let scores = self.score_unchecked(completions, done)?;
        Ok(scores.into_iter().map(|score| score.and_then(finite)).collect())
    }

    /// As [`RewardPlugin::score_all`], but scores that are not finite are given as they are.
    pub(super) fn score_unchecked(
        &self,
        completions: &[Completion<'_>],
        done: &AtomicUsize,
    ) -> Result<Vec<Score>, PluginError> {
        match &self.form {
            Form::Native(object) => {
                let raw: Vec<RawCompletion<'_>> = completions.iter().map(|c| self.without_means(c).into()).collect();
                let scores = self.native_scores(object, &raw)?;
                done.fetch_add(completions.len(), Ordering::Relaxed);
                Ok(scores)
            }
            Form::Component(reward) => {
                let completions: Vec<Completion<'_>> = completions.iter().map(|c| self.without_means(c)).collect();
                Ok(reward.score_all(&completions, done))
            }
        }
    }

    /// Means that were not asked for do not exist, so that no reward comes to depend on them unsaid.
    fn without_means<'a>(&self, completion: &Completion<'a>) -> Completion<'a> {
        Completion {
            means: completion.means.filter(|_| self.needs_means),
            ..*completion
        }
    }

    fn native_scores(&self, object: &RawRewardBox, raw: &[RawCompletion<'_>]) -> Result<Vec<Score>, PluginError> {
        const HOOK: &str = "score_all";
        let scores = object.score_all(raw.into()).into_result().map_err(|error| {
            let error = moa_sdk::Error::from(error);
            PluginError::Hook {
                plugin: self.name.clone(),
                hook: HOOK,
                step: None,
                message: error.message,
                hint: error.hint,
            }
        })?;
        if scores.len() != raw.len() {
            return Err(PluginError::Output {
                plugin: self.name.clone(),
                hook: HOOK,
                step: None,
                found: format!("{} scores", scores.len()),
                expected: raw.len().to_string(),
                hint: None,
            });
        }
        let refused = |message: abi_stable::std_types::RString| Failure {
            cause: Cause::Refused,
            message: message.into(),
        };
        Ok(scores
            .into_iter()
            .map(|score| score.into_result().map_err(refused))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::RewardPlugin;

    #[test]
    fn a_reward_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<RewardPlugin>();
    }
}
