//! DVAO: within each group, an objective's advantage counts in proportion to the spread of its scores, so that an
//! objective on which completions hardly differ adds little noise ("DVAO", arXiv 2605.25604, equation 9).
//!
//! For the scores s and each objective's own advantages A `[B, M]`, weights p `[M]`, and b in group g:
//! ```text
//! v_m = p_m σ_m          σ_m the sample deviation of s_m in g, 0 up to 1e-12 of its largest |s_m|
//! w_m = v_m / Σ_k v_k    p_m where all of them are 0
//! A_b = Σ_m w_m A_bm
//! ```
//! Under the estimator grpo that is Σ_m p_m (s_bm − mean) / Σ_k p_k σ_k. `weights` reports the mean of w over the
//! completions. With one objective the advantages are its own.
//!
//! Departures: no released code was found; the formula is from accounts of the paper that agree.

use moa_sdk::prelude::*;

/// p `[M]`, and the mean of the last w `[M]`.
#[derive(Params, Serialize, Deserialize)]
pub struct Dvao {
    #[param(weights)]
    weights: Vec<f64>,
    #[state(init = weights.clone())]
    mean_weights: Vec<f64>,
}

/// A deviation up to this share of the largest score is rounding.
const ROUNDING: f64 = 1e-12;

#[scalarizer]
impl Scalarizer for Dvao {
    const NAME: &str = "dvao";
    const PAPER: &str = "DVAO, arXiv 2605.25604";
    const NEEDS: Needs = Needs::NONE.objective_advantages();
    // Deviations √2 · (1, ½): w = (⅔, ⅓), and ⅔ · 1 − ⅓ · 1.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let (scores, advantages) = (batch.scores(), batch.objective_advantages()?); // [B, M]
        let mut mixed = vec![0.0; batch.len()];
        let mut sums = vec![0.0; batch.m()];
        for (_, rows) in math::groups_of(batch.groups()) {
            let spread = |m: usize| {
                let of_group: Vec<f64> = rows.iter().map(|&b| f64::from(scores.get(b, m))).collect();
                let largest = of_group.iter().fold(0.0_f64, |largest, s| largest.max(s.abs()));
                let spread = math::deviation(&of_group);
                if spread > ROUNDING * largest { spread } else { 0.0 }
            };
            let v: Vec<f64> = (0..batch.m()).map(|m| self.weights[m] * spread(m)).collect();
            let w = math::proportional(&v, &self.weights, 0.0); // [M]
            for &b in &rows {
                mixed[b] = advantages.row(b).iter().zip(&w).map(|(a, w)| w * f64::from(*a)).sum();
                sums.iter_mut().zip(&w).for_each(|(sum, w)| *sum += w);
            }
        }
        let signal = Signal::advantages(mixed); // [B]
        self.mean_weights = math::proportional(&sums, &self.weights, 0.0);
        Ok(signal)
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(math::to_f32(&self.mean_weights))
    }
}

moa_sdk::export!(scalarizers: [Dvao]);

moa_sdk::testing::suite!(Dvao,
    golden = [
        "../../../tests/golden/methods/dvao-m3.jsonl",
        "../../../tests/golden/methods/dvao-weights.jsonl",
    ],
    params = [{}],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use moa_sdk::SignalKind;
    use moa_sdk::serde_json::json;
    use moa_sdk::views::BatchInput;

    use super::*;

    /// Under GRPO, (s − mean) / σ, the advantages are those of the scores, mixed and divided by the mix of deviations.
    #[test]
    fn under_grpo_it_is_the_mix_of_scores_over_the_mix_of_deviations() -> Result<()> {
        let mut rng = Rng::new(9);
        let p = [0.7, 0.3];
        for _ in 0..200 {
            let scores = math::to_f32((0..8).map(|i| rng.normal() * [1.0, 20.0][i % 2]));
            let of = |m: usize| -> Vec<f64> { (0..4).map(|b| f64::from(scores[2 * b + m])).collect() };
            let (means, spreads) = (
                [0, 1].map(|m| math::mean(&of(m))),
                [0, 1].map(|m| math::deviation(&of(m))),
            );
            let own = math::to_f32((0..8).map(|i| (f64::from(scores[i]) - means[i % 2]) / spreads[i % 2]));
            let mut plugin: Dvao = moa_sdk::testing::scalarizer(2, &json!({"weights": p}))?;
            let input = BatchInput {
                m: 2,
                scores: &scores,
                groups: &[5; 4],
                lengths: &[1; 4],
                objective_advantages: Some(&own),
                ..Default::default()
            };
            let signal = plugin.scalarize(&Batch::new(input, Dvao::NEEDS)?)?;
            let SignalKind::Advantages(found) = signal.kind() else {
                panic!("advantages are expected")
            };
            let below: f64 = (0..2).map(|m| p[m] * spreads[m]).sum();
            for (b, found) in found.iter().enumerate() {
                let above: f64 = (0..2).map(|m| p[m] * (of(m)[b] - means[m])).sum();
                assert!(
                    (f64::from(*found) - above / below).abs() < 1e-5,
                    "{found} {}",
                    above / below
                );
            }
        }
        Ok(())
    }
}
