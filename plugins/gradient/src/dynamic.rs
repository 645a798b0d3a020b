//! Dynamic re-weighting, the baseline of Lu and Jiang, "Uncovering Cross-Objective Interference in Multi-Objective
//! Alignment", arXiv 2602.06869: the gradient-based weighting of arXiv 2509.11452, but what is averaged is η · I, with
//! the learning rate η of each batch.
//!
//! Departure from the released code: it multiplies by η once more when the weights move, so that at a learning rate
//! of 1e-6 they hardly do and the method is a fixed weighting; `compat = "ctwa-repo"` repeats that.

use moa_sdk::prelude::*;

use crate::Descent;

/// The weights, and how they move.
#[derive(Params, Serialize, Deserialize)]
pub struct Dynamic {
    #[param(flatten)]
    #[serde(flatten)]
    descent: Descent,
    /// the released code's behaviour: the learning rate applied twice.
    #[param(choices = ["ctwa-repo"])] // yining610/ctwa
    compat: Option<String>,
}

#[scalarizer]
impl Scalarizer for Dynamic {
    const NAME: &str = "dynamic";
    const PAPER: &str = "Lu and Jiang, Uncovering Cross-Objective Interference in Multi-Objective Alignment, arXiv 2602.06869 (baseline)";
    // I = (3, 1), times η/μ = ln 2 / 2: exponents 3/2 and 1/2 of ln 2, so that the first has twice the second's.
    const EXAMPLES: &str = include_str!("dynamic.jsonl");

    fn observe_gradients(&mut self, gradients: &Gradients) -> Result<()> {
        let lr = gradients.lr();
        let rate = if self.compat.is_some() { lr } else { 1.0 };
        self.descent.step(gradients, lr, rate)
    }

    fn scalarize(&mut self, _batch: &Batch) -> Result<Signal> {
        Ok(Signal::weights(&self.descent.weights))
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(math::to_f32(&self.descent.weights))
    }

    fn gradient_layers(&self) -> Vec<String> {
        self.descent.layers.clone()
    }
}

moa_sdk::testing::suite!(Dynamic,
    golden = [
        "../../../tests/golden/dynamic-acc1.jsonl",
        "../../../tests/golden/dynamic-acc3.jsonl",
    ],
    params = [{}, {"accumulation_steps": 2, "clip_norm": 0.5}, {"compat": "ctwa-repo"}],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::json;
    use moa_sdk::testing;

    /// Two batches at learning rates 1 and ½, influences (2, 0) and (0, 2): a = (1, ½), in the released code (½, ¼).
    #[test]
    fn the_learning_rate_counts_once() -> Result<()> {
        for (mut params, difference) in [(json!({}), 0.5_f64), (json!({"compat": "ctwa-repo"}), 0.25)] {
            params["regularization"] = json!(1.0);
            params["accumulation_steps"] = json!(2);
            let mut plugin: Dynamic = testing::scalarizer(2, &params)?;
            for (lr, gram) in [(1.0, &[2.0, 0.0, 0.0, 0.0]), (0.5, &[0.0, 0.0, 0.0, 2.0])] {
                plugin.observe_gradients(&testing::gradients(lr, gram, &[0.0; 2])?)?;
            }
            let weights = &plugin.descent.weights;
            assert!((weights[0] / weights[1] - difference.exp()).abs() < 1e-12);
        }
        Ok(())
    }
}
