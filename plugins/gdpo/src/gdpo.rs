//! GDPO: the objectives' own advantages are mixed, and the mix is whitened over the batch, so that an objective with a
//! small spread counts as much as one with a large spread (Liu et al., "GDPO: Group reward-Decoupled Normalization Policy
//! Optimization", arXiv 2601.05242).
//!
//! For each objective's own advantages A `[B, M]` and weights p `[M]`:
//! ```text
//! a_b = Σ_m p_m A_bm
//! A_b = (a_b − ā) / (σ + 1e-4)       mean and sample deviation over the batch
//! ```
//! Where nothing has any spread, all advantages are 0. With one objective they are its own.
//!
//! With the estimator grpo these are the numbers of `estimator = "gdpo"` under fixed weights; this plugin gives them to
//! every other estimator. Departures from the released code: TRL adds 1e-4 to the deviation of a group, where the host
//! has 1e-6. NVlabs' code whitens over tokens, without weights.

use moa_sdk::prelude::*;

/// p `[M]`.
#[derive(Params, Serialize, Deserialize)]
pub struct Gdpo {
    #[param(weights)]
    weights: Vec<f64>,
}

#[scalarizer]
impl Scalarizer for Gdpo {
    const NAME: &str = "gdpo";
    const PAPER: &str = "Liu et al., GDPO: Group reward-Decoupled Normalization Policy Optimization, arXiv 2601.05242";
    const NEEDS: Needs = Needs::NONE.objective_advantages();
    // a = (½, −½): a deviation of 1/√2, so that both are ±½ / (0.70711 + 0.0001).
    const EXAMPLES: &str = include_str!("gdpo.jsonl");

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let advantages = batch.objective_advantages()?; // [B, M]
        if batch.m() == 1 {
            return Ok(Signal::advantages(advantages.as_slice()));
        }
        let mixed = advantages.times(&self.weights); // [B]
        Ok(Signal::advantages(math::whitened(&mixed)))
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(math::to_f32(&self.weights))
    }
}

moa_sdk::testing::suite!(Gdpo,
    golden = [
        "../../../tests/golden/methods/gdpo-m3.jsonl",
        "../../../tests/golden/methods/gdpo-weights.jsonl",
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

    /// Scores in groups of three, and their advantages under GRPO, (s − mean) / (σ + 1e-6). The mix is whitened over
    /// the batch: mean 0, and a deviation of 1 but for the 1e-4 beside its own, whatever the objectives' scales.
    #[test]
    fn the_advantages_are_centred_and_of_spread_one() -> Result<()> {
        let mut rng = Rng::new(3);
        for scale in [1e-3, 1.0, 1e3] {
            let mut plugin: Gdpo = moa_sdk::testing::scalarizer(2, &json!({}))?;
            let groups = [0, 0, 0, 1, 1, 1];
            let mut advantages = vec![0.0_f32; 12];
            for objective in 0..2 {
                let scores: Vec<f64> = (0..6).map(|_| scale * rng.normal()).collect();
                for rows in [[0, 1, 2], [3, 4, 5]] {
                    let of_group = rows.map(|row| scores[row]);
                    let spread = math::deviation(&of_group) + 1e-6;
                    for row in rows {
                        advantages[2 * row + objective] = ((scores[row] - math::mean(&of_group)) / spread) as f32;
                    }
                }
            }
            let input = BatchInput {
                m: 2,
                scores: &[0.0; 12],
                groups: &groups,
                lengths: &[1; 6],
                objective_advantages: Some(&advantages),
                ..Default::default()
            };
            let signal = plugin.scalarize(&Batch::new(input, Gdpo::NEEDS)?)?;
            let SignalKind::Advantages(found) = signal.kind() else {
                panic!("advantages are expected")
            };
            let found: Vec<f64> = found.iter().map(|a| f64::from(*a)).collect();
            assert!(math::mean(&found).abs() < 1e-6, "{found:?}");
            assert!((math::deviation(&found) - 1.0).abs() < 1e-3, "{found:?}");
        }
        Ok(())
    }
}
