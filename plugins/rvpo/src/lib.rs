//! RVPO: a completion is as good as the soft minimum of its objectives' advantages, which is about their mean less half
//! the sharpness times their variance: objectives that disagree on it count against it ("RVPO", arXiv 2605.05750).
//!
//! For each objective's own advantages A `[B, M]` and weights p `[M]`:
//! ```text
//! a_b = −(1/k) ln Σ_m p_m exp(−k A_bm)       Σ_m p_m A_bm for k < 1e-6
//! A_b = (a_b − ā) / (σ + 1e-4)               over the batch, with `whiten`
//! k   = from sharpness_start at step 1 to sharpness_end at step anneal_steps in a line, and constant then
//! ```
//! The metric `sharpness` is k. With one objective the advantages are its own.
//!
//! Departures: no released code was found, and the schedule is from accounts of the paper, which differ in nothing but
//! give no length. `anneal_steps` = 100 is of this plugin: set it to the length of the run.

use moa_sdk::prelude::*;

/// p `[M]`, how sharp the minimum is, and the last k.
#[derive(Params, Serialize, Deserialize)]
pub struct Rvpo {
    #[param(weights)]
    weights: Vec<f64>,
    /// k at step 1; 0 is the mean.
    #[param(default = 0.5, range = 0.0..)]
    sharpness_start: f64,
    /// k from step anneal_steps on.
    #[param(default = 2.0, range = 0.0..)]
    sharpness_end: f64,
    /// steps until k is sharpness_end; up to 1: from the first step on.
    #[param(default = 100)]
    anneal_steps: u32,
    /// subtract the mean over the batch and divide by the deviation.
    #[param(default = true)]
    whiten: bool,
    #[state]
    sharpness: Option<f64>,
}

/// Below it, the soft minimum is the mean to the last digit that counts.
const MEAN: f64 = 1e-6;

#[scalarizer]
impl Scalarizer for Rvpo {
    const NAME: &str = "rvpo";
    const PAPER: &str = "RVPO, arXiv 2605.05750";
    const NEEDS: Needs = Needs::NONE.objective_advantages();
    // k = ln 2: 2^−A = (½, 2) and (1, 1), means 5/4 and 1: −log₂ of them.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let k = self.sharpness_at(batch.step());
        self.sharpness = Some(k);
        let advantages = batch.objective_advantages()?; // [B, M]
        if batch.m() == 1 {
            return Ok(Signal::advantages(advantages.as_slice()));
        }
        let soft: Vec<f64> = match k < MEAN {
            true => advantages.times(&self.weights),
            false => advantages
                .iter_rows()
                .map(|row| soft_minimum(row, &self.weights, k))
                .collect(),
        };
        Ok(Signal::advantages(if self.whiten {
            math::whitened(&soft)
        } else {
            soft
        }))
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(math::to_f32(&self.weights))
    }

    fn metrics(&self) -> Metrics {
        self.sharpness
            .map_or_else(Metrics::new, |k| Metrics::new().with("sharpness", k))
    }
}

impl Rvpo {
    /// k of a step, the first being 1.
    fn sharpness_at(&self, step: u64) -> f64 {
        let (start, end, steps) = (self.sharpness_start, self.sharpness_end, self.anneal_steps);
        if steps <= 1 {
            return end;
        }
        let done = step.saturating_sub(1) as f64 / f64::from(steps - 1);
        start + (end - start) * done.min(1.0)
    }
}

/// −(1/k) ln Σ_m p_m exp(−k A_m), shifted by the least A so that no exponential overflows.
fn soft_minimum(row: &[f32], weights: &[f64], k: f64) -> f64 {
    let counted = || {
        row.iter()
            .map(|a| f64::from(*a))
            .zip(weights)
            .filter(|(_, p)| **p > 0.0)
    };
    let least = counted().map(|(a, _)| a).fold(f64::INFINITY, f64::min);
    let sum: f64 = counted().map(|(a, p)| p * (-k * (a - least)).exp()).sum();
    least - sum.ln() / k
}

moa_sdk::export!(scalarizers: [Rvpo]);

moa_sdk::testing::suite!(Rvpo,
    golden = [
        "../../../tests/golden/methods/rvpo-m3.jsonl",
        "../../../tests/golden/methods/rvpo-weights.jsonl",
        "../../../tests/golden/methods/rvpo-constant.jsonl",
    ],
    params = [{}, {"sharpness_start": 0.0, "sharpness_end": 0.0}, {"sharpness_end": 1e4, "anneal_steps": 2, "whiten": false}],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::json;

    /// Between the least advantage and the mean, near the mean less k/2 times the variance where k is small, and at the
    /// least for a large k.
    #[test]
    fn the_soft_minimum_goes_from_the_mean_to_the_least() {
        let mut rng = Rng::new(5);
        let weights = [0.5, 0.3, 0.2];
        for _ in 0..500 {
            let row = math::to_f32((0..3).map(|_| rng.normal()));
            let values = || row.iter().map(|a| f64::from(*a)).zip(weights);
            let mean: f64 = values().map(|(a, p)| p * a).sum();
            let variance: f64 = values().map(|(a, p)| p * (a - mean).powi(2)).sum();
            let least = values().map(|(a, _)| a).fold(f64::INFINITY, f64::min);
            for k in [0.01, 0.5, 2.0] {
                let found = soft_minimum(&row, &weights, k);
                assert!(least - 1e-12 <= found && found <= mean + 1e-12, "{row:?}");
            }
            assert!((soft_minimum(&row, &weights, 1e-3) - (mean - 0.5e-3 * variance)).abs() < 1e-4);
            assert!((soft_minimum(&row, &weights, 1e6) - least).abs() < 1e-5);
        }
        assert_eq!(
            soft_minimum(&[-1e10, 1e10], &[0.0, 1.0], 5.0),
            1e10,
            "a weight of 0 does not count"
        );
    }

    #[test]
    fn the_sharpness_goes_in_a_line_and_stays() -> Result<()> {
        let plugin: Rvpo = moa_sdk::testing::scalarizer(2, &json!({"anneal_steps": 4}))?;
        let found: Vec<f64> = [1, 2, 4, 100].iter().map(|step| plugin.sharpness_at(*step)).collect();
        assert_eq!(found, [0.5, 1.0, 2.0, 2.0]);
        Ok(())
    }
}
