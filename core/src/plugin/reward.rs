//! A reward behind the boundary, of a native library or of a component. It may be called from several threads at
//! once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use moa_sdk::abi::raw::{RawCompletion, RawRewardBox};
use moa_sdk::{Completion, Performance, RewardDescription};

use super::component::ComponentReward;
use super::error::PluginError;
use super::score::{Cause, Failure, Score};

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
