//! Smooth Tchebycheff scalarization: the log-sum-exp of the weighted distances from a reference point, in place of the
//! largest of them (Lin et al., "Smooth Tchebycheff Scalarization for Multi-Objective Optimization", arXiv 2402.19078).
//! All objectives count, the worst ones most.
//!
//! For scores s `[B, M]` of whole responses, weights p `[M]` and the reference point z `[M]` of tchebycheff:
//! ```text
//! r_b = −μ ln Σ_m exp(p_m (z_m − s_bm) / μ)
//! z_m = the largest s_m so far, this batch included   ("running-max")
//!       the largest s_m of this batch                 ("batch-max")
//!       reference_point_m                             ("fixed")
//! ```
//! r is at most the reward of tchebycheff, and at least that less μ ln M: as μ → 0 it is the same. The distances are
//! multiplied by p first: with equal weights μ is M times softer than it looks.
//!
//! Departures from the released code: it works on losses, of which it takes the logarithm over the nadir after four
//! epochs of warm-up, at μ = 1, and multiplies by M. The paper tries μ of 0.01, 0.1, 0.5 and 1 and finds none best;
//! 0.1 is the choice here. With one objective the rewards are the scores.

use moa_sdk::prelude::*;

/// p `[M]`, how smooth the maximum is, and what distances are measured from.
#[derive(Params, Serialize, Deserialize)]
pub struct Stch {
    #[param(weights)]
    weights: Vec<f64>,
    /// μ: the smaller, the nearer to the largest distance.
    #[param(default = 0.1, above = 0.0)]
    mu: f64,
    #[param(flatten)]
    #[serde(flatten)]
    reference: math::ReferencePoint,
}

#[scalarizer]
impl Scalarizer for Stch {
    const NAME: &str = "stch";
    const PAPER: &str =
        "Lin et al., Smooth Tchebycheff Scalarization for Multi-Objective Optimization, arXiv 2402.19078";
    // z = (1, 1): distances ½ · (0, 2 ln 3), so that −ln(1 + 3), and ½ · (0, 0), so that −ln 2.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn new(_: &Setup, params: Self) -> Result<Self> {
        params.reference.check()?;
        Ok(params)
    }

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        if batch.m() == 1 || batch.is_empty() {
            return Ok(Signal::weights(&self.weights));
        }
        let (point, mu) = (self.reference.of(batch.scores()), self.mu); // [M]
        let reward = |row: &[f32]| {
            let distances = || {
                row.iter()
                    .zip(point)
                    .zip(&self.weights)
                    .map(|((s, z), p)| p * (z - f64::from(*s)))
            };
            let largest = distances().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = distances().map(|distance| ((distance - largest) / mu).exp()).sum();
            -largest - mu * sum.ln()
        };
        Ok(Signal::rewards(batch.scores().iter_rows().map(reward))) // [B]
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(math::to_f32(&self.weights))
    }

    fn metrics(&self) -> Metrics {
        Metrics::new().each("reference", self.reference.get())
    }
}

moa_sdk::export!(scalarizers: [Stch]);

moa_sdk::testing::suite!(Stch,
    golden = [
        "../../../tests/golden/methods/stch-m3.jsonl",
        "../../../tests/golden/methods/stch-batch-max.jsonl",
        "../../../tests/golden/methods/stch-fixed.jsonl",
    ],
    params = [{}, {"reference": "batch-max", "mu": 1e-3}, {"reference": "fixed", "reference_point": [1.0]}],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use moa_sdk::SignalKind;
    use moa_sdk::serde_json::json;
    use moa_sdk::views::BatchInput;

    use super::*;

    /// Between the reward of tchebycheff and that less μ ln M, and the former as μ → 0.
    #[test]
    fn it_tends_to_the_worst_distance() -> Result<()> {
        let mut rng = Rng::new(2);
        let scores = math::to_f32((0..60).map(|_| rng.normal()));
        for mu in [1.0, 0.1, 0.01, 1e-6] {
            let params = json!({"mu": mu, "reference": "fixed", "reference_point": [4.0]});
            let mut plugin: Stch = moa_sdk::testing::scalarizer(3, &params)?;
            let input = BatchInput {
                m: 3,
                scores: &scores,
                groups: &[0; 20],
                lengths: &[1; 20],
                ..Default::default()
            };
            let signal = plugin.scalarize(&Batch::new(input, Needs::NONE)?)?;
            let SignalKind::Rewards(rewards) = signal.kind() else {
                panic!("rewards are expected")
            };
            for (reward, row) in rewards.iter().zip(scores.chunks(3)) {
                let least = row.iter().copied().fold(f32::INFINITY, f32::min);
                let worst = -(4.0 - f64::from(least)) / 3.0;
                let below = worst - f64::from(*reward);
                assert!(below >= -1e-6 && below <= mu * 3_f64.ln() + 1e-6, "μ = {mu}: {below}");
            }
        }
        Ok(())
    }
}
