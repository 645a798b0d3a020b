//! FairGrad: what the step does for each objective is fair in the sense of a-fairness. a near 0 adds the gains up, a = 1
//! is Nash-MTL, and a large a is for the objective that gains least.

use moa_sdk::prelude::*;

use crate::Bargain;

/// The fairness, and the bargain.
#[derive(Params, Serialize, Deserialize)]
pub struct FairGrad {
    /// a: the larger, the more the objective that gains least counts.
    #[param(default = 2.0, above = 0.0)]
    alpha: f64,
    #[param(flatten)]
    #[serde(flatten)]
    bargain: Bargain,
}

#[scalarizer]
impl Scalarizer for FairGrad {
    const NAME: &str = "fairgrad";
    const PAPER: &str = "Ban and Ji, Fair Resource Allocation in Multi-Task Learning, arXiv 2402.15638";
    // Across each other, lengths 1 and 8: 64 α = α^(−1/2), so that α = 64^(−2/3) = 1/16.
    const EXAMPLES: &str = include_str!("fairgrad.jsonl");

    fn weigh_gradients(&mut self, gradients: &Gradients) -> Result<Vec<f32>> {
        self.bargain.weigh(gradients, self.alpha)
    }
}

moa_sdk::testing::suite!(FairGrad,
    golden = [
        "../../../tests/golden/methods/fairgrad-m4.jsonl",
        "../../../tests/golden/methods/fairgrad-alpha.jsonl",
    ],
    params = [{}, {"alpha": 0.5, "scale": "published", "update_every": 2}],
);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::json;

    #[test]
    fn the_weights_solve_the_equation() -> moa_sdk::Result<()> {
        for a in [0.5, 2.0, 5.0] {
            let residual = crate::tests::residual::<super::FairGrad>(&json!({ "alpha": a }), a)?;
            assert!(residual < 1e-4, "a = {a}: {residual}");
        }
        Ok(())
    }
}
