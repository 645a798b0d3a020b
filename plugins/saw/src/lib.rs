//! SAW: an objective's scores count in proportion to their coefficient of variation in the batch, so that weight goes to
//! what can still be told apart ("SAW", arXiv 2606.07705, algorithm 1).
//!
//! For scores s `[B, M]` and weights p `[M]`, with the mean and the sample deviation σ over the batch:
//! ```text
//! x_m  = mean s_m − minima_m + δ
//! CV_m = σ_m / (|x_m| + δ)
//! w_m  = p_m CV_m / Σ_k p_k CV_k      p_m where Σ CV < δ: nothing varies
//! ```
//! With the estimator grpo this is the paper's reward mode, with gdpo its advantage mode. The metric `variation/K` is
//! CV_k. Give `minima` where a reward's least value is not 0: a mean near it makes a CV large.
//!
//! Departures from the released code (Zhaolutuan/SAW): any number of objectives and weights; the code has two, minima
//! −3 and 0 in its text, weights twice as large, and all-0 weights where nothing varies. δ is not in the paper.

use moa_sdk::prelude::*;

/// p `[M]`, what variation is measured from, and the last CV `[M]`.
#[derive(Params, Serialize, Deserialize)]
pub struct Saw {
    #[param(weights)]
    weights: Vec<f64>,
    /// least score that each reward gives, one for each or one for all.
    #[param(default = [0.0], per_objective)]
    minima: Vec<f64>,
    /// δ: what keeps the divisions finite.
    #[param(default = 1e-8, above = 0.0)]
    delta: f64,
    #[state]
    variation: Vec<f64>,
}

#[scalarizer]
impl Scalarizer for Saw {
    const NAME: &str = "saw";
    const PAPER: &str = "SAW, arXiv 2606.07705";
    // Means ½ and ¼, the same deviation: the second varies twice as much for its mean.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let variation = |(m, minimum): (usize, &f64)| {
            let scores: Vec<f64> = batch.scores().column(m).map(f64::from).collect(); // [B]
            math::deviation(&scores) / ((math::mean(&scores) - minimum + self.delta).abs() + self.delta)
        };
        self.variation = self.minima.iter().enumerate().map(variation).collect(); // [M]
        let weighted: Vec<f64> = self.weights.iter().zip(&self.variation).map(|(p, cv)| p * cv).collect();
        let varies = self.variation.iter().sum::<f64>() >= self.delta;
        let least = if varies { 0.0 } else { f64::INFINITY };
        Ok(Signal::weights(math::proportional(&weighted, &self.weights, least)))
    }

    fn metrics(&self) -> Metrics {
        Metrics::new().each("variation", &self.variation)
    }
}

moa_sdk::export!(scalarizers: [Saw]);

moa_sdk::testing::suite!(Saw,
    golden = [
        "../../../tests/golden/methods/saw-m3.jsonl",
        "../../../tests/golden/methods/saw-minima.jsonl",
        "../../../tests/golden/methods/saw-weights.jsonl",
    ],
    params = [{}, {"minima": [-3.0]}],
    permutation = [
        [2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]},
        [2, 0, 1]: {"minima": [0.0, -1.0, -2.0]} => {"minima": [-2.0, 0.0, -1.0]},
    ],
);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::json;
    use moa_sdk::views::BatchInput;

    use super::*;

    /// The weights do not change with a reward's unit, and all of them go to the one objective that varies.
    #[test]
    fn the_unit_of_a_reward_does_not_matter() -> Result<()> {
        let weights = |scores: &[f32]| {
            let mut plugin: Saw = moa_sdk::testing::scalarizer(2, &json!({}))?;
            let input = BatchInput {
                m: 2,
                scores,
                groups: &[0, 0],
                lengths: &[1, 1],
                ..Default::default()
            };
            let signal = plugin.scalarize(&Batch::new(input, Needs::NONE)?)?;
            Ok::<_, Error>(signal.mixing_weights().map(<[f32]>::to_vec).unwrap_or_default())
        };
        let (one, other) = (weights(&[1.0, 0.3, 0.5, 0.1])?, weights(&[1.0, 30.0, 0.5, 10.0])?);
        assert!(
            (one[0] - other[0]).abs() < 1e-6 && (one[0] - 0.4).abs() < 1e-6,
            "{one:?} {other:?}"
        );
        assert_eq!(weights(&[1.0, 0.3, 1.0, 0.1])?, [0.0, 1.0]);
        assert_eq!(weights(&[1.0, 0.3, 1.0, 0.3])?, [0.5, 0.5]);
        Ok(())
    }
}
