//! Tchebycheff scalarization: a completion is as good as its worst weighted distance from a reference point z
//! (Bowman, "On the relationship of the Tchebycheff norm and the efficient frontier of multiple-criteria
//! objectives", LNEMS 130, 1976). For scores s `[B, M]` of whole responses and weights w `[M]`:
//! ```text
//! r_b = − max_m w_m (z_m − s_bm)
//! z_m = the largest s_m so far, this batch included   ("running-max")
//!       the largest s_m of this batch                 ("batch-max")
//!       reference_point_m                             ("fixed")
//! ```
//! Unlike a weighted sum it can reach points in a concave part of the front.
//!
//! Departures from the released code of arXiv 2602.06869: it took the maximum at every token, so that padding and
//! all tokens but the last, of reward 0, got −max w z: a length penalty under REINFORCE++. Here it is taken once a
//! response; a host that gives rewards to whole responses cannot do the other, hence no `compat`. With one
//! objective, where r = s − z, the constant z is left out: the plain scores.

use moa_sdk::prelude::*;

/// Weights and where distances are measured from.
#[derive(Params, Serialize, Deserialize)]
pub struct Tchebycheff {
    #[param(weights)]
    weights: Vec<f32>,
    #[param(flatten)]
    #[serde(flatten)]
    reference: math::ReferencePoint,
}

#[scalarizer]
impl Scalarizer for Tchebycheff {
    const NAME: &str = "tchebycheff";
    const PAPER: &str = "Bowman, On the relationship of the Tchebycheff norm and the efficient frontier of multiple-criteria objectives, 1976";
    // z = (1, 1), then (1, 2): −max(½·0, ½·1), −max(½·1, ½·0); −max(½·½, ½·0), −max(½·½, ½·1).
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn new(_: &Setup, params: Self) -> Result<Self> {
        params.reference.check()?;
        Ok(params)
    }

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let scores = batch.scores();
        if batch.m() == 1 || batch.is_empty() {
            return Ok(Signal::weights(&self.weights));
        }
        let point = self.reference.of(scores); // [M]
        let reward = |row: &[f32]| {
            let distances = row.iter().zip(point).zip(&self.weights);
            let weighted = distances.map(|((s, z), w)| f64::from(*w) * (z - f64::from(*s)));
            -weighted.fold(f64::NEG_INFINITY, f64::max)
        };
        Ok(Signal::rewards(scores.iter_rows().map(reward))) // [B]
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(self.weights.clone())
    }

    fn metrics(&self) -> Metrics {
        Metrics::new().each("reference", self.reference.get())
    }
}

moa_sdk::export!(scalarizers: [Tchebycheff]);

moa_sdk::testing::suite!(Tchebycheff,
    golden = [
        "../../../tests/golden/tchebycheff-running-max.jsonl",
        "../../../tests/golden/tchebycheff-batch-max.jsonl",
        "../../../tests/golden/tchebycheff-fixed.jsonl",
    ],
    params = [{}, {"reference": "batch-max"}, {"reference": "fixed", "reference_point": [1.0]}],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::json;
    use moa_sdk::testing;

    /// The defect of the released code: the reward must not depend on how long a response is.
    #[test]
    fn length_does_not_matter() -> Result<()> {
        let trace = include_str!("../../../tests/golden/tchebycheff-fixed.jsonl");
        let longer = trace.replace("\"lengths\":[8,2,", "\"lengths\":[800,2,");
        assert_ne!(trace, longer);
        testing::replay::<Tchebycheff>(&longer).map(|_| ())
    }

    #[test]
    fn a_reference_point_without_its_use_is_refused() -> Result<()> {
        let message = |params| match testing::scalarizer::<Tchebycheff>(2, &params) {
            Ok(_) => String::new(),
            Err(error) => error.message,
        };
        assert!(message(json!({"reference": "fixed"})).contains("reference_point is not given"));
        assert!(message(json!({"reference_point": [1.0]})).contains("reference is not"));
        assert!(message(json!({"reference": "fixed", "reference_point": [1.0, 2.0, 3.0]})).contains("has 3 values"));
        Ok(())
    }
}
