//! GradNorm: weights that balance the sizes of the objectives' gradients, more for objectives that train slower
//! (Chen, Badrinarayanan, Lee, Rabinovich, "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep
//! Multitask Networks", ICML 2018, arXiv 1711.02257, equations 1 and 2; as a baseline in arXiv 2602.06869).
//!
//! In each mini-batch, from the Gramian G `[M, M]` and the losses L `[M]`, with L⁰ the first losses:
//! ```text
//! n_m = √G_mm      g_m = w_m n_m
//! r_m = L_m / L⁰_m                          inverse training rate
//! ρ   = r / mean(r)
//! w_m ← w_m − weight_lr · sign(g_m − mean(g) · ρ_m^α) · n_m
//! w   ← w · M / Σ w                         w = 1 at first
//! ```
//! The training rate here. A ratio of losses means something while they are positive; policy-gradient losses change
//! sign, and a negative ratio to the power 1.5 is NaN. So:
//! - As long as all losses of an objective have been positive, r is L / L⁰ as published.
//! - From its first loss at or below 0 on, r = 1 + (L − L⁰) / max(|L⁰|, mean of |L| so far), which is L / L⁰ for
//!   L⁰ > 0 of the usual size, still grows with the loss, and is measured on the scale that the losses have where L⁰
//!   happens to be near 0; 1 where all losses were 0.
//! - Either is kept within [0.01, 100]: positive and finite, and so are ρ and its power.
//!
//! Departures from the released code, which `compat = "ctwa-repo"` repeats up to its first NaN (an error here): the
//! training rate above; weights stay at or above `weight_floor`, where there a large gradient turns them negative;
//! the Gramian is of the whole mini-batch, where there each rank had weights of its own; weights are in the checkpoint.

use moa_sdk::prelude::*;

/// What steers the weights, the weights, and what is known of the losses.
#[derive(Params, Serialize, Deserialize)]
pub struct GradNorm {
    /// α: how much more an objective weighs that trains slower; 0: gradients of equal size.
    #[param(default = 1.5, range = 0.0..)]
    alpha: f64,
    /// how fast the weights move.
    #[param(default = 0.025, range = 0.0..)]
    weight_lr: f64,
    /// smallest weight; the weights sum to M.
    #[param(default = 0.01, above = 0.0, range = ..1.0)]
    weight_floor: f64,
    /// the released code's behaviour: the plain loss ratio, and no floor.
    #[param(choices = ["ctwa-repo"])] // yining610/ctwa
    compat: Option<String>,
    /// w `[M]`.
    #[state(init = vec![1.0; setup.m()])]
    weights: Vec<f64>,
    /// L⁰ `[M]`.
    #[state]
    first: Option<Vec<f64>>,
    /// Mean of |L| `[M]` over `seen` mini-batches.
    #[state(init = vec![0.0; setup.m()])]
    size: Vec<f64>,
    #[state]
    seen: u64,
    /// Whether all losses so far were above 0, `[M]`.
    #[state(init = vec![true; setup.m()])]
    positive: Vec<bool>,
    /// r of the last mini-batch, `[M]`.
    #[state(init = vec![1.0; setup.m()])]
    rates: Vec<f64>,
}

/// r stays within 1 / this and this.
const LARGEST_RATE: f64 = 100.0;

#[scalarizer]
impl Scalarizer for GradNorm {
    const NAME: &str = "gradnorm";
    const PAPER: &str = "Chen et al., GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks, arXiv 1711.02257";
    // n = (2, 1), r = (1, 1), mean(g) = 1.5: w = (1 − 0.1 · 2, 1 + 0.1 · 1) · 2 / 1.9.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn weigh_gradients(&mut self, gradients: &Gradients) -> Result<Vec<f32>> {
        let norms = gradients.norms();
        self.rates = self.training_rates(gradients.losses());
        let sizes: Vec<f64> = self.weights.iter().zip(&norms).map(|(w, n)| w * n).collect();
        let (mean_size, mean_rate) = (math::mean(&sizes), math::mean(&self.rates));
        let mut weights = self.weights.clone();
        for (m, weight) in weights.iter_mut().enumerate() {
            let target = mean_size * (self.rates[m] / mean_rate).powf(self.alpha);
            *weight -= self.weight_lr * sign(sizes[m] - target) * norms[m];
        }
        self.weights = match self.compat {
            Some(_) => released(&weights, &self.rates, mean_rate, self.alpha)?,
            None => with_floor(weights, self.weight_floor),
        };
        Ok(math::to_f32(&self.weights))
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(math::to_f32(&self.weights))
    }

    fn metrics(&self) -> Metrics {
        Metrics::new().each("rate", &self.rates)
    }
}

