//! IMTL-G: a mix whose part along each gradient is the same.
//!
//! From the Gramian G `[M, M]` of a mini-batch, d_m = √G_mm, D = diag d, C = D⁻¹ G D⁻¹:
//! ```text
//! x = D⁻¹ C⁺ 1
//! w = x / Σ x            1/M where |Σ x| <= 1e-9 Σ |x|
//! ```
//! Weights may be below 0: an objective whose gradient is short or along the others is held back by the step's size.
//!
//! Departures from the released code: it solves by elimination against the first gradient, which fails where gradients
//! depend on each other; the answer is the same elsewhere.

use moa_sdk::prelude::*;

/// Nothing to keep.
#[derive(Params, Serialize, Deserialize)]
pub struct ImtlG;

#[scalarizer]
impl Scalarizer for ImtlG {
    const NAME: &str = "imtl-g";
    const PAPER: &str = "Liu et al., Towards Impartial Multi-task Learning, ICLR 2021";
    // Across each other, lengths 1 and 2: as long a part of each.
    const EXAMPLES: &str = include_str!("imtl_g.jsonl");

    fn weigh_gradients(&mut self, gradients: &Gradients) -> Result<Vec<f32>> {
        let equal = math::simplex_weights(&[], gradients.m())?;
        let weights = math::weigh(gradients.gram(), &equal, |directions| {
            let x = directions.per_length(&crate::impartial(directions));
            let (sum, size) = (x.iter().sum::<f64>(), x.iter().map(|x| x.abs()).sum::<f64>());
            let found: Vec<f64> = x.iter().map(|x| x / sum).collect();
            Ok(if sum.abs() <= 1e-9 * size {
                directions.pick(&equal)
            } else {
                found
            })
        })?;
        Ok(math::to_f32(weights))
    }
}

moa_sdk::testing::suite!(
    ImtlG,
    golden = [
        "../../../tests/golden/methods/imtl-g-m3.jsonl",
        "../../../tests/golden/methods/imtl-g-m5.jsonl",
    ],
    params = [{}],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::testing;

    /// The step's part along each gradient is the same, and the weights sum to 1.
    #[test]
    fn the_step_has_the_same_part_along_each_gradient() -> Result<()> {
        let mut rng = Rng::new(13);
        for case in 0..1000 {
            let m = 2 + case % 6;
            let jacobian: Vec<Vec<f64>> = (0..m).map(|_| (0..m + 4).map(|_| rng.normal()).collect()).collect();
            let gram = math::gramian(&jacobian);
            let w = ImtlG.weigh_gradients(&testing::gradients(1e-6, &gram, &vec![0.0; m])?)?;
            assert!((w.iter().sum::<f32>() - 1.0).abs() < 1e-4 * w.iter().map(|w| w.abs()).sum::<f32>());
            let along = |i: usize| {
                let product: f64 = (0..m).map(|j| gram[i * m + j] * f64::from(w[j])).sum();
                product / gram[i * m + i].sqrt()
            };
            let size: f64 = (0..m).map(|j| f64::from(w[j].abs()) * gram[j * m + j].sqrt()).sum();
            assert!((1..m).all(|i| (along(i) - along(0)).abs() < 1e-5 * size), "case {case}");
        }
        Ok(())
    }
}
