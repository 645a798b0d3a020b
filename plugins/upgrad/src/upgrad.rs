//! UPGrad: each objective's gradient is projected onto the directions that hurt nobody, and the projections are added.

use moa_sdk::prelude::*;

use crate::Cone;

/// Its params are its state.
#[derive(Params, Serialize, Deserialize)]
pub struct UpGrad {
    #[param(flatten)]
    #[serde(flatten)]
    cone: Cone,
}

#[scalarizer]
impl Scalarizer for UpGrad {
    const NAME: &str = "upgrad";
    const PAPER: &str = "Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, arXiv 2406.16232";
    // J = [[−4, 1, 1], [6, 1, 1]]: lengths² 18 and 38, product −22. Each is projected off the other:
    // w_0 = ½ (1 + 22/18), w_1 = ½ (1 + 22/38).
    const EXAMPLES: &str = include_str!("upgrad.jsonl");

    fn weigh_gradients(&mut self, gradients: &Gradients) -> Result<Vec<f32>> {
        let p = &self.cone.weights;
        let only = |i: usize| (0..p.len()).map(|j| if i == j { p[i] } else { 0.0 }).collect();
        self.cone.weigh(gradients, &(0..p.len()).map(only).collect::<Vec<_>>())
    }
}

moa_sdk::testing::suite!(UpGrad,
    golden = [
        "../../../tests/golden/methods/upgrad-m5.jsonl",
        "../../../tests/golden/methods/upgrad-weights.jsonl",
        "../../../tests/golden/methods/upgrad-regularized.jsonl",
    ],
    params = [{}, {"regularization": 1e-4}],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::json;

    use super::UpGrad;
    use crate::tests::{no_conflict, weights_of};

    #[test]
    fn the_step_hurts_no_objective() -> moa_sdk::Result<()> {
        no_conflict::<UpGrad>()
    }

    /// The paper's example, exact and as TorchJD has it, at any size of the gradients.
    #[test]
    fn the_papers_example_at_any_size() -> moa_sdk::Result<()> {
        for size in [1e-6, 1.0, 1e6] {
            let jacobian = [vec![-4.0 * size, size, size], vec![6.0 * size, size, size]];
            let exact = weights_of::<UpGrad>(&json!({}), &jacobian)?;
            assert!(
                (exact[0] - 1.11111).abs() < 1e-5 && (exact[1] - 0.78947).abs() < 1e-5,
                "{exact:?}"
            );
            let released = weights_of::<UpGrad>(&json!({"regularization": 1e-4}), &jacobian)?;
            assert!(
                (released[0] - 1.11092).abs() < 1e-5 && (released[1] - 0.78943).abs() < 1e-5,
                "{released:?}"
            );
        }
        Ok(())
    }

    /// A gradient that is a thousand times shorter: TorchJD's ridge lets the step go against it.
    #[test]
    fn a_short_gradient_is_not_hurt() -> moa_sdk::Result<()> {
        let jacobian = [vec![-1e-3, 1e-4], vec![1.0, 1.0]];
        let along_short = |weights: Vec<f64>| -> f64 {
            let step = [weights[1] - 1e-3 * weights[0], weights[1] + 1e-4 * weights[0]];
            1e-4 * step[1] - 1e-3 * step[0]
        };
        assert!(along_short(weights_of::<UpGrad>(&json!({}), &jacobian)?) > -1e-9);
        assert!(along_short(weights_of::<UpGrad>(&json!({"regularization": 1e-4}), &jacobian)?) < -1e-4);
        Ok(())
    }
}