impl GradNorm {
    /// r `[M]`; see the head of this file.
    fn training_rates(&mut self, losses: &[f64]) -> Vec<f64> {
        let first = self.first.get_or_insert_with(|| losses.to_vec());
        self.seen += 1;
        let share = 1.0 / self.seen as f64;
        let mut rates = Vec::new();
        for (m, (loss, first)) in losses.iter().zip(first.iter()).enumerate() {
            self.size[m] += share * (loss.abs() - self.size[m]);
            self.positive[m] &= *loss > 0.0;
            let unit = first.abs().max(self.size[m]);
            rates.push(if self.compat.is_some() {
                loss / first
            } else if self.positive[m] {
                (loss / first).clamp(1.0 / LARGEST_RATE, LARGEST_RATE)
            } else if unit > 0.0 {
                (1.0 + (loss - first) / unit).clamp(1.0 / LARGEST_RATE, LARGEST_RATE)
            } else {
                1.0
            });
        }
        rates
    }
}

/// As torch has it: 0 of 0.
fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// w · M / Σ w. Error: where the released code has a NaN or an infinity from here on.
fn released(weights: &[f64], rates: &[f64], mean_rate: f64, alpha: f64) -> Result<Vec<f64>> {
    let factor = weights.len() as f64 / weights.iter().sum::<f64>();
    let scaled: Vec<f64> = weights.iter().map(|w| w * factor).collect();
    let powers_exist = rates.iter().all(|rate| (rate / mean_rate).powf(alpha).is_finite());
    if powers_exist && scaled.iter().all(|w| w.is_finite()) {
        return Ok(scaled);
    }
    Err(Error::new(format!(
        "the loss ratios {rates:?} have no power {alpha}: the released code is at NaN from here on"
    ))
    .hint("leave compat out: the training rate then stays positive and finite"))
}

/// w · M / Σ w where that leaves all at or above the floor; else those below it are put there, and the others share
/// the rest in proportion.
fn with_floor(mut weights: Vec<f64>, floor: f64) -> Vec<f64> {
    weights.iter_mut().for_each(|w| *w = w.max(floor));
    let mut held = vec![false; weights.len()];
    loop {
        let (mut free, mut budget) = (0.0, 0.0);
        for (w, held) in weights.iter().zip(&held) {
            budget += if *held { 1.0 - floor } else { 1.0 };
            free += if *held { 0.0 } else { *w };
        }
        let factor = budget / free;
        let below: Vec<usize> = (0..weights.len())
            .filter(|&m| !held[m] && weights[m] * factor < floor)
            .collect();
        if below.is_empty() {
            let scaled = weights
                .iter()
                .zip(&held)
                .map(|(w, held)| if *held { floor } else { w * factor });
            return scaled.collect();
        }
        below.into_iter().for_each(|m| held[m] = true);
    }
}

moa_sdk::export!(scalarizers: [GradNorm]);

