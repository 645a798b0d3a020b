//! ConFIG: the direction with the same cosine to every gradient, and a length to which each gradient adds its own part
//! along it. It goes against no gradient that is not a mix of the others.
//!
//! From the Gramian G `[M, M]` of a mini-batch, d_m = √G_mm, D = diag d, C = D⁻¹ G D⁻¹:
//! ```text
//! x      = C⁺ 1,  ‖u‖² = xᵀ C x
//! length = dᵀ C x / ‖u‖                   Σ_m of g_m's part along the direction
//! w      = length / (M ‖u‖) · D⁻¹ x       1/M where ‖u‖² <= 1e-12: the gradients cancel
//! ```
//! M counts zero gradients.
//!
//! Departures from the released code: there the length is the sum of the parts, here their mean, so that gradients that
//! agree have weights that sum to 1.

use moa_sdk::prelude::*;

/// Nothing to keep.
#[derive(Params, Serialize, Deserialize)]
pub struct Config;

#[scalarizer]
impl Scalarizer for Config {
    const NAME: &str = "config";
    const PAPER: &str =
        "Liu et al., ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks, arXiv 2408.11104";
    // Across each other, lengths 1 and 2: x = (1, 1), length 3/√2, w = ¾ (1, ½).
    const EXAMPLES: &str = include_str!("config.jsonl");

    fn weigh_gradients(&mut self, gradients: &Gradients) -> Result<Vec<f32>> {
        let equal = math::simplex_weights(&[], gradients.m())?;
        let weights = math::weigh(gradients.gram(), &equal, |directions| {
            let x = crate::impartial(directions);
            let along = directions.cosines().times(&x); // 1 each, where C has full rank
            let square: f64 = x.iter().zip(&along).map(|(x, along)| x * along).sum();
            if square <= 1e-12 {
                return Ok(directions.pick(&equal));
            }
            let sum: f64 = directions.by_length(&along).iter().sum();
            let factor = sum / (directions.m() as f64 * square);
            Ok(directions.per_length(&x).iter().map(|x| factor * x).collect())
        })?;
        Ok(math::to_f32(weights))
    }
}

moa_sdk::testing::suite!(
    Config,
    golden = [
        "../../../tests/golden/methods/config-m3.jsonl",
        "../../../tests/golden/methods/config-m5.jsonl",
    ],
    params = [{}],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::testing;

    /// The cosine to every gradient is the same and above 0, and the step is as long as the mean of their parts along it.
    #[test]
    fn the_step_has_the_same_cosine_to_every_gradient() -> Result<()> {
        let mut rng = Rng::new(14);
        for case in 0..1000 {
            let m = 2 + case % 6;
            let jacobian: Vec<Vec<f64>> = (0..m)
                .map(|_| {
                    let length = 10_f64.powf(2.0 * rng.uniform() - 1.0);
                    (0..m + 4).map(|_| length * rng.normal()).collect()
                })
                .collect();
            let gram = math::gramian(&jacobian);
            let w = Config.weigh_gradients(&testing::gradients(1e-6, &gram, &vec![0.0; m])?)?;
            let products: Vec<f64> = (0..m)
                .map(|i| (0..m).map(|j| gram[i * m + j] * f64::from(w[j])).sum())
                .collect();
            let length = products
                .iter()
                .zip(&w)
                .map(|(x, w)| x * f64::from(*w))
                .sum::<f64>()
                .sqrt();
            let cosine = |i: usize| products[i] / (gram[i * m + i].sqrt() * length);
            assert!(
                cosine(0) > 0.0 && (1..m).all(|i| (cosine(i) - cosine(0)).abs() < 1e-3),
                "case {case}"
            );
            let parts: f64 = products.iter().map(|x| x / length).sum();
            assert!((length - parts / m as f64).abs() < 1e-3 * length, "case {case}");
        }
        Ok(())
    }
}
