//! Linear scalarization: r_b = Σ_m w_m s_bm, for scores s `[B, M]` and fixed weights w `[M]`.
//!
//! The baseline that every other method is compared with; the host mixes the scores, then estimates the
//! advantage. Both papers whose methods are here start from it: arXiv 2509.11452, arXiv 2602.06869.

#![deny(unsafe_code)]

use moa_sdk::prelude::*;

/// What the weights are.
#[derive(Params)]
pub struct Params {
    /// weight of each objective, in order; default: equal. They are >= 0 and sum to 1.
    weights: Vec<f32>,
}

/// The weights `[M]`.
#[derive(Serialize, Deserialize)]
pub struct Linear {
    weights: Vec<f32>,
}

#[scalarizer]
impl Scalarizer for Linear {
    const NAME: &str = "linear";
    const PAPER: &str =
        "weighted sum; Gass and Saaty, The computational algorithm for the parametric objective function, 1955";
    const NEEDS: Needs = Needs::NONE;
    type Params = Params;

    fn new(setup: &Setup, params: Params) -> Result<Self> {
        let weights = math::weights_or_equal(&params.weights, setup.m())?;
        Ok(Self { weights })
    }

    fn scalarize(&mut self, _batch: &Batch) -> Result<Signal> {
        Ok(Signal::weights(&self.weights))
    }

    fn examples() -> Vec<Example> {
        // ¾ · 1 + ¼ · 0 and ¾ · −2 + ¼ · 4
        moa_sdk::serde_json::from_str(
            r#"[{"about": "a reward is the weighted sum of a completion's scores", "objectives": [{"name": "a"}, {"name": "b"}],
            "params": {"weights": [0.75, 0.25]}, "events": [
            {"hook": "scalarize", "step": 1, "groups": [0, 0], "lengths": [1, 9], "scores": [[1.0, 0.0], [-2.0, 4.0]], "expect": {"weights": [0.75, 0.25], "rewards": [0.75, -0.5], "advantage_scale": 1.0}}]}]"#,
        )
        .expect("a constant that the tests read")
    }
}

moa_sdk::export!(scalarizers: [Linear]);

#[cfg(test)]
mod tests {
    use moa_sdk::prelude::*;
    use moa_sdk::serde_json::json;
    use moa_sdk::testing;

    use super::Linear;

    #[test]
    fn rewards_are_the_weighted_sums_of_the_golden_trace() -> Result<()> {
        let events = testing::replay::<Linear>(include_str!("../../../tests/golden/linear.jsonl"))?;
        assert!(events > 0, "the trace has no events");
        Ok(())
    }

    #[test]
    fn examples_hold() -> Result<()> {
        assert_eq!(Linear::examples().len(), 1);
        testing::examples::<Linear>()
    }

    #[test]
    fn it_has_the_properties_of_a_scalarizer() -> Result<()> {
        testing::properties::<Linear>(3, &json!({}))?;
        testing::properties::<Linear>(2, &json!({ "weights": [0.9, 0.1] }))
    }

    #[test]
    fn weights_that_do_not_sum_to_one_are_refused_with_their_sum() {
        let setup = Setup {
            objectives: vec![Objective::new("a"), Objective::new("b")],
            seed: 0,
        };
        let params = super::Params {
            weights: vec![0.5, 0.3],
        };
        let error = Linear::new(&setup, params).err().map(|e| e.message);
        assert!(error.is_some_and(|message| message.contains("sum to 0.8,")));
    }
}
