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
    use moa_sdk::serde_json::{self, Value, json};
    use moa_sdk::views::BatchInput;

    use super::*;

    /// What the plugin makes of scores `[B, M]` under GRPO, whose advantages are (s − mean) / (σ + 1e-6) in each group.
    fn under_grpo(weights: &Value, groups: &[u32], scores: &[Vec<f64>]) -> Result<Vec<f64>> {
        let m = scores[0].len();
        let mut own = vec![vec![0.0; m]; scores.len()];
        for (_, rows) in math::groups_of(groups) {
            for objective in 0..m {
                let of_group: Vec<f64> = rows.iter().map(|row| scores[*row][objective]).collect();
                let (mean, spread) = (math::mean(&of_group), math::deviation(&of_group) + 1e-6);
                for &row in &rows {
                    own[row][objective] = (scores[row][objective] - mean) / spread;
                }
            }
        }
        let input = BatchInput {
            m,
            scores: &math::to_f32(scores.concat()),
            groups,
            lengths: &vec![1; groups.len()],
            objective_advantages: Some(&math::to_f32(own.concat())),
            ..Default::default()
        };
        let mut plugin: Gdpo = moa_sdk::testing::scalarizer(m, &json!({ "weights": weights }))?;
        let signal = plugin.scalarize(&Batch::new(input, Gdpo::NEEDS)?)?;
        let SignalKind::Advantages(found) = signal.kind() else {
            panic!("advantages are expected")
        };
        Ok(found.iter().map(|a| f64::from(*a)).collect())
    }

    fn of<T: moa_sdk::serde::de::DeserializeOwned>(value: &Value) -> T {
        serde_json::from_value(value.clone()).expect("the golden file has this form")
    }

    /// The numbers of the host's estimator, which are TRL's, but for the ε of a group's deviation: 1e-4 there.
    #[test]
    fn under_grpo_it_is_the_estimator_gdpo() -> Result<()> {
        let golden: Value = of(&serde_json::from_str(include_str!("../../../tests/golden/gdpo.json")).expect("JSON"));
        let cases = golden["cases"].as_array().expect("cases");
        for case in cases {
            let (groups, scores): (Vec<u32>, Vec<Vec<f64>>) = (of(&case["groups"]), of(&case["scores"]));
            let expected: Vec<f64> = of(&case["advantages"]);
            for (found, expected) in under_grpo(&case["weights"], &groups, &scores)?.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-3, "{found} {expected}");
            }
        }
        assert!(cases.len() > 3);
        Ok(())
    }

    /// Mean 0, and a deviation of 1 but for the 1e-4 beside its own, whatever the objectives' scales.
    #[test]
    fn the_advantages_are_centred_and_of_spread_one() -> Result<()> {
        let mut rng = Rng::new(3);
        for scale in [1e-3, 1.0, 1e3] {
            let scores: Vec<Vec<f64>> = (0..6).map(|_| vec![scale * rng.normal(), rng.normal()]).collect();
            let found = under_grpo(&json!([0.5, 0.5]), &[0, 0, 0, 1, 1, 1], &scores)?;
            assert!(math::mean(&found).abs() < 1e-6, "{found:?}");
            assert!((math::deviation(&found) - 1.0).abs() < 1e-2, "{found:?}");
        }
        Ok(())
    }
}
