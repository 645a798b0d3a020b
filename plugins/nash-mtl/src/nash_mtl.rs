//! Nash-MTL: the product of what the step does for each objective is the largest that a step of its length can have.

use moa_sdk::prelude::*;

use crate::Bargain;

/// The bargain.
#[derive(Params, Serialize, Deserialize)]
pub struct NashMtl {
    #[param(flatten)]
    #[serde(flatten)]
    bargain: Bargain,
}

#[scalarizer]
impl Scalarizer for NashMtl {
    const NAME: &str = "nash-mtl";
    const PAPER: &str = "Navon et al., Multi-Task Learning as a Bargaining Game, arXiv 2202.01017";
    // Across each other, lengths 1 and 2: α_m = 1 / d_m. Then [[1, ½], [½, 1]]: α² · 3/2 = 1.
    const EXAMPLES: &str = include_str!("nash_mtl.jsonl");

    fn weigh_gradients(&mut self, gradients: &Gradients) -> Result<Vec<f32>> {
        self.bargain.weigh(gradients, 1.0)
    }
}

moa_sdk::testing::suite!(NashMtl,
    golden = [
        "../../../tests/golden/methods/nash-mtl-m5.jsonl",
        "../../../tests/golden/methods/nash-mtl-published.jsonl",
        "../../../tests/golden/methods/nash-mtl-every-second.jsonl",
    ],
    params = [{}, {"scale": "published"}, {"update_every": 3}],
);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::json;

    #[test]
    fn the_weights_solve_the_equation() -> moa_sdk::Result<()> {
        let residual = crate::tests::residual::<super::NashMtl>(&json!({}), 1.0)?;
        assert!(residual < 1e-4, "{residual}"); // that of f32 weights where gradients nearly cancel
        Ok(())
    }
}
