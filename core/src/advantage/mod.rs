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

mod error;
mod gdpo;
pub mod groups;
mod outcome;
mod signal;

pub use error::AdvantageError;
pub use gdpo::estimate_gdpo;
pub use signal::{Advantages, Estimation, Per, check_terms};

pub use crate::config::Estimator;

use crate::num::to_f32;
use error::{finite, same_length};

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

#[cfg(test)]
mod tests;
