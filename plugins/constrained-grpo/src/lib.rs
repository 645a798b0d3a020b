//! Constrained GRPO: the first objective under constraints on the others, whose multipliers are a softmax, so that the
//! weights keep their sum ("Constrained GRPO", arXiv 2602.05863).
//!
//! The first objective is primary. A score of every other says how far its constraint is satisfied, in [0, 1]: 1 less a
//! cost. For scores s `[B, M]`, logits ξ `[M]`, 0 at first, and thresholds t `[M − 1]` on the share of violations:
//! ```text
//! λ = softmax(ξ)                               weights of the objectives' advantages, [M]
//! h = (0, 1 − mean s_k − t_k for each other k)
//! ξ ← a step of Adam along λ∘(h − λ·h)         β 0.9 and 0.999, ε 1e-5
//! ```
//! λ of a batch is from the batches before it. A constraint that is violated by more than its threshold gains weight
//! from the primary objective; one that holds loses it. The metric `violation/K` is h_k, 0 for the first: scores outside [0, 1] show there.
//!
//! Departures: the paper's code was not found. The optimiser is that of a driving project that names the method
//! (rdesc/DrivoR), whose logits all start at 0.02: equal, like 0. Its advantages have ε 1e-5; the host has its own.

use moa_sdk::prelude::*;

/// The constraints, how fast multipliers move, their logits ξ `[M]`, and the last h `[M]`.
#[derive(Params, Serialize, Deserialize)]
pub struct ConstrainedGrpo {
    /// largest share of violations, 1 − mean score, of each objective but the first, one for each of them or one for all.
    #[param(default = [0.01], per_objective = setup.m().saturating_sub(1))]
    thresholds: Vec<f64>,
    /// learning rate of the multipliers' logits.
    #[param(default = 0.03, range = 0.0..)]
    dual_lr: f64,
    #[state(init = vec![0.0; setup.m()])]
    logits: Vec<f64>,
    #[state(init = math::Adam::new(setup.m()))]
    adam: math::Adam,
    #[state]
    violations: Vec<f64>,
}

#[scalarizer]
impl Scalarizer for ConstrainedGrpo {
    const NAME: &str = "constrained-grpo";
    const PAPER: &str = "Constrained GRPO, arXiv 2602.05863";
    // The constraint is violated in half of the completions. The first step of Adam is lr long: ξ = (−ln 2 / 2, ln 2 / 2).
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let weights = math::softmax(&self.logits); // [M]
        let satisfied = batch.scores().column_means();
        let h = |(s, t): (&f64, &f64)| 1.0 - s - t;
        self.violations = vec![0.0];
        self.violations
            .extend(satisfied[1..].iter().zip(&self.thresholds).map(h));
        let h = &self.violations; // [M]
        let mean: f64 = weights.iter().zip(h).map(|(w, h)| w * h).sum();
        let descent: Vec<f64> = weights.iter().zip(h).map(|(w, h)| -w * (h - mean)).collect();
        self.adam.step(&mut self.logits, &descent, self.dual_lr, 1e-5);
        Ok(Signal::advantage_weights(weights))
    }

    fn metrics(&self) -> Metrics {
        Metrics::new().each("violation", &self.violations)
    }
}

moa_sdk::export!(scalarizers: [ConstrainedGrpo]);

moa_sdk::testing::suite!(ConstrainedGrpo,
    golden = [
        "../../../tests/golden/methods/constrained-grpo-m3.jsonl",
        "../../../tests/golden/methods/constrained-grpo-thresholds.jsonl",
    ],
    params = [{} without permutation, {"thresholds": [0.5], "dual_lr": 1.0} without permutation],
    permutation = [[0, 2, 1]: {"thresholds": [0.1, 0.3]} => {"thresholds": [0.3, 0.1]}],
);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::json;
    use moa_sdk::views::BatchInput;

    use super::*;

    /// The weights of the 200th batch with these mean scores, and its violations.
    fn last(scores: &[f32; 3]) -> Result<(Vec<f32>, Vec<f64>)> {
        let mut plugin: ConstrainedGrpo = moa_sdk::testing::scalarizer(3, &json!({}))?;
        let mut last = vec![];
        for step in 1..=200 {
            let input = BatchInput {
                step,
                m: 3,
                scores,
                groups: &[0],
                lengths: &[1],
                ..Default::default()
            };
            let signal = plugin.scalarize(&Batch::new(input, Needs::NONE)?)?;
            last = signal.mixing_weights().map(<[f32]>::to_vec).unwrap_or_default();
            assert!((last.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        Ok((last, plugin.violations))
    }

    /// A violated constraint takes the weight; where all hold, the primary objective does, whatever it scores.
    #[test]
    fn weight_goes_to_what_is_violated_or_to_the_primary_objective() -> Result<()> {
        let (violated, h) = last(&[0.5, 0.1, 1.0])?;
        assert!(violated[1] > 0.9, "{violated:?}");
        assert!((h[1] - 0.89).abs() < 1e-6);
        let (held, h) = last(&[0.0, 1.0, 1.0])?;
        assert!(held[0] > 0.9, "{held:?}");
        assert!((h[2] + 0.01).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn there_is_a_threshold_for_each_objective_but_the_first() {
        let made = |thresholds| moa_sdk::testing::scalarizer::<ConstrainedGrpo>(3, &json!({"thresholds": thresholds}));
        assert!(made(vec![0.1, 0.2]).is_ok());
        assert!(made(vec![0.1, 0.2, 0.3]).is_err_and(|error| error.message.contains("has 3 values, expected 2")));
    }
}
