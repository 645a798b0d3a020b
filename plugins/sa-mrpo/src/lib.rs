//! SA-MRPO: an objective's weight falls as its mean score nears the highest that it can have, and what remains goes to
//! the others ("SA-MRPO", arXiv 2608.16072).
//!
//! For scores s `[B, M]` and weights p `[M]`:
//! ```text
//! share_m = (mean s_m − lowest_m) / (highest_m − lowest_m), kept within [0, 1]
//! w_m     = p_m (1 − share_m)^γ / Σ_k p_k (1 − share_k)^γ       p_m where all are saturated: a sum up to 1e-12
//! ```
//! The metric `share/K` is share_k. γ = 0 is fixed weights: 0⁰ is 1. It is meant for `estimator = "gdpo"`.
//!
//! Departures: no released code was found. The paper's z-scores have population deviations without ε, the host's have
//! sample deviations and its ε.

use moa_sdk::prelude::*;

/// p `[M]`, between which scores an objective lies, how fast weight falls, and the last shares `[M]`.
#[derive(Params, Serialize, Deserialize)]
pub struct SaMrpo {
    #[param(weights)]
    weights: Vec<f64>,
    /// score at which nothing is achieved, one for each or one for all.
    #[param(default = [0.0], per_objective)]
    lowest: Vec<f64>,
    /// score at which nothing is left to gain, one for each or one for all.
    #[param(default = [1.0], per_objective)]
    highest: Vec<f64>,
    /// γ: the larger, the faster weight falls.
    #[param(default = 0.5, range = 0.0..)]
    gamma: f64,
    #[state]
    shares: Vec<f64>,
}

/// A sum of weights up to this: all objectives are saturated.
const SATURATED: f64 = 1e-12;

#[scalarizer]
impl Scalarizer for SaMrpo {
    const NAME: &str = "sa-mrpo";
    const PAPER: &str = "SA-MRPO, arXiv 2608.16072";
    // Shares ¾ and 0: √¼ against √1.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn new(setup: &Setup, params: Self) -> Result<Self> {
        if let Some(m) = (0..setup.m()).find(|&m| params.highest[m] <= params.lowest[m]) {
            return Err(Error::new(format!(
                "highest is {} for objective {}, expected above lowest, which is {}",
                params.highest[m], setup.objectives[m].name, params.lowest[m]
            )));
        }
        Ok(params)
    }

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let share = |m: usize| {
            let (low, high) = (self.lowest[m], self.highest[m]);
            ((batch.scores().column_mean(m) - low) / (high - low)).clamp(0.0, 1.0)
        };
        self.shares = (0..batch.m()).map(share).collect(); // [M]
        let left = self
            .weights
            .iter()
            .zip(&self.shares)
            .map(|(p, share)| p * (1.0 - share).powf(self.gamma));
        Ok(Signal::weights(math::proportional(
            &left.collect::<Vec<_>>(),
            &self.weights,
            SATURATED,
        )))
    }

    fn metrics(&self) -> Metrics {
        Metrics::new().each("share", &self.shares)
    }
}

moa_sdk::export!(scalarizers: [SaMrpo]);

moa_sdk::testing::suite!(SaMrpo,
    golden = [
        "../../../tests/golden/methods/sa-mrpo-m3.jsonl",
        "../../../tests/golden/methods/sa-mrpo-bounds.jsonl",
        "../../../tests/golden/methods/sa-mrpo-gamma-zero.jsonl",
    ],
    params = [{}, {"gamma": 3.0, "lowest": [-1.0], "highest": [2.0]}, {"gamma": 0.0}],
    permutation = [
        [2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]},
        [2, 0, 1]: {"lowest": [0.0, -1.0, -2.0]} => {"lowest": [-2.0, 0.0, -1.0]},
    ],
);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::{Value, json};
    use moa_sdk::views::BatchInput;

    use super::*;

    fn weights(params: &Value, scores: &[f32]) -> Result<Vec<f32>> {
        let mut plugin: SaMrpo = moa_sdk::testing::scalarizer(2, params)?;
        let input = BatchInput {
            m: 2,
            scores,
            groups: &[0],
            lengths: &[1],
            ..Default::default()
        };
        let signal = plugin.scalarize(&Batch::new(input, Needs::NONE)?)?;
        Ok(signal.mixing_weights().map(<[f32]>::to_vec).unwrap_or_default())
    }

    #[test]
    fn weight_leaves_what_is_saturated() -> Result<()> {
        let default = json!({});
        let mut last = 1.0;
        for score in [0.0, 0.3, 0.6, 0.9, 1.0, 7.0] {
            let w = weights(&default, &[score, 0.0])?;
            assert!(
                w[0] < last && (w[0] + w[1] - 1.0).abs() < 1e-6 || score > 1.0,
                "{score}: {w:?}"
            );
            last = w[0];
        }
        assert_eq!(last, 0.0, "scores above the highest are saturated, too");
        assert_eq!(weights(&default, &[1.0, 1.0])?, [0.5, 0.5]);
        assert_eq!(weights(&json!({"gamma": 0.0}), &[1.0, 0.0])?, [0.5, 0.5]);
        Ok(())
    }

    #[test]
    fn bounds_in_the_wrong_order_are_refused() {
        let refused = moa_sdk::testing::scalarizer::<SaMrpo>(2, &json!({"lowest": [0.0, 1.0]}));
        assert!(refused.is_err_and(|error| error.message.contains("highest is 1 for objective objective1")));
    }
}
