//! Policy losses over packed log-probabilities `[N]`: value, and derivative with respect to each new
//! log-probability (the cotangent `[N]`).
//!
//! ```text
//! ratio_t = exp(clamp(new_t − old_t, ±20))
//! ppo-clip  l_t = max(−A ratio, −A clip(ratio, 1 − clip_low, 1 + clip_high));  A < 0: min(l_t, −A dual_clip)
//! gspo      as ppo-clip with one ratio per response, exp(mean_t (new_t − old_t))
//! cispo     l_t = −sg(clip(ratio, 1 − clip_low, 1 + clip_high)) · A · new_t      (sg: a constant)
//! loss      Σ_t w_t l_t + coefficient · Σ_t w_t kl_t
//! ```
//! Sources: PPO (arXiv 1707.06347), separate ranges DAPO (2503.14476), dual clip (1912.09729), GSPO
//! (2507.18071; per-token advantages as its GSPO-token form), CISPO (2506.13585). The weights `w` come
//! from `aggregation`, so parts of a mini-batch sum to the whole.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::aggregation::{Aggregation, Denominators};
use super::kl::KlPenalty;
use crate::advantage::to_f32;
pub use crate::config::PolicyLoss;
use crate::metrics::Numbers;

use crate::error::Report;

/// new − old is clamped to ± this, so that exp stays finite in f32 (as verl does).
const LOG_RATIO: f64 = 20.0;

/// What defines the loss of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossSettings {
    /// Which policy loss.
    pub policy: PolicyLoss,
    /// The ratio is clipped below at `1 − clip_low`; 100 never clips.
    pub clip_low: f64,
    /// The ratio is clipped above at `1 + clip_high`; 100 never clips.
    pub clip_high: f64,
    /// For negative advantages `ppo-clip` bounds the loss at `−A · dual_clip`; must exceed 1.
    pub dual_clip: Option<f64>,
    /// How token losses become one number.
    pub aggregation: Aggregation,
    /// KL term, if any.
    pub kl: Option<KlPenalty>,
    /// Coefficient of the entropy bonus, ≥ 0: the loss is lowered by this times the aggregated entropy; 0 is off.
    pub entropy: f64,
}

impl LossSettings {
    /// Whether the loss has a term that belongs to no objective.
    #[must_use]
    pub fn has_penalty(&self) -> bool {
        self.kl.is_some() || self.entropy > 0.0
    }

    /// The same with this KL term.
    #[must_use]
    pub fn with_kl(self, kl: Option<KlPenalty>) -> Self {
        Self { kl, ..self }
    }

    /// The policy loss alone.
    #[must_use]
    pub fn without_penalty(self) -> Self {
        Self {
            kl: None,
            entropy: 0.0,
            ..self
        }
    }
}

/// Some whole responses of a mini-batch, tokens packed.
#[derive(Debug, Clone, Copy)]
pub struct LossInput<'a> {
    /// Log-probabilities under the policy being trained `[N]`.
    pub logprobs: &'a [f32],
    /// Log-probabilities under the policy that sampled `[N]`; `None` on the first pass over a batch,
    /// where they are the same numbers: the ratio is exactly 1.
    pub old: Option<&'a [f32]>,
    /// Log-probabilities under the reference policy `[N]`, for the KL term.
    pub reference: Option<&'a [f32]>,
    /// Entropies of the policy being trained `[N]`, for the entropy bonus.
    pub entropies: Option<&'a [f32]>,
    /// Response b holds tokens `offsets[b]..offsets[b + 1]`; `[B + 1]`, from 0 to N.
    pub offsets: &'a [usize],
}

