//! Linear scalarization: r_b = Σ_m w_m s_bm, for scores s `[B, M]` and fixed weights w `[M]`.
//!
//! The baseline that every other method is compared with; the host mixes the scores, then estimates the
//! advantage. Both papers whose methods are here start from it: arXiv 2509.11452, arXiv 2602.06869.

use moa_sdk::prelude::*;

/// The weights `[M]`.
#[derive(Params, Serialize, Deserialize)]
pub struct Linear {
    #[param(weights)]
    weights: Vec<f32>,
}

#[scalarizer]
impl Scalarizer for Linear {
    const NAME: &str = "linear";
    const PAPER: &str =
        "weighted sum; Gass and Saaty, The computational algorithm for the parametric objective function, 1955";
    // ¾ · 1 + ¼ · 0 and ¾ · −2 + ¼ · 4
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn scalarize(&mut self, _batch: &Batch) -> Result<Signal> {
        Ok(Signal::weights(&self.weights))
    }
}

moa_sdk::export!(scalarizers: [Linear]);

moa_sdk::testing::suite!(Linear,
    golden = ["../../../tests/golden/linear.jsonl"],
    params = [{}],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::json;

    use super::Linear;

    #[test]
    fn weights_that_do_not_sum_to_one_are_refused_with_their_sum() {
        let refused = moa_sdk::testing::scalarizer::<Linear>(2, &json!({"weights": [0.5, 0.3]}));
        assert!(refused.is_err_and(|error| error.message.contains("sum to 0.8,")));
    }
}
