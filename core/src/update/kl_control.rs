//! The weight of a KL penalty over a run: fixed, or steered towards a target by the proportional controller of Ziegler et
//! al. 2019 (arXiv 1909.08593, §2.2):
//!
//! ```text
//! error = clip(KL / target − 1, −0.2, 0.2);   β ← β (1 + error · n / horizon)
//! ```
//! KL is that of a completion, the estimate summed over its tokens, averaged over the n completions of a step.

use serde::{Deserialize, Serialize};

use super::kl::{KlEstimator, KlPenalty, completion_kl};
use crate::config::KlPlacement;

/// The error is clipped to ± this: one odd step moves β little.
const LARGEST_ERROR: f64 = 0.2;

/// Where an adaptive weight is steered to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KlTarget {
    /// KL of a completion in nats, above 0.
    pub target: f64,
    /// Completions over which the weight follows, above 0.
    pub horizon: f64,
}

/// What a checkpoint keeps of the controller.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KlControlState {
    /// β, ≥ 0.
    pub coefficient: f64,
}

/// The KL penalty of a run: which estimate, where it is subtracted, and its weight β, which is kept here alone.
#[derive(Debug, Clone, PartialEq)]
pub struct KlControl {
    estimator: KlEstimator,
    /// None: the run has no penalty.
    placement: Option<KlPlacement>,
    coefficient: f64,
    target: Option<KlTarget>,
}

impl KlControl {
    /// β starts at `coefficient`, and stays there without a target. A coefficient of 0 is no penalty.
    #[must_use]
    pub fn new(estimator: KlEstimator, placement: KlPlacement, coefficient: f64, target: Option<KlTarget>) -> Self {
        Self {
            estimator,
            placement: (coefficient > 0.0).then_some(placement),
            coefficient,
            target,
        }
    }

    /// Whether the penalty is subtracted from rewards, and so needs log-probabilities before the update.
    #[must_use]
    pub fn is_in_reward(&self) -> bool {
        self.placement == Some(KlPlacement::Reward)
    }

    /// The term of the loss with the weight that it has now; none where the penalty is in the reward, or off.
    #[must_use]
    pub fn loss_term(&self) -> Option<KlPenalty> {
        (self.placement == Some(KlPlacement::Loss)).then_some(KlPenalty {
            estimator: self.estimator,
            coefficient: self.coefficient,
        })
    }

    /// The estimate `[B]`, without β, of completions whose penalty is subtracted from their rewards; none where it is in
    /// the loss, or off. `old` and `reference` are `[N]`, `offsets` `[B + 1]`.
    #[must_use]
    pub fn in_reward(&self, old: Option<&[f32]>, reference: Option<&[f32]>, offsets: &[usize]) -> Option<Vec<f64>> {
        let (old, reference) = old.zip(reference).filter(|_| self.is_in_reward())?;
        Some(completion_kl(self.estimator, old, reference, offsets))
    }

    /// What is subtracted from rewards `[B]`: β times each completion's estimate.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "rewards are f32")]
    pub fn penalties(&self, kl: &[f64]) -> Vec<f32> {
        kl.iter().map(|kl| (self.coefficient * kl) as f32).collect()
    }

    /// β as it is now.
    #[must_use]
    pub fn coefficient(&self) -> f64 {
        self.coefficient
    }

    /// Takes in the mean KL of a step's `completions`.
    pub fn observe(&mut self, kl: f64, completions: usize) {
        let Some(KlTarget { target, horizon }) = self.target.filter(|_| self.coefficient > 0.0) else {
            return;
        };
        let error = (kl / target - 1.0).clamp(-LARGEST_ERROR, LARGEST_ERROR);
        // A step of more completions than five horizons would turn the sign of β.
        self.coefficient *= (1.0 + error * completions as f64 / horizon).max(0.0);
    }

    /// What a checkpoint keeps.
    #[must_use]
    pub fn state(&self) -> KlControlState {
        KlControlState {
            coefficient: self.coefficient,
        }
    }

    /// Goes on from what [`KlControl::state`] gave. A fixed weight stays as it was configured.
    pub fn load_state(&mut self, state: KlControlState) {
        if self.target.is_some() {
            self.coefficient = state.coefficient;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers by hand from the paper's two lines.
    #[test]
    fn the_weight_follows_the_target_and_no_faster_than_the_clip() {
        let target = KlTarget {
            target: 6.0,
            horizon: 10_000.0,
        };
        let mut control = KlControl::new(KlEstimator::K1, KlPlacement::Loss, 0.2, Some(target));
        control.observe(6.6, 256); // error 0.1
        assert!((control.coefficient() - 0.2 * 1.00256).abs() < 1e-12);
        control.observe(600.0, 256); // clipped to 0.2
        assert!((control.coefficient() - 0.2 * 1.00256 * 1.00512).abs() < 1e-12);
        control.observe(-1.0, 1000); // an estimate may be negative: clipped to −0.2
        assert!((control.coefficient() - 0.2 * 1.00256 * 1.00512 * 0.98).abs() < 1e-12);
        control.observe(0.0, 60_000);
        assert_eq!(control.coefficient(), 0.0);
    }

    #[test]
    fn a_fixed_weight_stays_and_state_goes_round() {
        let mut fixed = KlControl::new(KlEstimator::K1, KlPlacement::Loss, 0.1, None);
        fixed.observe(100.0, 100);
        assert_eq!(fixed.coefficient(), 0.1);
        let target = KlTarget {
            target: 1.0,
            horizon: 100.0,
        };
        let mut one = KlControl::new(KlEstimator::K1, KlPlacement::Loss, 0.1, Some(target));
        one.observe(1.1, 10);
        let text = serde_json::to_string(&one.state()).expect("serializes");
        let mut other = KlControl::new(KlEstimator::K1, KlPlacement::Loss, 0.1, Some(target));
        other.load_state(serde_json::from_str(&text).expect("parses"));
        assert_eq!(one, other);
        assert_ne!(one.coefficient(), 0.1);
        fixed.load_state(one.state());
        assert_eq!(fixed.coefficient(), 0.1);
    }
}
