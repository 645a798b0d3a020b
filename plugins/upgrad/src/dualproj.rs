//! DualProj: the sum of the gradients is projected onto the directions that hurt nobody.

use moa_sdk::prelude::*;

use crate::Cone;

/// Its params are its state.
#[derive(Params, Serialize, Deserialize)]
pub struct DualProj {
    #[param(flatten)]
    #[serde(flatten)]
    cone: Cone,
}

#[scalarizer]
impl Scalarizer for DualProj {
    const NAME: &str = "dualproj";
    const PAPER: &str = "Lopez-Paz and Ranzato, Gradient Episodic Memory for Continual Learning, arXiv 1706.08840; Quinton and Rey, arXiv 2406.16232";
    // J = [[−4, 1, 1], [6, 1, 1]]: the sum of the halves has products −2 and 8. ν lifts the first to 0: 2/18.
    const EXAMPLES: &str = include_str!("dualproj.jsonl");

    fn weigh_gradients(&mut self, gradients: &Gradients) -> Result<Vec<f32>> {
        self.cone.weigh(gradients, std::slice::from_ref(&self.cone.weights))
    }
}

moa_sdk::testing::suite!(DualProj,
    golden = [
        "../../../tests/golden/methods/dualproj-m5.jsonl",
        "../../../tests/golden/methods/dualproj-regularized.jsonl",
    ],
    params = [{}, {"regularization": 1e-4}],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use super::DualProj;

    #[test]
    fn the_step_hurts_no_objective() -> moa_sdk::Result<()> {
        crate::tests::no_conflict::<DualProj>()
    }
}
