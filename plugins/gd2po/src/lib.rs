//! GD²PO: completions on which the objectives disagree are left out of the update, as their signal is mostly noise
//! ("GD²PO", arXiv 2606.16771).
//!
//! For each objective's own advantages A `[B, M]` and weights p `[M]`:
//! ```text
//! conflict_b = some A_bm > 1e-8 and some A_bm < −1e-8          over p_m > 0
//! kept_b     = not conflict_b                                                                        ("hard")
//!              not conflict_b, or |Σ_m p_m A_bm| / (Σ_m |p_m A_bm| + 1e-8) >= threshold              ("snr")
//! x_b        = the share of b's group that is kept · Σ_m p_m A_bm
//! A_b        = (x_b − x̄) / √(var + 1e-8) over the kept, 0 for the others
//! ```
//! Mean and variance count each completion once, or by its length with `whiten = "tokens"`. At most one kept: all 0.
//! The metric `kept` is the share of completions that are. Look at it: of M objectives that have nothing to do with each
//! other, "hard" keeps about 2^(1−M), 6 % at M = 5. With one objective the advantages are its own.
//!
//! Departures from the released code (Qwen-Applications/GD2PO): weights; its scripts set a threshold of 0.8, its code
//! has the default here; it whitens over tokens, and fails where a single token is kept.

use moa_sdk::prelude::*;

/// Which completions are left out.
#[derive(Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
pub enum Mode {
    /// All with a conflict.
    #[default]
    Hard,
    /// Those whose advantages mostly cancel.
    Snr,
}

/// What mean and variance are over.
#[derive(Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
pub enum Whiten {
    /// Completions.
    #[default]
    Completions,
    /// Tokens: each completion counts by its length.
    Tokens,
}

/// p `[M]`, what is left out and how the rest is normalised, and the share of the last batch that was kept.
#[derive(Params, Serialize, Deserialize)]
pub struct Gd2po {
    #[param(weights)]
    weights: Vec<f64>,
    /// leave out every completion with a conflict, or those whose advantages mostly cancel.
    mode: Mode,
    /// share that must remain of the advantages when they are added; only with mode = "snr".
    #[param(default = 0.2, range = 0.0..=1.0)]
    threshold: f64,
    /// normalise over completions, or over tokens.
    whiten: Whiten,
    #[state]
    kept: Option<f64>,
}

/// The released code's ε: of signs, of the ratio and of the variance.
const EPSILON: f64 = 1e-8;

#[scalarizer]
impl Scalarizer for Gd2po {
    const NAME: &str = "gd2po";
    const PAPER: &str = "GD²PO, arXiv 2606.16771";
    const NEEDS: Needs = Needs::NONE.objective_advantages();
    // The third is dropped: x = ⅔ (1, −1), whose deviation is ⅔ √2.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let advantages = batch.objective_advantages()?; // [B, M]
        if batch.m() == 1 {
            return Ok(Signal::advantages(advantages.as_slice()));
        }
        let keep: Vec<f64> = advantages
            .iter_rows()
            .map(|row| f64::from(u8::from(self.keeps(row))))
            .collect(); // [B]
        let shares = math::group_means(&keep, batch.groups())?;
        let x: Vec<f64> = advantages
            .times(&self.weights)
            .iter()
            .zip(&shares)
            .map(|(a, r)| a * r)
            .collect();
        let count = |length: &u32| {
            if self.whiten == Whiten::Tokens {
                f64::from(*length)
            } else {
                1.0
            }
        };
        let counts: Vec<f64> = batch
            .lengths()
            .iter()
            .zip(&keep)
            .map(|(length, keep)| keep * count(length))
            .collect();
        self.kept = Some(math::mean(&keep));
        Ok(Signal::advantages(normalised(&x, &keep, &counts)))
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(math::to_f32(&self.weights))
    }

    fn metrics(&self) -> Metrics {
        self.kept
            .map_or_else(Metrics::new, |kept| Metrics::new().with("kept", kept))
    }
}

