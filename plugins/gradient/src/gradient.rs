//! Gradient-based weighting: objectives whose gradient agrees most with all gradients gain weight (Lu et al.,
//! "Learning to Optimize Multi-Objective Alignment Through Dynamic Reward Weighting", arXiv 2509.11452, second
//! method). What is averaged is I, and the learning rate of the last batch scales the step.
//!
//! Departures from the released code: none in the rule.

use moa_sdk::prelude::*;

use crate::Descent;

/// The weights, and how they move.
#[derive(Params, Serialize, Deserialize)]
pub struct Gradient {
    #[param(flatten)]
    #[serde(flatten)]
    descent: Descent,
}

#[scalarizer]
impl Scalarizer for Gradient {
    const NAME: &str = "gradient";
    const PAPER: &str =
        "Lu et al., Learning to Optimize Multi-Objective Alignment Through Dynamic Reward Weighting, arXiv 2509.11452";
    // I = (3, 1), times η/μ = ln 2 / 2: exponents 3/2 and 1/2 of ln 2, so that the first has twice the second's.
    const EXAMPLES: &str = include_str!("gradient.jsonl");

    fn observe_gradients(&mut self, gradients: &Gradients) -> Result<()> {
        self.descent.step(gradients, 1.0, gradients.lr())
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

moa_sdk::testing::suite!(Gradient,
    golden = [
        "../../../tests/golden/gradient-acc1.jsonl",
        "../../../tests/golden/gradient-acc3.jsonl",
    ],
    params = [{}, {"accumulation_steps": 2, "clip_norm": 0.5}],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::json;
    use moa_sdk::testing;

    fn weigh(plugin: &mut Gradient, gram: &[f64; 4]) -> Result<Vec<f32>> {
        plugin.observe_gradients(&testing::gradients(1.0, gram, &[0.0; 2])?)?;
        Ok(math::to_f32(&plugin.descent.weights))
    }

    /// Gradients (3, 0) and (0, 1), clipped to 1, have the same influence; unclipped not. Weights stay on the simplex,
    /// also after a step that leaves nothing of one of them, which then comes back.
    #[test]
    fn clipping_and_large_steps() -> Result<()> {
        let clipped = &mut testing::scalarizer(2, &json!({"regularization": 1.0, "clip_norm": 1.0}))?;
        assert_eq!(weigh(clipped, &[9.0, 0.0, 0.0, 1.0])?, [0.5, 0.5]);
        let free: &mut Gradient = &mut testing::scalarizer(2, &json!({"regularization": 1.0}))?;
        assert!(weigh(free, &[9.0, 0.0, 0.0, 1.0])?[0] > 0.99);
        assert_eq!(weigh(free, &[1e20, 0.0, 0.0, 1.0])?, [1.0, 0.0]);
        assert!((free.descent.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(weigh(free, &[1.0, 0.0, 0.0, 1e20])?, [0.0, 1.0]);
        assert!(weigh(free, &[1.0, 0.0, 0.0, f64::NAN]).is_err());
        Ok(())
    }

    #[test]
    fn params_are_checked_and_layers_handed_on() -> Result<()> {
        for bad in [
            json!({"regularization": 0.0}),
            json!({"accumulation_steps": 0}),
            json!({"clip_norm": -1.0}),
        ] {
            assert!(testing::scalarizer::<Gradient>(2, &bad).is_err(), "{bad}");
        }
        let plugin: Gradient = testing::scalarizer(2, &json!({"layers": ["lm_head"]}))?;
        assert_eq!(plugin.gradient_layers(), ["lm_head"]);
        Ok(())
    }
}