/// Value, derivative and diagnostics of some responses. All numbers are shares of the mini-batch's
/// total, so parts add up (`+=` appends the cotangents).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LossOutput {
    /// Policy term plus coefficient times KL, less coefficient times entropy.
    pub value: f64,
    /// d value / d logprob `[N]`.
    pub cotangent: Vec<f32>,
    /// d value / d entropy `[N]`; empty without an entropy bonus.
    pub entropy_cotangent: Vec<f32>,
    /// The policy term.
    pub policy: f64,
    /// The aggregated KL estimate, without its coefficient.
    pub kl: f64,
    /// The KL estimate summed over a completion's tokens, mean over completions.
    pub completion_kl: f64,
    /// The aggregated entropy, without its coefficient; 0 without an entropy bonus.
    pub entropy: f64,
    /// Diagnostics for metrics.jsonl, by their names there.
    pub numbers: Numbers,
}

impl AddAssign for LossOutput {
    fn add_assign(&mut self, part: Self) {
        self.value += part.value;
        self.cotangent.extend(part.cotangent);
        self.entropy_cotangent.extend(part.entropy_cotangent);
        self.policy += part.policy;
        self.kl += part.kl;
        self.completion_kl += part.completion_kl;
        self.entropy += part.entropy;
        self.numbers.add_all(&part.numbers);
    }
}

/// Why a loss could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LossError {
    /// An array does not fit the others.
    #[error("loss: {what} has {found} entries, expected {expected}")]
    Length {
        /// Which array.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
    /// Offsets do not rise from 0 to N.
    #[error("loss: offsets do not rise from 0 to {tokens} (entry {index} is {value})")]
    Offsets {
        /// The first entry that is wrong.
        index: usize,
        /// What it is.
        value: usize,
        /// N.
        tokens: usize,
    },
    /// A log-probability or advantage is NaN or infinite.
    #[error("loss: {what} of completion {completion}, token {token} is {value}, expected a finite number")]
    NotFinite {
        /// Which array.
        what: &'static str,
        /// Response within this input.
        completion: usize,
        /// Token within the response.
        token: usize,
        /// What was there.
        value: f32,
    },
    /// The KL term needs reference log-probabilities.
    #[error("loss: the KL term has no reference log-probabilities")]
    NoReference,
    /// The entropy bonus needs entropies.
    #[error("loss: the entropy bonus has no entropies")]
    NoEntropies,
}

impl Report for LossError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFinite { .. } => {
                Some("a smaller optimizer.lr or optimizer.clip_norm keeps the policy finite".into())
            }
            Self::Length { .. } | Self::Offsets { .. } | Self::NoReference | Self::NoEntropies => None,
        }
    }
}

/// Policy term, KL term and entropy bonus of some responses of a mini-batch whose totals are `whole`; `advantages` `[N]`.
///
/// # Errors
/// [`LossError`] if arrays do not fit, a number is not finite, or a term lacks what it needs.
pub fn loss(
    settings: &LossSettings,
    input: &LossInput<'_>,
    advantages: &[f32],
    whole: &Denominators,
) -> Result<LossOutput, LossError> {
    let mut output = policy_loss(settings, input, advantages, whole)?;
    if settings.has_penalty() {
        let penalty = penalty_loss(settings, input, whole)?;
        output.value += penalty.value;
        (output.kl, output.completion_kl, output.entropy) = (penalty.kl, penalty.completion_kl, penalty.entropy);
        for (sum, part) in output.cotangent.iter_mut().zip(&penalty.cotangent) {
            *sum += part;
        }
        output.entropy_cotangent = penalty.entropy_cotangent;
    }
    Ok(output)
}

/// The policy term for each of M objectives' advantages `[N]`, M columns of one forward pass. The KL term and the entropy
/// bonus belong to no objective: they are [`penalty_loss`], added once to the mixed gradient.
///
/// # Errors
/// As [`loss`].
pub fn objective_losses(
    settings: &LossSettings,
    input: &LossInput<'_>,
    advantages: &[Vec<f32>],
    whole: &Denominators,
) -> Result<Vec<LossOutput>, LossError> {
    advantages
        .iter()
        .map(|column| policy_loss(settings, input, column, whole))
        .collect()
}

