//! MO-GRPO: the objectives' own advantages are added, so that none counts more because its scores vary more (Ichihara
//! et al., "MO-GRPO: Mitigating Reward Hacking of Group Relative Policy Optimization on Multi-Objective Problems",
//! arXiv 2509.22047, equation 5).
//!
//! For each objective's own advantages A `[B, M]` and weights w `[M]`, 1 each by default:
//! ```text
//! A_b = Σ_m w_m A_bm
//! ```
//! It is GDPO without weights that sum to 1 and without whitening. With one objective its weight is 1.
//!
//! Departures: none known; no released code was found. The paper divides by a deviation without ε; the host's
//! estimator adds its own.

use moa_sdk::prelude::*;

/// w `[M]`.
#[derive(Params, Serialize, Deserialize)]
pub struct MoGrpo {
    /// weight of each objective's advantage, one for each or one for all. They are >= 0, and one is above 0.
    #[param(default = [1.0], range = 0.0..=1e30, per_objective)]
    weights: Vec<f64>,
}

#[scalarizer]
impl Scalarizer for MoGrpo {
    const NAME: &str = "mo-grpo";
    const PAPER: &str = "Ichihara et al., MO-GRPO: Mitigating Reward Hacking of Group Relative Policy Optimization on Multi-Objective Problems, arXiv 2509.22047";
    // One for all.
    const EXAMPLES: &str = include_str!("mo_grpo.jsonl");

    fn new(setup: &Setup, mut params: Self) -> Result<Self> {
        if params.weights.iter().all(|w| *w <= 0.0) {
            return Err(Error::new("weights are all 0, expected one above 0").hint("leave weights out: 1 each"));
        }
        if setup.m() == 1 {
            params.weights = vec![1.0];
        }
        Ok(params)
    }

    fn scalarize(&mut self, _batch: &Batch) -> Result<Signal> {
        Ok(Signal::advantage_weights(&self.weights))
    }
}

moa_sdk::testing::suite!(MoGrpo,
    golden = [
        "../../../tests/golden/methods/mo-grpo-m3.jsonl",
        "../../../tests/golden/methods/mo-grpo-weights.jsonl",
    ],
    params = [{}, {"weights": [2.5]}],
    permutation = [[2, 0, 1]: {"weights": [1.0, 2.0, 0.0]} => {"weights": [0.0, 1.0, 2.0]}],
);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::json;

    use super::MoGrpo;

    #[test]
    fn weights_of_any_sum_are_taken_but_not_none() {
        let made = |weights| moa_sdk::testing::scalarizer::<MoGrpo>(2, &json!({ "weights": weights }));
        assert!(made([5.0, 0.0]).is_ok());
        assert!(made([0.0, 0.0]).is_err_and(|error| error.message.contains("all 0")));
        assert!(made([1.0, -1.0]).is_err());
    }
}