impl Gd2po {
    /// Whether a completion with the advantages `[M]` is kept.
    fn keeps(&self, row: &[f32]) -> bool {
        let counted = || {
            row.iter()
                .map(|a| f64::from(*a))
                .zip(&self.weights)
                .filter(|(_, p)| **p > 0.0)
        };
        let conflict = counted().any(|(a, _)| a > EPSILON) && counted().any(|(a, _)| a < -EPSILON);
        let sum: f64 = counted().map(|(a, p)| p * a).sum();
        let size: f64 = counted().map(|(a, p)| (p * a).abs()).sum();
        let left = self.mode == Mode::Snr && sum.abs() / (size + EPSILON) >= self.threshold;
        !conflict || left
    }
}

/// (x − mean) / √(var + 1e-8) for what is kept, each counted `counts` times; 0 for the rest, and where at most one is.
fn normalised(x: &[f64], keep: &[f64], counts: &[f64]) -> Vec<f64> {
    let total: f64 = counts.iter().sum();
    if keep.iter().sum::<f64>() <= 1.0 || total <= 1.0 {
        return vec![0.0; x.len()];
    }
    let mean = x.iter().zip(counts).map(|(x, count)| count * x).sum::<f64>() / total;
    let squares: f64 = x.iter().zip(counts).map(|(x, count)| count * (x - mean).powi(2)).sum();
    let spread = (squares / (total - 1.0) + EPSILON).sqrt();
    x.iter().zip(keep).map(|(x, keep)| keep * (x - mean) / spread).collect()
}

moa_sdk::export!(scalarizers: [Gd2po]);

moa_sdk::testing::suite!(Gd2po,
    golden = [
        "../../../tests/golden/methods/gd2po-m3.jsonl",
        "../../../tests/golden/methods/gd2po-snr-weights.jsonl",
        "../../../tests/golden/methods/gd2po-tokens.jsonl",
    ],
    params = [{}, {"mode": "snr"}, {"mode": "snr", "threshold": 0.8, "whiten": "tokens"}],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::json;

    fn keeps(params: &moa_sdk::serde_json::Value, row: [f32; 2]) -> Result<bool> {
        Ok(moa_sdk::testing::scalarizer::<Gd2po>(2, params)?.keeps(&row))
    }

    #[test]
    fn what_is_left_out() -> Result<()> {
        let (hard, snr) = (json!({}), json!({"mode": "snr", "threshold": 0.5}));
        for (row, by_hard, by_snr) in [
            ([1.0, 0.1], true, true),
            ([1.0, -0.1], false, true),  // 0.9 of 1.1 remains
            ([1.0, -0.9], false, false), // 0.1 of 1.9
            ([1.0, -1e-9], true, true),
            ([0.0, 0.0], true, true),
        ] {
            assert_eq!((keeps(&hard, row)?, keeps(&snr, row)?), (by_hard, by_snr), "{row:?}");
        }
        assert!(
            keeps(&json!({"weights": [1.0, 0.0]}), [1.0, -1.0])?,
            "a weight of 0 does not count"
        );
        Ok(())
    }

    /// Independent objectives agree on 2^(1−M) of the completions.
    #[test]
    fn few_are_kept_of_many_objectives() -> Result<()> {
        let mut rng = Rng::new(6);
        let plugin: Gd2po = moa_sdk::testing::scalarizer(5, &json!({}))?;
        let rows = 20_000;
        let kept = (0..rows)
            .filter(|_| plugin.keeps(&math::to_f32([(); 5].map(|()| rng.normal()))))
            .count();
        let share = kept as f64 / f64::from(rows);
        assert!((share - 1.0 / 16.0).abs() < 0.01, "{share}");
        Ok(())
    }

    #[test]
    fn one_that_is_kept_says_nothing() {
        assert_eq!(normalised(&[1.0, 2.0], &[0.0, 1.0], &[0.0, 7.0]), [0.0, 0.0]);
    }
}
