//! Per-token estimators of the KL divergence of the policy from a reference, on tokens that the
//! policy sampled. With d = log π(token) − log ref(token):
//! k1 = d, abs = |d|, k2 = d²/2, k3 = exp(−d) − 1 + d (Schulman, "Approximating KL divergence", 2020).
//!
//! In the loss the estimate is of the policy being trained and has a gradient. In the reward it is a number: the estimate
//! of the policy that sampled, times β, is taken off the reward of each token (as in verl and TRL). Every estimator here
//! takes one reward for a completion, so what is subtracted is the sum over its tokens, from the scalar reward that the
//! scalarizer made of the scores, before the advantage. Per-objective advantages and the Gramian of a batch have no part
//! of it. A method without a scalar reward (weights on advantages or gradients, advantages) is refused in the first step,
//! and so is the estimator gdpo before it.

use serde::{Deserialize, Serialize};

pub use crate::config::KlEstimator;

/// The log-ratio in k3 is clamped to ± this before the exponential, as in verl.
const K3_LOG_RATIO: f64 = 20.0;
/// The value of k3 is clamped to ± this, as in verl; beyond it the derivative is 0.
const K3_VALUE: f64 = 10.0;

impl KlEstimator {
    /// Value, and derivative with respect to `logprob`, both for one token.
    #[must_use]
    pub fn value_and_slope(self, logprob: f64, reference: f64) -> (f64, f64) {
        let d = logprob - reference;
        match self {
            Self::K1 => (d, 1.0),
            Self::Abs => (d.abs(), if d == 0.0 { 0.0 } else { d.signum() }),
            Self::K2 => (0.5 * d * d, d),
            Self::K3 => {
                let log_ratio = (-d).clamp(-K3_LOG_RATIO, K3_LOG_RATIO);
                let value = log_ratio.exp_m1() - log_ratio;
                let clamped = log_ratio != -d || value > K3_VALUE;
                (value.min(K3_VALUE), if clamped { 0.0 } else { -log_ratio.exp_m1() })
            }
        }
    }
}

/// The estimate summed over the tokens of each completion `[B]`, of the policy that sampled (`logprobs` `[N]`) from the
/// reference `[N]`; `offsets` `[B + 1]`.
#[must_use]
pub fn completion_kl(estimator: KlEstimator, logprobs: &[f32], reference: &[f32], offsets: &[usize]) -> Vec<f64> {
    let token = |t: usize| estimator.value_and_slope(logprobs[t].into(), reference[t].into()).0;
    offsets
        .windows(2)
        .map(|pair| (pair[0]..pair[1]).map(token).sum())
        .collect()
}

/// A KL term in the loss: `coefficient · aggregated estimator`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KlPenalty {
    /// Which estimator.
    pub estimator: KlEstimator,
    /// Its coefficient in the loss, ≥ 0.
    pub coefficient: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Table {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        estimator: KlEstimator,
        logprobs: Vec<f32>,
        ref_logprobs: Vec<f32>,
        kl: Vec<f64>,
        grad_logprobs: Vec<f64>,
    }

    #[test]
    fn golden_values_and_gradients() {
        let text = include_str!("../../../tests/golden/kl.json");
        let table: Table = serde_json::from_str(text).expect("golden file parses");
        assert_eq!(table.cases.len(), 4);
        for case in &table.cases {
            for (t, (&logprob, &reference)) in case.logprobs.iter().zip(&case.ref_logprobs).enumerate() {
                let (value, slope) = case.estimator.value_and_slope(logprob.into(), reference.into());
                let context = format!("{:?} token {t}: {value} {slope}", case.estimator);
                // The table was computed in f32; exp(4) costs it a few units in the last place.
                assert!(
                    (value - case.kl[t]).abs() <= 2e-6 * (1.0 + case.kl[t].abs()),
                    "{context}"
                );
                assert!(
                    (slope - case.grad_logprobs[t]).abs() <= 4e-6 * (1.0 + slope.abs()),
                    "{context}"
                );
            }
        }
    }

    #[test]
    fn slopes_are_the_values_finite_differences() {
        let h = 1e-6;
        for estimator in [KlEstimator::K1, KlEstimator::Abs, KlEstimator::K2, KlEstimator::K3] {
            for d in [-25.0, -2.6, -2.2, -0.3, 0.2, 1.7, 9.0, 25.0] {
                let value = |d| estimator.value_and_slope(d - 3.0, -3.0).0;
                let slope = estimator.value_and_slope(d - 3.0, -3.0).1;
                let difference = (value(d + h) - value(d - h)) / (2.0 * h);
                assert!(
                    (slope - difference).abs() < 1e-6 * (1.0 + slope.abs()),
                    "{estimator:?} at {d}"
                );
            }
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config {
            cases: 64,
            failure_persistence: None,
            rng_seed: proptest::test_runner::RngSeed::Fixed(3),
            ..proptest::test_runner::Config::default()
        })]

        /// All but k1 are at least 0 for each token, and 0 where the policies agree.
        #[test]
        fn estimates_of_a_token_are_not_negative(logprob in -60.0f64..0.0, reference in -60.0f64..0.0) {
            for estimator in [KlEstimator::Abs, KlEstimator::K2, KlEstimator::K3] {
                let (value, slope) = estimator.value_and_slope(logprob, reference);
                proptest::prop_assert!(value >= 0.0 && slope.is_finite(), "{:?}: {} {}", estimator, value, slope);
                proptest::prop_assert_eq!(estimator.value_and_slope(reference, reference), (0.0, 0.0));
            }
        }
    }

    #[test]
    fn a_completions_kl_is_the_sum_over_its_tokens() {
        let kl = completion_kl(KlEstimator::K1, &[-1.0, -2.0, -0.5], &[-2.0, -2.5, -0.5], &[0, 2, 2, 3]);
        assert_eq!(kl, [1.5, 0.0, 0.0]);
    }

    /// A token that the reference finds far likelier than the policy does: value and slope are
    /// bounded.
    #[test]
    fn k3_is_clamped() {
        assert_eq!(KlEstimator::K3.value_and_slope(-100.0, 0.0), (10.0, 0.0));
        assert_eq!(KlEstimator::K3.value_and_slope(-3.0, -3.0), (0.0, 0.0));
        assert_eq!(KlEstimator::Abs.value_and_slope(-3.0, -3.0), (0.0, 0.0));
    }
}
