//! A reward behind the boundary. It may be called from several threads at once.

use std::path::{Path, PathBuf};

use moa_sdk::abi::raw::{RawCompletion, RawRewardBox};
use moa_sdk::{Completion, Performance, RewardDescription};

use super::error::PluginError;

/// One reward of a run.
pub struct RewardPlugin {
    name: String,
    library: PathBuf,
    performance: Performance,
    needs_means: bool,
    object: RawRewardBox,
}

impl RewardPlugin {
    pub(super) fn new(described: &RewardDescription, library: &Path, object: RawRewardBox) -> Self {
        Self {
            name: described.name.clone(),
            library: library.to_owned(),
            performance: described.validation,
            needs_means: described.needs_means,
            object,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The library that it came from.
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

    /// One score or one message for each completion, in order; a score that is not finite is a message. Error:
    /// the whole call failed, or gave another number of scores.
    pub fn score_all(&self, completions: &[Completion<'_>]) -> Result<Vec<Result<f32, String>>, PluginError> {
        let finite = |score: f32| match score.is_finite() {
            true => Ok(score),
            false => Err(format!("the score is {score}, expected a finite number")),
        };
        let scores = self.score_unchecked(completions)?;
        Ok(scores.into_iter().map(|score| score.and_then(finite)).collect())
    }

    /// As [`RewardPlugin::score_all`], but scores that are not finite are given as they are.
    pub(super) fn score_unchecked(
        &self,
        completions: &[Completion<'_>],
    ) -> Result<Vec<Result<f32, String>>, PluginError> {
        const HOOK: &str = "score_all";
        // Means that were not asked for do not exist, so that no reward comes to depend on them unsaid.
        let mut raw: Vec<RawCompletion<'_>> = completions.iter().map(|c| (*c).into()).collect();
        if !self.needs_means {
            raw.iter_mut().for_each(|completion| completion.means = None.into());
        }
        let scores = self
            .object
            .score_all(raw.as_slice().into())
            .into_result()
            .map_err(|error| {
                let error = moa_sdk::Error::from(error);
                PluginError::Hook {
                    plugin: self.name.clone(),
                    hook: HOOK,
                    step: None,
                    message: error.message,
                    hint: error.hint,
                }
            })?;
        if scores.len() != completions.len() {
            return Err(PluginError::Output {
                plugin: self.name.clone(),
                hook: HOOK,
                step: None,
                found: format!("{} scores", scores.len()),
                expected: completions.len().to_string(),
            });
        }
        Ok(scores
            .into_iter()
            .map(|score| score.into_result().map_err(Into::into))
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
