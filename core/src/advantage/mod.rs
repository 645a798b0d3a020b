//! Advantage estimators: rewards `[B]` in, advantages `[B]` out.
//!
//! Every estimator here puts a completion's reward on its last token and uses no discount, so the
//! advantage is the same for each token of a response and one number per completion is all there is
//! to return. Completions of one prompt share a number in `groups`; groups may be interleaved and of
//! different sizes. Sums are formed in f64. The numbers agree with the estimators of verl
//! (`core_algos.py`) and, for GDPO, of TRL; `tests/golden/advantages.json` and `gdpo.json` hold both.
//!
//! | name | advantage of a completion with reward r | source |
//! |---|---|---|
//! | grpo | `(r − mean) / (std + 1e-6)` within the group, sample standard deviation; a group of one keeps its reward | arXiv 2402.03300, equation 3 with §4.1.2 |
//! | dr-grpo | `r − mean` within the group | arXiv 2503.20783 |
//! | rloo | `r` less the mean of the *other* completions of the group | arXiv 2402.14740 |
//! | reinforce++ | `r`, z-scored over all response tokens of the batch | arXiv 2501.03262 |
//! | reinforce++-baseline | `r − group mean`, z-scored over all response tokens of the batch | arXiv 2501.03262 |
//! | opo | `r` less the length-weighted mean of the group | arXiv 2505.23585 |
//! | grpo-passk | the best of a group gets `(best − second best) / (std + 1e-6)`, the others 0 | arXiv 2503.19595 |
//! | remax | `r` less the reward of the greedy completion of the same prompt | arXiv 2310.10505 |
//! | gdpo | each objective z-scored within its group, weighted sum, z-score over the batch | arXiv 2601.05242 |

mod gdpo;
pub mod groups;
mod outcome;
mod signal;

pub use gdpo::estimate_gdpo;
pub use signal::{Advantages, Estimation, Per};

pub use crate::config::Estimator;

use crate::error::{Fault, Report};

impl Estimator {
    /// Whether the estimator wants the scores `[B, M]` and weights `[M]` themselves
    /// ([`estimate_gdpo`]) instead of their mix.
    #[must_use]
    pub fn normalizes_per_objective(self) -> bool {
        self == Self::Gdpo
    }

    /// Whether the estimator wants the reward of a greedy completion of each prompt.
    #[must_use]
    pub fn needs_greedy(self) -> bool {
        self == Self::Remax
    }
}

/// Why advantages could not be estimated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AdvantageError {
    /// Two arrays that describe the same completions differ in length.
    #[error("advantages: {what} has {found} entries, expected {expected}")]
    Length {
        /// Which array.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
    /// A reward, score or weight is NaN or infinite.
    #[error("advantages: {what} at index {index} is {value}, expected a finite number")]
    NotFinite {
        /// Which array.
        what: &'static str,
        /// Flat index into it.
        index: usize,
        /// What was there.
        value: f32,
    },
    /// The estimator needs the rewards of greedy completions.
    #[error("advantages: estimator {estimator} has no rewards of greedy completions")]
    NoGreedy {
        /// Name of the estimator.
        estimator: &'static str,
    },
    /// The estimator compares the completions of a prompt and there is one only.
    #[error("advantages: estimator {estimator} needs at least 2 completions per prompt, group {group} has 1")]
    GroupOfOne {
        /// Name of the estimator.
        estimator: &'static str,
        /// The group's number.
        group: u32,
    },
    /// Something that is defined on the scalar reward of a completion meets a method that has none.
    #[error("scalarizer `{scalarizer}` returns {found}, found {setting}, which needs {needs}")]
    NoReward {
        /// The scalarizer.
        scalarizer: String,
        /// What the scalarizer returns.
        found: &'static str,
        /// The setting that needs more, as it is written.
        setting: &'static str,
        /// What the setting needs.
        needs: &'static str,
        /// What to set instead.
        instead: &'static str,
    },
}

impl Report for AdvantageError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Length { .. } | Self::NoGreedy { .. } => None,
            Self::NotFinite { .. } => {
                Some("look at the reward functions and the scalarizer: one of them gave this number".into())
            }
            Self::GroupOfOne { .. } => {
                Some("set rollout.group_size to 2 or more, or choose another algorithm.estimator".into())
            }
            Self::NoReward { instead, .. } => Some(format!("set {instead}, or choose another scalarizer")),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::NoReward { .. } => Fault::Usage,
            _ => Fault::Run,
        }
    }
}

/// Advantage of each completion `[B]` from its reward `[B]`, group number `[B]` and response length
/// in tokens `[B]`; `greedy` `[B]` is the reward of the greedy completion of each completion's prompt, for the estimator
/// that needs it ([`Estimator::needs_greedy`]).
///
/// # Errors
/// [`AdvantageError`] if the arrays differ in length, a reward is not finite, greedy rewards are missing, or
/// `grpo-passk` meets a group of one.
pub fn estimate(
    estimator: Estimator,
    rewards: &[f32],
    groups: &[u32],
    lengths: &[u32],
    greedy: Option<&[f32]>,
) -> Result<Vec<f32>, AdvantageError> {
    same_length("groups", groups.len(), rewards.len())?;
    same_length("lengths", lengths.len(), rewards.len())?;
    finite("rewards", rewards)?;
    if let Some(greedy) = greedy {
        same_length("greedy rewards", greedy.len(), rewards.len())?;
        finite("greedy rewards", greedy)?;
    }
    let scores = rewards;
    let rewards: Vec<f64> = rewards.iter().map(|&r| f64::from(r)).collect();
    let by_group = groups::rows_by_group(groups);
    let advantages = match estimator {
        Estimator::Grpo => outcome::grpo(&rewards, &by_group),
        Estimator::DrGrpo => outcome::centred(&rewards, &by_group),
        Estimator::Rloo => outcome::rloo(&rewards, &by_group),
        Estimator::ReinforcePlusPlus => outcome::whiten_over_tokens(rewards, lengths),
        Estimator::ReinforcePlusPlusBaseline => {
            outcome::whiten_over_tokens(outcome::minus_group_mean(&rewards, &by_group), lengths)
        }
        Estimator::Opo => outcome::opo(&rewards, &by_group, lengths),
        Estimator::Remax => {
            let estimator = estimator.name();
            outcome::minus(&rewards, greedy.ok_or(AdvantageError::NoGreedy { estimator })?)
        }
        Estimator::GrpoPassk => outcome::grpo_passk(&rewards, &by_group)?,
        Estimator::Gdpo => return estimate_gdpo(scores, &[1.0], groups),
    };
    Ok(advantages.into_iter().map(to_f32).collect())
}

/// The nearest f32: results leave the f64 sums as the f32 that per-completion arrays hold.
#[allow(clippy::cast_possible_truncation)] // rounding to f32 is the purpose
pub(crate) fn to_f32(x: f64) -> f32 {
    x as f32
}

fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), AdvantageError> {
    if found == expected {
        Ok(())
    } else {
        Err(AdvantageError::Length { what, found, expected })
    }
}

fn finite(what: &'static str, values: &[f32]) -> Result<(), AdvantageError> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(AdvantageError::NotFinite {
            what,
            index,
            value: values[index],
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
