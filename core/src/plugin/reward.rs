//! A reward behind the boundary, of a native library or of a component. It may be called from several threads at
//! once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moa_sdk::abi::raw::{RawCompletion, RawRewardBox};
use moa_sdk::{Completion, MeanTokens, Performance, RewardDescription};

use super::calls;
use super::component::ComponentReward;
use super::deadline::{GaveUp, Patience};
use super::error::PluginError;
use super::score::{Cause, Failure, Score};

/// One reward of a run.
pub struct RewardPlugin {
    name: String,
    library: PathBuf,
    performance: Performance,
    needs_means: bool,
    form: Form,
    /// How long a call of native code is waited for; as long as it takes where nobody said.
    patience: Option<Patience>,
    /// Why nothing more is asked of it: a call hangs.
    hung: Mutex<Option<PluginError>>,
}

/// How long a call of a native reward may take where the config does not say.
const DEADLINE: Duration = Duration::from_secs(600);

/// What stands behind the boundary.
enum Form {
    Native(Arc<RawRewardBox>),
    Component(ComponentReward),
}

impl RewardPlugin {
    pub(super) fn native(described: &RewardDescription, library: &Path, object: RawRewardBox) -> Self {
        Self::new(described, library, Form::Native(Arc::new(object)))
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
            patience: None,
            hung: Mutex::new(None),
        }
    }

    /// From here on a call of native code is waited for until its deadline (ten minutes unless the limits say another), or
    /// until a few seconds after `stop` turned true. Components have limits of their own.
    pub fn watch(&mut self, stop: &Arc<AtomicBool>) {
        let deadline = self.patience.as_ref().map_or(DEADLINE, |patience| patience.deadline);
        let stop = Arc::clone(stop);
        self.patience = Some(Patience { deadline, stop });
    }

    /// Sets the deadline of a call of native code.
    pub(super) fn within(mut self, milliseconds: u64) -> Self {
        self.patience = Some(Patience {
            deadline: Duration::from_millis(milliseconds),
            stop: Arc::default(),
        });
        self
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
                let scores = match &self.patience {
                    None => {
                        let raw: Vec<RawCompletion<'_>> =
                            completions.iter().map(|c| self.without_means(c).into()).collect();
                        native_scores(&self.name, &self.library, object, &raw)?
                    }
                    Some(patience) => self.scores_in_time(patience, object, completions)?,
                };
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

    /// The scores of a native reward, or which completion it hangs on. Texts are copied: a call that hangs keeps them.
    fn scores_in_time(
        &self,
        patience: &Patience,
        object: &Arc<RawRewardBox>,
        completions: &[Completion<'_>],
    ) -> Result<Vec<Score>, PluginError> {
        let hung = || self.hung.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = hung().clone() {
            return Err(error);
        }
        let owned: Arc<Vec<Owned>> = Arc::new(completions.iter().map(|c| self.without_means(c).into()).collect());
        let call = {
            let (name, library, object, owned) = (
                self.name.clone(),
                self.library.clone(),
                Arc::clone(object),
                Arc::clone(&owned),
            );
            move |rows: std::ops::Range<usize>| {
                let raw: Vec<RawCompletion<'_>> = owned[rows].iter().map(|c| c.completion().into()).collect();
                native_scores(&name, &library, &object, &raw)
            }
        };
        let (all, alone) = (0..owned.len(), call.clone());
        let error = match patience.wait(move || call(all)) {
            Ok(scores) => return scores,
            Err(GaveUp::Deadline) => {
                let row = patience.first_to_hang(owned.len(), move |row| drop(alone(row..row + 1)));
                PluginError::Hangs {
                    plugin: self.name.clone(),
                    library: self.library.clone(),
                    completions: owned.len(),
                    seconds: patience.deadline.as_secs_f64(),
                    completion: row.map(|row| (row, owned[row].response.chars().take(80).collect())),
                }
            }
            Err(GaveUp::Stopped) => PluginError::Abandoned {
                plugin: self.name.clone(),
            },
            Err(GaveUp::Lost) => PluginError::Hook {
                plugin: self.name.clone(),
                hook: HOOK,
                step: None,
                message: "its thread ended without an answer, or could not be started".to_owned(),
                hint: None,
            },
        };
        *hung() = Some(error.clone());
        Err(error)
    }
}

const HOOK: &str = "score_all";

/// A completion that a call may keep.
struct Owned {
    texts: [String; 4],
    response: String,
    response_tokens: u32,
    means: Option<MeanTokens>,
    truncated: bool,
}

impl From<Completion<'_>> for Owned {
    fn from(c: Completion<'_>) -> Self {
        Self {
            texts: [c.prompt, c.ground_truth, c.data_source, c.extra].map(str::to_owned),
            response: c.response.to_owned(),
            response_tokens: c.response_tokens,
            means: c.means,
            truncated: c.truncated,
        }
    }
}

impl Owned {
    fn completion(&self) -> Completion<'_> {
        let [prompt, ground_truth, data_source, extra] = &self.texts;
        Completion {
            prompt,
            response: &self.response,
            ground_truth,
            data_source,
            response_tokens: self.response_tokens,
            means: self.means,
            truncated: self.truncated,
            extra,
        }
    }
}

fn native_scores(
    name: &str,
    library: &Path,
    object: &RawRewardBox,
    raw: &[RawCompletion<'_>],
) -> Result<Vec<Score>, PluginError> {
    let call = calls::enter(library, HOOK);
    let scores = object.score_all(raw.into()).into_result().map_err(|error| {
        let error = moa_sdk::Error::from(error);
        PluginError::Hook {
            plugin: name.to_owned(),
            hook: HOOK,
            step: None,
            message: error.message,
            hint: error.hint,
        }
    })?;
    drop(call);
    if scores.len() != raw.len() {
        return Err(PluginError::Output {
            plugin: name.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::RewardPlugin;

    #[test]
    fn a_reward_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<RewardPlugin>();
    }
}
