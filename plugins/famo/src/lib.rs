//! FAMO, adapted: weights that make the distance of all objectives from their best fall at the same rate (Liu et al.,
//! "FAMO: Fast Adaptive Multitask Optimization", NeurIPS 2023, arXiv 2306.03792).
//!
//! For scores s `[B, M]`, logits ξ `[M]`, 0 at first, and p̂ = softmax(ξ):
//! ```text
//! ℓ_m = max(best_m − mean s_m, floor)
//! δ   = ln ℓ of the last batch − ln ℓ                          progress; from the second batch on
//! ξ ← a step of Adam down p̂∘(δ − p̂·δ) + decay ξ               β 0.9 and 0.999, ε 1e-8
//! w_m = (p̂_m / ℓ_m) / Σ_k p̂_k / ℓ_k
//! ```
//! What falls faster than the mean loses weight, and a small distance has more weight for the same progress. The metric
//! `distance/K` is ℓ_k. Set `best` to the highest score of each reward.
//!
//! Departures: FAMO compares the losses of one batch before and after its update. Here two batches differ in their
//! prompts as well, so that δ has sampling noise; and as a policy-gradient loss says nothing about progress, ℓ is the
//! distance from the best score. `decay` is the paper's; the released code has 1e-5.

use moa_sdk::prelude::*;

/// What progress is measured by, how fast weights follow, their logits ξ `[M]`, and ℓ `[M]` of the last batch.
#[derive(Params, Serialize, Deserialize)]
pub struct Famo {
    /// score that cannot be improved on, one for each or one for all.
    #[param(default = [1.0], per_objective)]
    best: Vec<f64>,
    /// least distance from the best, which keeps logarithms finite.
    #[param(default = 0.01, above = 0.0)]
    floor: f64,
    /// learning rate of the logits.
    #[param(default = 0.025, range = 0.0..)]
    weight_lr: f64,
    /// what pulls the logits to 0, equal weights.
    #[param(default = 1e-3, range = 0.0..)]
    decay: f64,
    #[state(init = vec![0.0; setup.m()])]
    logits: Vec<f64>,
    #[state(init = math::Adam::new(setup.m()))]
    adam: math::Adam,
    #[state]
    distances: Option<Vec<f64>>,
}

#[scalarizer]
impl Scalarizer for Famo {
    const NAME: &str = "famo";
    const PAPER: &str = "Liu et al., FAMO: Fast Adaptive Multitask Optimization, arXiv 2306.03792 (adapted)";
    // Distances ½ and ½; then ¼ and ½: only the first came nearer. Adam's first step is lr long: softmax (⅓, ⅔), and
    // w in proportion to ⅓ / ¼ and ⅔ / ½.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let distance = |(m, best): (usize, &f64)| (best - batch.scores().column_mean(m)).max(self.floor);
        let distances: Vec<f64> = self.best.iter().enumerate().map(distance).collect(); // [M]
        if let Some(before) = &self.distances {
            let progress: Vec<f64> = before
                .iter()
                .zip(&distances)
                .map(|(was, is)| was.ln() - is.ln())
                .collect();
            let p = math::softmax(&self.logits);
            let mean: f64 = p.iter().zip(&progress).map(|(p, d)| p * d).sum();
            let slopes = p.iter().zip(&progress).map(|(p, d)| p * (d - mean));
            let gradient: Vec<f64> = slopes
                .zip(&self.logits)
                .map(|(slope, xi)| slope + self.decay * xi)
                .collect();
            self.adam.step(&mut self.logits, &gradient, self.weight_lr, 1e-8);
        }
        let pulls: Vec<f64> = math::softmax(&self.logits)
            .iter()
            .zip(&distances)
            .map(|(p, l)| p / l)
            .collect();
        self.distances = Some(distances);
        Ok(Signal::weights(math::proportional(&pulls, &pulls, 0.0)))
    }

    fn metrics(&self) -> Metrics {
        Metrics::new().each("distance", self.distances.iter().flatten())
    }
}

moa_sdk::export!(scalarizers: [Famo]);

moa_sdk::testing::suite!(Famo,
    golden = [
        "../../../tests/golden/methods/famo-m3.jsonl",
        "../../../tests/golden/methods/famo-fast.jsonl",
    ],
    params = [{}, {"weight_lr": 1.0, "decay": 0.1}],
    permutation = [[2, 0, 1]: {"best": [1.0, 2.0, 3.0]} => {"best": [3.0, 1.0, 2.0]}],
);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::json;
    use moa_sdk::views::BatchInput;

    use super::*;

    /// An objective that stands still gains weight from one that goes on, beyond what its distance gives it.
    #[test]
    fn weight_goes_to_the_objective_that_stands_still() -> Result<()> {
        let mut plugin: Famo = moa_sdk::testing::scalarizer(2, &json!({}))?;
        let mut softmax = vec![];
        for step in 0..40_u8 {
            let moving = f32::from(step) / 50.0;
            let input = BatchInput {
                m: 2,
                scores: &[moving, 0.2],
                groups: &[0],
                lengths: &[1],
                ..Default::default()
            };
            let signal = plugin.scalarize(&Batch::new(input, Needs::NONE)?)?;
            let weights = signal.mixing_weights().map(<[f32]>::to_vec).unwrap_or_default();
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            let pulls = [
                f64::from(weights[0]) * (1.0 - f64::from(moving)),
                f64::from(weights[1]) * 0.8,
            ];
            softmax.push(pulls[1] / (pulls[0] + pulls[1]));
        }
        assert!(
            (softmax[0] - 0.5).abs() < 1e-6 && softmax.is_sorted() && softmax[39] > 0.8,
            "{softmax:?}"
        );
        Ok(())
    }
}
