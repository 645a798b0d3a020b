//! PAMA: the objective that has least to gain takes the step, with advantages that are never negative (He and
//! Maghsudi, "Pareto Multi-Objective Alignment for Language Models", arXiv 2508.07768: Noon PPO and the closed form
//! of its convex problem; as a baseline in arXiv 2602.06869).
//!
//! For each objective's own advantages A `[B, M]` and the log-probabilities old, ref `[N]`:
//! ```text
//! A⁺_bm = max(A_bm, 0)                             Noon
//! u_t   = exp(old_t − ref_t)
//! a_m   = mean over all tokens t of A⁺_bm · 1[u_t ≤ 1 + ε]             b the response of t
//! s*    = the point of [min a, max a] that is nearest to 0 = Σ_m c_m a_m,  c on the simplex
//! A_b   = Σ_m c_m A⁺_bm                            advantage of completion b
//! ```
//! As no a_m is negative, s* is the least of them, and c is 1 there; objectives that tie share it. Where an objective
//! has no positive advantage in the batch, s* and all advantages are 0: a Pareto-stationary point to this method.
//!
//! Departures from the released code, which `compat = "ctwa-repo"` repeats: it gives s* to every completion, which
//! says nothing about which of them was good; the default gives each its own credit. With one objective there is
//! nothing to align, and without `compat` its advantages are the plain ones, negative ones included.

use moa_sdk::prelude::*;

/// Which tokens count, what a completion gets, and the last a and c.
#[derive(Params, Serialize, Deserialize)]
pub struct Pama {
    /// ε: tokens count whose probability is at most 1 + ε times that under the reference policy.
    #[param(default = 0.2, range = 0.0..)]
    clip: f64,
    /// the released code's behaviour: the scalar s* for every completion.
    #[param(choices = ["ctwa-repo"])] // yining610/ctwa
    compat: Option<String>,
    /// a `[M]`.
    #[state]
    means: Option<Vec<f64>>,
    /// c `[M]`.
    #[state]
    weights: Option<Vec<f64>>,
}

#[scalarizer]
impl Scalarizer for Pama {
    const NAME: &str = "pama";
    const PAPER: &str = "He and Maghsudi, Pareto Multi-Objective Alignment for Language Models, arXiv 2508.07768";
    const NEEDS: Needs = Needs::NONE.objective_advantages().old_logprobs().ref_logprobs();
    // Tokens: one of the first response, three of the second, whose last has u = e > 1.2. a = (1·1 + 2·2, 4·1) / 4:
    // the second is the least, and c = (0, 1).
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let advantages = batch.objective_advantages()?; // [B, M]
        let means = self.mean_advantages(batch)?; // [M]
        let least = means.iter().copied().fold(f64::INFINITY, f64::min); // s*
        let at_least: Vec<f64> = means.iter().map(|a| f64::from(u8::from(*a == least))).collect();
        let ties: f64 = at_least.iter().sum();
        let weights: Vec<f64> = at_least.iter().map(|c| c / ties).collect();
        let credit = |row: &[f32]| match &self.compat {
            Some(_) => least,
            None if row.len() == 1 => f64::from(row[0]),
            None => row.iter().zip(&weights).map(|(a, c)| c * f64::from(a.max(0.0))).sum(),
        };
        let signal = Signal::advantages(advantages.iter_rows().map(credit)); // [B]
        (self.means, self.weights) = (Some(means), Some(weights));
        Ok(signal)
    }

    fn weights(&self) -> Option<Vec<f32>> {
        self.weights.as_deref().map(math::to_f32)
    }

    fn metrics(&self) -> Metrics {
        Metrics::new().each("mean_positive_advantage", self.means.iter().flatten())
    }
}

impl Pama {
    /// a `[M]`; 0 for a batch without tokens.
    fn mean_advantages(&self, batch: &Batch) -> Result<Vec<f64>> {
        let (old, reference) = (batch.old_logprobs()?, batch.ref_logprobs()?);
        let u = |(old, reference): (&f32, &f32)| (f64::from(*old) - f64::from(*reference)).exp();
        let mut sums = vec![0.0; batch.m()];
        for (b, advantages) in batch.objective_advantages()?.iter_rows().enumerate() {
            let ratios = old.row(b).iter().zip(reference.row(b)).map(u);
            let kept = ratios.filter(|u| *u <= 1.0 + self.clip).count() as f64;
            for (sum, advantage) in sums.iter_mut().zip(advantages) {
                *sum += kept * f64::from(advantage.max(0.0));
            }
        }
        let tokens = old.as_slice().len().max(1) as f64;
        Ok(sums.iter().map(|sum| sum / tokens).collect())
    }
}

moa_sdk::export!(scalarizers: [Pama]);

moa_sdk::testing::suite!(Pama,
    golden = ["../../../tests/golden/pama.jsonl"],
    params = [{}, {"compat": "ctwa-repo", "clip": 0.0} without single_objective],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::json;
    use moa_sdk::views::BatchInput;

    fn scalarize(params: &moa_sdk::serde_json::Value, advantages: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        let mut plugin: Pama = moa_sdk::testing::scalarizer(2, params)?;
        let input = BatchInput {
            m: 2,
            scores: advantages,
            groups: &[0, 0],
            lengths: &[1, 1],
            objective_advantages: Some(advantages),
            old_logprobs: Some(&[-1.0, -1.0]),
            ref_logprobs: Some(&[-1.0, -1.0]),
            offsets: &[0, 1, 2],
            ..Default::default()
        };
        let signal = plugin.scalarize(&Batch::new(input, Pama::NEEDS)?)?;
        let moa_sdk::SignalKind::Advantages(found) = signal.kind() else {
            panic!("advantages are expected")
        };
        Ok((found.clone(), plugin.weights().unwrap_or_default()))
    }

    /// Mean Noon advantages 2 and 1; then both 1, which share; then 0 and 1: nothing to gain in the first.
    #[test]
    fn credit_ties_and_nothing_to_gain() -> Result<()> {
        let default = json!({});
        assert_eq!(
            scalarize(&default, &[4.0, -1.0, -2.0, 2.0])?,
            (vec![0.0, 2.0], vec![0.0, 1.0])
        );
        assert_eq!(
            scalarize(&default, &[2.0, -1.0, -2.0, 2.0])?,
            (vec![1.0, 1.0], vec![0.5, 0.5])
        );
        assert_eq!(
            scalarize(&default, &[-1.0, 2.0, -1.0, 0.0])?,
            (vec![0.0, 0.0], vec![1.0, 0.0])
        );
        let released = json!({"compat": "ctwa-repo"});
        assert_eq!(
            scalarize(&released, &[4.0, -1.0, -2.0, 2.0])?,
            (vec![1.0, 1.0], vec![0.0, 1.0])
        );
        assert!(scalarize(&json!({"clip": -0.1}), &[0.0; 4]).is_err());
        Ok(())
    }
}