moa_sdk::testing::suite!(GradNorm,
    golden = ["../../../tests/golden/gradnorm.jsonl"],
    params = [{}, {"alpha": 0.0, "weight_lr": 1.0, "weight_floor": 0.3}],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::json;
    use moa_sdk::testing;

    const GOLDEN: &str = include_str!("../../../tests/golden/gradnorm.jsonl");

    /// Its losses are positive: there the method is the published one, without `compat` as well.
    #[test]
    fn positive_losses_need_no_compat() -> Result<()> {
        let default = GOLDEN.replace(",\"compat\":\"ctwa-repo\"", "");
        assert_ne!(GOLDEN, default);
        testing::replay::<GradNorm>(&default).map(|_| ())
    }

    fn weigh(plugin: &mut GradNorm, norms: [f64; 3], losses: &[f64]) -> Result<Vec<f32>> {
        let gram: Vec<f64> = (0..9)
            .map(|i| if i % 4 == 0 { norms[i / 4] * norms[i / 4] } else { 0.0 })
            .collect();
        plugin.weigh_gradients(&testing::gradients(1e-6, &gram, losses)?)
    }

    /// Losses around 0, some of them exactly 0 and the first ones tiny, gradients of sizes 1e-10 to 1e10.
    #[test]
    fn losses_that_change_sign_never_give_a_nan() -> Result<()> {
        let mut rng = Rng::new(8);
        for exponent in [-10.0, -1.0, 0.0, 1.0, 10.0] {
            let mut plugin: GradNorm = testing::scalarizer(3, &json!({}))?;
            for step in 0..2000 {
                let norms = [(); 3].map(|()| 10_f64.powf(exponent) * rng.normal().abs());
                let losses = [(); 3].map(|()| match step {
                    0 => 1e-12 * rng.normal(),
                    _ if rng.below(10) == 0 => 0.0,
                    _ => rng.normal(),
                });
                let weights = weigh(&mut plugin, norms, &losses)?;
                let sum: f64 = plugin.weights.iter().sum();
                assert!((sum - 3.0).abs() < 1e-9, "{weights:?}");
                assert!(plugin.weights.iter().all(|w| *w >= 0.01 - 1e-12), "{weights:?}");
                assert!(
                    plugin.rates.iter().all(|r| (0.01..=100.0).contains(r)),
                    "{:?}",
                    plugin.rates
                );
            }
        }
        Ok(())
    }

    /// With gradients of equal size, the objective whose loss fell least gains weight, below 0 as above it.
    #[test]
    fn what_trains_slower_gains_weight_at_either_sign() -> Result<()> {
        for (first, then) in [
            ([1.0, 1.0, 1.0], [0.2, 0.9, 0.2]),
            ([-1.0, -1.0, -1.0], [-1.8, -1.1, -1.8]),
            ([0.3, 0.3, 0.3], [-0.5, 0.2, -0.5]),
        ] {
            let mut plugin: GradNorm = testing::scalarizer(3, &json!({}))?;
            weigh(&mut plugin, [1.0; 3], &first)?;
            let weights = weigh(&mut plugin, [1.0; 3], &then)?;
            assert!(weights[1] > weights[0] && weights[0] == weights[2], "{weights:?}");
        }
        Ok(())
    }

    #[test]
    fn compat_stops_where_the_released_code_is_nan() -> Result<()> {
        let mut plugin: GradNorm = testing::scalarizer(3, &json!({"compat": "ctwa-repo"}))?;
        weigh(&mut plugin, [1.0, 2.0, 3.0], &[1.0; 3])?;
        let error = weigh(&mut plugin, [1.0, 2.0, 3.0], &[1.0, -0.1, 1.0]).expect_err("NaN");
        assert!(error.message.contains("no power 1.5"), "{error}");
        Ok(())
    }

    #[test]
    fn floors_and_params() -> Result<()> {
        let near = |found: Vec<f64>, expected: [f64; 3]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(with_floor(vec![2.0, 1.0, 1.0], 0.1), [1.5, 0.75, 0.75]));
        assert!(near(with_floor(vec![-5.0, 1.0, 3.0], 0.2), [0.2, 0.7, 2.1]));
        assert!(near(with_floor(vec![1e9, -1e9, 1.0], 0.5), [2.0, 0.5, 0.5]));
        for bad in [
            json!({"alpha": -1.0}),
            json!({"weight_floor": 0.0}),
            json!({"weight_floor": 1.0}),
        ] {
            assert!(testing::scalarizer::<GradNorm>(3, &bad).is_err(), "{bad}");
        }
        Ok(())
    }
}
