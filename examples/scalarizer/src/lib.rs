//! Group DRO over objectives: w_m ∝ w_m · exp(−η · s̄_m), for the batch means s̄ `[M]` of scores `[B, M]`.
//!
//! The objective that lags gets the weight. Sagawa et al., arXiv 1911.08731, Algorithm 1, with objectives in the
//! place of groups and −s̄_m in the place of a group's loss.
use moa_sdk::prelude::*;

/// What steers the weights, and the weights: this struct is what a checkpoint holds.
#[derive(Params, Serialize, Deserialize)]
pub struct Laggard {
    /// η: how fast weight moves to the objectives with low scores.
    #[param(default = 0.1, range = 0.0..)]
    rate: f64,
    /// w `[M]`.
    #[state(init = math::simplex_weights(&[], setup.m())?)]
    weights: Vec<f32>,
}

#[scalarizer]
impl Scalarizer for Laggard {
    const NAME: &str = "laggard";
    const PAPER: &str = "Sagawa et al., Distributionally Robust Neural Networks for Group Shifts, arXiv 1911.08731";

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let means = batch.scores().column_means(); // [M]
        let lowest = means.iter().copied().fold(f64::INFINITY, f64::min);
        for (weight, mean) in self.weights.iter_mut().zip(&means) {
            // Less the lowest mean, so that no exponential overflows; the sum below divides it out again.
            *weight = (*weight * (-self.rate * (mean - lowest)).exp() as f32).max(f32::MIN_POSITIVE);
        }
        let sum: f32 = self.weights.iter().sum();
        self.weights.iter_mut().for_each(|weight| *weight /= sum);
        Ok(Signal::weights(&self.weights))
    }
}

moa_sdk::export!(scalarizers: [Laggard]);

#[cfg(test)]
mod tests {
    use super::Laggard;
    use moa_sdk::prelude::*;
    use moa_sdk::serde_json::json;
    use moa_sdk::testing;

    #[test]
    fn it_has_the_properties_of_a_scalarizer() -> Result<()> {
        testing::check_properties::<Laggard>(3, &json!({ "rate": 0.5 }))
    }

    #[test]
    fn the_objective_that_lags_gets_the_weight() -> Result<()> {
        // exp(−0.5 · 0.4) = 0.81873, so the weights are 0.81873 / 1.81873 and 1 / 1.81873
        testing::replay::<Laggard>(
            r#"
{"format":"moa-trace","version":2,"scalarizer":"laggard","objectives":[{"name":"accuracy"},{"name":"brevity"}],"params":{"rate":0.5}}
{"hook":"scalarize","step":1,"groups":[0,0],"lengths":[3,4],"scores":[[1.0,0.0],[0.0,0.2]],"expect":{"rewards":[0.450166,0.109967]}}
"#,
        )?;
        Ok(())
    }
}