/// The policy term alone; `advantages` `[N]`.
///
/// # Errors
/// As [`loss`].
pub fn policy_loss(
    settings: &LossSettings,
    input: &LossInput<'_>,
    advantages: &[f32],
    whole: &Denominators,
) -> Result<LossOutput, LossError> {
    check_input(input)?;
    same_length("advantages", advantages.len(), input.logprobs.len())?;
    all_finite("the advantage", advantages, input.offsets)?;
    let per_token = 1.0 / whole.tokens.max(1) as f64;
    let (mut clip_fraction, mut dual_clip_fraction, mut approx_kl, mut ratio_mean) = (0.0, 0.0, 0.0, 0.0);
    let mut output = LossOutput {
        cotangent: Vec::with_capacity(input.logprobs.len()),
        ..LossOutput::default()
    };
    for tokens in responses(input.offsets) {
        let weight = settings.aggregation.token_weight(tokens.len(), whole);
        let difference = |t: usize| {
            input
                .old
                .map_or(0.0, |old| f64::from(input.logprobs[t]) - f64::from(old[t]))
        };
        let mean_difference = tokens.clone().map(difference).sum::<f64>() / tokens.len().max(1) as f64;
        for t in tokens {
            let advantage = f64::from(advantages[t]);
            let logprob = f64::from(input.logprobs[t]);
            let log_ratio = match settings.policy {
                PolicyLoss::Gspo => mean_difference,
                PolicyLoss::PpoClip | PolicyLoss::Cispo => difference(t),
            };
            let ratio = log_ratio.clamp(-LOG_RATIO, LOG_RATIO).exp();
            let token = match settings.policy {
                PolicyLoss::PpoClip | PolicyLoss::Gspo => clipped_surrogate(settings, ratio, advantage),
                PolicyLoss::Cispo => clipped_importance(settings, ratio, advantage, logprob),
            };
            // Beyond the clamp of the log-ratio a surrogate no longer depends on the log-probability.
            let constant = log_ratio.abs() > LOG_RATIO && settings.policy != PolicyLoss::Cispo;
            output
                .cotangent
                .push(if constant { 0.0 } else { to_f32(weight * token.slope) });
            output.policy += weight * token.value;
            clip_fraction += f64::from(token.clipped) * per_token;
            dual_clip_fraction += f64::from(token.dual_clipped) * per_token;
            approx_kl -= difference(t).clamp(-LOG_RATIO, LOG_RATIO) * per_token;
            ratio_mean += ratio * per_token;
        }
    }
    output.numbers.add("policy/clip_fraction", clip_fraction);
    output.numbers.add("policy/dual_clip_fraction", dual_clip_fraction);
    output.numbers.add("policy/approx_kl", approx_kl);
    output.numbers.add("policy/ratio_mean", ratio_mean);
    output.value = output.policy;
    Ok(output)
}

/// The KL term and the entropy bonus alone: `value` and the cotangents carry the coefficients, `kl` and `entropy` do
/// not. A term that is off is zero.
///
/// # Errors
/// As [`loss`].
pub fn penalty_loss(
    settings: &LossSettings,
    input: &LossInput<'_>,
    whole: &Denominators,
) -> Result<LossOutput, LossError> {
    check_input(input)?;
    let mut output = LossOutput {
        cotangent: vec![0.0; input.logprobs.len()],
        ..LossOutput::default()
    };
    if let Some(KlPenalty { estimator, coefficient }) = settings.kl {
        let reference = input.reference.ok_or(LossError::NoReference)?;
        let per_completion = 1.0 / whole.sequences.max(1) as f64;
        for tokens in responses(input.offsets) {
            let weight = settings.aggregation.token_weight(tokens.len(), whole);
            for t in tokens {
                let (value, slope) = estimator.value_and_slope(input.logprobs[t].into(), reference[t].into());
                output.kl += weight * value;
                output.completion_kl += per_completion * value;
                output.cotangent[t] = to_f32(coefficient * weight * slope);
            }
        }
        output.value += coefficient * output.kl;
    }
    if settings.entropy > 0.0 {
        let entropies = input.entropies.ok_or(LossError::NoEntropies)?;
        for tokens in responses(input.offsets) {
            let weight = settings.aggregation.token_weight(tokens.len(), whole);
            for t in tokens {
                output.entropy += weight * f64::from(entropies[t]);
                output.entropy_cotangent.push(to_f32(-settings.entropy * weight));
            }
        }
        output.value -= settings.entropy * output.entropy;
    }
    Ok(output)
}

