//! Aligned-MTL: the gradients are turned and stretched so that their principal components are equally long, after which
//! no direction drowns another (Senushkin et al., "Independent Component Alignment for Multi-Task Learning", CVPR 2023,
//! algorithm 1).
//!
//! From the Gramian G = V Λ Vᵀ `[M, M]` of a mini-batch and preference weights p `[M]`:
//! ```text
//! kept: λ > λ_max · M · 2⁻²³
//! s = the least kept λ ("min"), their lower median ("median") or mean ("rmse")
//! w = V √(s/Λ) Vᵀ p       over the kept; p where none is
//! ```
//! Weights may be below 0. "min" stretches nothing, so that the step is short where gradients nearly agree or cancel.
//!
//! Departures from the released code (SamsungLabs/MTL): its weights sum to M without conflict, these to 1. What is kept
//! is the released tolerance, of f32: below it gradients in f32 are rounding.

use moa_sdk::prelude::*;

/// How long the components become.
#[derive(Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
pub enum Scale {
    /// As the shortest.
    #[default]
    Min,
    /// As the lower median.
    Median,
    /// As the root mean square.
    Rmse,
}

/// p `[M]`, and how long the components become.
#[derive(Params, Serialize, Deserialize)]
pub struct AlignedMtl {
    #[param(weights)]
    weights: Vec<f64>,
    /// how long all principal components become: as the shortest, as the median, or as their root mean square.
    scale: Scale,
}

/// The spacing of f32 at 1.
const OF_F32: f64 = f32::EPSILON as f64;

#[scalarizer]
impl Scalarizer for AlignedMtl {
    const NAME: &str = "aligned-mtl";
    const PAPER: &str = "Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023";
    // Across each other, lengths 1 and 2: the second is made as short as the first.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn weigh_gradients(&mut self, gradients: &Gradients) -> Result<Vec<f32>> {
        let weights = math::weigh(gradients.gram(), &self.weights, |directions| {
            let longest = directions.lengths().iter().copied().fold(0.0, f64::max);
            let relative: Vec<f64> = directions.lengths().iter().map(|d| d / longest).collect();
            let pairs = math::eigen(&directions.cosines().scaled(&relative));
            let largest = pairs.last().map_or(0.0, |(value, _)| *value);
            let least = largest * directions.m() as f64 * OF_F32;
            let kept: Vec<_> = pairs.iter().filter(|(value, _)| *value > least).collect();
            let values: Vec<f64> = kept.iter().map(|(value, _)| *value).collect(); // rising
            let s = match self.scale {
                Scale::Min => values[0],
                Scale::Median => values[(values.len() - 1) / 2],
                Scale::Rmse => math::mean(&values),
            };
            let p = directions.pick(&self.weights);
            let mut w = vec![0.0; p.len()];
            for (value, vector) in kept {
                let along: f64 = vector.iter().zip(&p).map(|(v, p)| v * p).sum();
                w.iter_mut()
                    .zip(vector)
                    .for_each(|(w, v)| *w += (s / value).sqrt() * along * v);
            }
            Ok(w)
        })?;
        Ok(math::to_f32(weights))
    }
}

moa_sdk::export!(scalarizers: [AlignedMtl]);

moa_sdk::testing::suite!(AlignedMtl,
    golden = [
        "../../../tests/golden/methods/aligned-mtl-m5.jsonl",
        "../../../tests/golden/methods/aligned-mtl-median.jsonl",
        "../../../tests/golden/methods/aligned-mtl-rmse.jsonl",
    ],
    params = [{}, {"scale": "median"}, {"scale": "rmse"}],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::json;
    use moa_sdk::testing;

    use super::*;

    /// The weights are linear in p, W p with W = V √(s/Λ) Vᵀ, and the aligned gradients W J have the Gramian s I: the
    /// stability that the paper promises, a condition number of 1.
    #[test]
    fn the_aligned_gradients_are_across_each_other_and_equally_long() -> Result<()> {
        let mut rng = Rng::new(11);
        for case in 0..300 {
            let m = 2 + case % 6;
            let jacobian: Vec<Vec<f64>> = (0..m).map(|_| (0..m + 3).map(|_| rng.normal()).collect()).collect();
            let gram = math::gramian(&jacobian);
            let column = |i: usize| {
                let p: Vec<f64> = (0..m).map(|k| f64::from(u8::from(k == i))).collect();
                let mut plugin: AlignedMtl = testing::scalarizer(m, &json!({ "weights": p }))?;
                plugin.weigh_gradients(&testing::gradients(1e-6, &gram, &vec![0.0; m])?)
            };
            let w: Vec<Vec<f32>> = (0..m).map(column).collect::<Result<_>>()?;
            let product = |a: &[f32], b: &[f32]| -> f64 {
                let terms = (0..m * m).map(|at| f64::from(a[at / m]) * gram[at] * f64::from(b[at % m]));
                terms.sum()
            };
            let s = product(&w[0], &w[0]);
            for i in 0..m {
                for j in 0..m {
                    let expected = if i == j { s } else { 0.0 };
                    assert!(
                        (product(&w[i], &w[j]) - expected).abs() < 1e-3 * s,
                        "case {case}: {i} {j}"
                    );
                }
            }
        }
        Ok(())
    }
}
