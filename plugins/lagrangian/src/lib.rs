//! Lagrangian primal-dual method: the first objective is maximised, each other one is to reach a mean score, and a
//! multiplier grows for as long as it does not (Mahdavi, Yang, Jin, "Stochastic convex optimization with multiple
//! objectives", NeurIPS 2013, algorithm 1; as a baseline in arXiv 2602.06869).
//!
//! For scores s `[B, M]`, each objective's own advantage A_m, and constraints c `[M−1]`:
//! ```text
//! λ_k ← max(λ_k + α (c_k − mean s_k), 0)          k = 1 … M−1, λ = 0 at first
//! A    = A_0 + Σ_k λ_k A_k
//! ```
//! The multipliers of a batch already know its scores. The host estimates the advantages and mixes them with the
//! weights (1, λ). Departures from the released code: none in the rule; the multipliers are in the checkpoint.

use moa_sdk::prelude::*;

/// What steers the multipliers, and the multipliers.
#[derive(Params, Serialize, Deserialize)]
pub struct Lagrangian {
    /// α: how fast a multiplier grows and falls.
    #[param(default = 0.01, range = 0.0..)]
    dual_lr: f64,
    /// mean score that each objective but the first has to reach, one for each of them or one for all; the default is
    /// that of the published runs.
    #[param(default = [0.9], per_objective = setup.m().saturating_sub(1))]
    constraints: Vec<f64>,
    /// λ `[M−1]`.
    #[state(init = vec![0.0; constraints.len()])]
    multipliers: Vec<f64>,
}

#[scalarizer]
impl Scalarizer for Lagrangian {
    const NAME: &str = "lagrangian";
    const PAPER: &str = "Mahdavi, Yang, Jin, Stochastic convex optimization with multiple objectives, NeurIPS 2013";
    // λ = 0.1 · (0.9 − 0.5) = 0.04; then 0.04 + 0.1 · (0.9 − 2) < 0.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let means = batch.scores().column_means();
        for ((multiplier, constraint), mean) in self.multipliers.iter_mut().zip(&self.constraints).zip(&means[1..]) {
            *multiplier = (*multiplier + self.dual_lr * (constraint - mean)).max(0.0);
        }
        Ok(Signal::advantage_weights(self.mixing()))
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(math::to_f32(self.mixing()))
    }
}

impl Lagrangian {
    /// (1, λ) `[M]`.
    fn mixing(&self) -> Vec<f64> {
        [&[1.0], &self.multipliers[..]].concat()
    }
}

moa_sdk::export!(scalarizers: [Lagrangian]);

moa_sdk::testing::suite!(Lagrangian,
    golden = ["../../../tests/golden/lagrangian.jsonl"],
    params = [{} without permutation],
    // The first objective has another role; the order of the others does not matter.
    permutation = [[0, 3, 1, 2]: {"dual_lr": 0.5, "constraints": [0.9, 0.1, 0.5]} => {"dual_lr": 0.5, "constraints": [0.5, 0.9, 0.1]}],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::json;
    use moa_sdk::testing;
    use moa_sdk::views::BatchInput;

    #[test]
    fn multipliers_stay_at_or_above_zero() -> Result<()> {
        let mut rng = Rng::new(3);
        let mut plugin: Lagrangian = testing::scalarizer(3, &json!({"dual_lr": 1.0, "constraints": [0.0, 0.5]}))?;
        let mut zeros = 0;
        for _ in 0..500 {
            #[allow(clippy::cast_possible_truncation, reason = "made-up scores")]
            let scores: Vec<f32> = (0..12).map(|_| rng.normal() as f32).collect();
            let input = BatchInput {
                m: 3,
                scores: &scores,
                groups: &[0; 4],
                lengths: &[1; 4],
                ..Default::default()
            };
            plugin.scalarize(&Batch::new(input, Lagrangian::NEEDS)?)?;
            assert!(plugin.multipliers.iter().all(|multiplier| *multiplier >= 0.0));
            zeros += plugin
                .multipliers
                .iter()
                .filter(|multiplier| **multiplier == 0.0)
                .count();
        }
        assert!(zeros > 0, "the bound was never met");
        Ok(())
    }

    #[test]
    fn params_are_checked() {
        for (bad, part) in [
            (
                json!({"dual_lr": -0.1}),
                "`dual_lr` is the number -0.1, expected number >= 0",
            ),
            (
                json!({"constraints": [0.1, 0.2, 0.3]}),
                "constraints has 3 values, expected 2",
            ),
        ] {
            let refused = testing::scalarizer::<Lagrangian>(3, &bad);
            assert!(refused.is_err_and(|error| error.message.contains(part)), "{bad}");
        }
    }
}