/// Loss of one token, its derivative with respect to the log-probability, and what bounded it.
struct Token {
    value: f64,
    slope: f64,
    clipped: bool,
    dual_clipped: bool,
}

fn clipped_surrogate(settings: &LossSettings, ratio: f64, advantage: f64) -> Token {
    let plain = -advantage * ratio;
    let bounded = -advantage * ratio.clamp(1.0 - settings.clip_low, 1.0 + settings.clip_high);
    let clipped = bounded > plain;
    let value = plain.max(bounded);
    // d ratio / d logprob = ratio; a clipped ratio is constant.
    let slope = if clipped { 0.0 } else { plain };
    match settings.dual_clip {
        Some(bound) if advantage < 0.0 && -advantage * bound < value => Token {
            value: -advantage * bound,
            slope: 0.0,
            clipped,
            dual_clipped: true,
        },
        _ => Token {
            value,
            slope,
            clipped,
            dual_clipped: false,
        },
    }
}

fn clipped_importance(settings: &LossSettings, ratio: f64, advantage: f64, logprob: f64) -> Token {
    let weight = ratio.clamp(1.0 - settings.clip_low, 1.0 + settings.clip_high);
    let slope = -weight * advantage;
    Token {
        value: slope * logprob,
        slope,
        clipped: weight != ratio,
        dual_clipped: false,
    }
}

fn responses(offsets: &[usize]) -> impl Iterator<Item = std::ops::Range<usize>> {
    offsets.windows(2).map(|pair| pair[0]..pair[1])
}

fn check_input(input: &LossInput<'_>) -> Result<(), LossError> {
    let tokens = input.logprobs.len();
    let wrong = |index: usize, value: usize| Err(LossError::Offsets { index, value, tokens });
    match (input.offsets.first(), input.offsets.last()) {
        (Some(0), Some(&last)) if last == tokens => {}
        (Some(0), Some(&last)) => return wrong(input.offsets.len() - 1, last),
        (first, _) => return wrong(0, first.copied().unwrap_or(0)),
    }
    if let Some(index) = input.offsets.windows(2).position(|pair| pair[0] > pair[1]) {
        return wrong(index + 1, input.offsets[index + 1]);
    }
    all_finite("the new log-probability", input.logprobs, input.offsets)?;
    for (what, values) in [
        ("the old log-probability", input.old),
        ("the reference log-probability", input.reference),
        ("the entropy", input.entropies),
    ] {
        if let Some(values) = values {
            same_length(what, values.len(), tokens)?;
            all_finite(what, values, input.offsets)?;
        }
    }
    Ok(())
}

fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), LossError> {
    if found == expected {
        Ok(())
    } else {
        Err(LossError::Length { what, found, expected })
    }
}

fn all_finite(what: &'static str, values: &[f32], offsets: &[usize]) -> Result<(), LossError> {
    let Some(index) = values.iter().position(|v| !v.is_finite()) else {
        return Ok(());
    };
    let completion = offsets.partition_point(|&start| start <= index) - 1;
    Err(LossError::NotFinite {
        what,
        completion,
        token: index - offsets[completion],
        value: values[index],
    })
}

#[cfg(test)]
mod tests;
