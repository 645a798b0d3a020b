//! MGDA: the direction along which no objective gets worse, the point of least norm in the convex hull of the
//! objectives' gradients (Désidéri, "Multiple-gradient descent algorithm (MGDA) for multiobjective optimization",
//! Comptes Rendus Mathématique 350, 2012; Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization",
//! arXiv 1810.04650, equation 3; as a baseline in arXiv 2602.06869).
//!
//! In each mini-batch, from the Gramian G `[M, M]` and the losses L `[M]`:
//! ```text
//! Ĝ_ij = G_ij / (d_i d_j)      d = 1 ("none"), √G_mm ("norm"), G_mm ("norm-squared"), |L_m| ("loss");
//!                              1 where that is 0
//! w    = argmin wᵀ Ĝ w  over the simplex              what `weights` reports, [M]
//! u_m  = (w_m / d_m) / Σ_k (w_k / d_k)                what the gradients are mixed with, [M]
//! ```
//! u makes Σ u_m g_m the least point of the scaled gradients up to its length, so that it is never against an
//! objective whatever the scaling. Where all gradients are zero the weights are equal; a single zero gradient is the
//! least point itself: nothing can be improved without a loss there.
//!
//! Departures from the released code: the minimum is exact. There, with more than two objectives, at most 200 steps
//! of projected gradient at the limit of stability, often without convergence; `compat = "ctwa-repo"` repeats them,
//! and the direction's length under "norm", Σ w_m g_m / d_m. There each rank also had weights of its own; here the
//! Gramian is of the whole mini-batch.

use moa_sdk::prelude::*;

/// What each gradient is divided by before the minimum is sought.
#[derive(Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
pub enum Normalize {
    /// Nothing.
    #[default]
    None,
    /// Its own norm.
    Norm,
    /// The square of its norm: GAPO's second scaling (arXiv 2507.01915), under which short gradients count more.
    NormSquared,
    /// The size of its loss.
    Loss,
}

/// How gradients are scaled and the minimum is found, and what it was.
#[derive(Params, Serialize, Deserialize)]
pub struct Mgda {
    /// what each gradient is divided by before the minimum is sought.
    normalize: Normalize,
    /// the released code's behaviour: its solver, which may stop before the minimum, and its length under "norm".
    #[param(choices = ["ctwa-repo"])] // yining610/ctwa
    compat: Option<String>,
    /// The last w `[M]`; equal before the first mini-batch.
    #[state(init = math::simplex_weights(&[], setup.m())?)]
    weights: Vec<f64>,
}

/// A norm or loss up to this is taken for 0; its square is still far from the smallest f64.
const ZERO: f64 = 1e-100;

#[scalarizer]
impl Scalarizer for Mgda {
    const NAME: &str = "mgda";
    const PAPER: &str = "Désidéri, Multiple-gradient descent algorithm (MGDA) for multiobjective optimization, 2012; Sener and Koltun, arXiv 1810.04650";
    // Orthogonal gradients of lengths 1 and 2: in proportion to 1 / length². Then g_1 = (−2, 1) against (1, 0):
    // w_0 = g_1·(g_1 − g_0) / |g_1 − g_0|² = (5 + 2) / 10.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn weigh_gradients(&mut self, gradients: &Gradients) -> Result<Vec<f32>> {
        let (m, gram) = (gradients.m(), gradients.gram());
        let mut divisors = match self.normalize {
            Normalize::None => vec![1.0; m],
            Normalize::Norm => gradients.norms(),
            Normalize::NormSquared => gradients.norms().iter().map(|norm| norm * norm).collect(),
            Normalize::Loss => gradients.losses().iter().map(|loss| loss.abs()).collect(),
        };
        divisors.iter_mut().filter(|d| **d <= ZERO).for_each(|d| *d = 1.0);
        let scaled: Vec<f64> = (0..m * m)
            .map(|at| gram.as_slice()[at] / divisors[at / m] / divisors[at % m])
            .collect();
        let scaled = Matrix64::new("the scaled Gramian", &scaled, m, m)?;
        let compat = self.compat.is_some();
        self.weights = match compat && m > 2 {
            true => released_solver(scaled),
            false => math::min_norm_point(scaled)?,
        };
        let mixed: Vec<f64> = self.weights.iter().zip(&divisors).map(|(w, d)| w / d).collect();
        let sum = if compat { 1.0 } else { mixed.iter().sum() };
        Ok(math::to_f32(mixed.iter().map(|u| u / sum)))
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(math::to_f32(&self.weights))
    }
}

/// Projected gradient with step 1 / (largest eigenvalue), at most 200 times, until a step is shorter than 1e-6.
fn released_solver(gram: Matrix64) -> Vec<f64> {
    let m = gram.rows();
    let length = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    // The largest eigenvalue, by repeated multiplication; from a start that no eigenvector is likely to be across.
    let mut vector: Vec<f64> = (0..m).map(|i| 1.0 + 0.1 * i as f64).collect();
    let mut largest = 0.0;
    for _ in 0..1000 {
        let size = length(&vector);
        vector = gram.times(&vector.iter().map(|x| x / size).collect::<Vec<f64>>());
        largest = length(&vector);
        if largest <= 0.0 {
            break;
        }
    }
    let step = 1.0 / largest.max(1e-6);
    let mut w = vec![1.0 / m as f64; m];
    for _ in 0..200 {
        let moved: Vec<f64> = w.iter().zip(gram.times(&w)).map(|(w, g)| w - step * 2.0 * g).collect();
        let next = math::project_to_simplex(&moved);
        let moved_by = length(&next.iter().zip(&w).map(|(a, b)| a - b).collect::<Vec<f64>>());
        w = next;
        if moved_by < 1e-6 {
            break;
        }
    }
    w
}

moa_sdk::export!(scalarizers: [Mgda]);

moa_sdk::testing::suite!(Mgda,
    golden = [
        "../../../tests/golden/mgda.jsonl",
        "../../../tests/golden/mgda-five-objectives.jsonl",
        "../../../tests/golden/methods/mgda-gapo-1.jsonl",
        "../../../tests/golden/methods/mgda-gapo-2.jsonl",
    ],
    params = [{}, {"normalize": "norm"}, {"normalize": "norm-squared"}, {"normalize": "loss"}, {"compat": "ctwa-repo"}],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::{Value, json};
    use moa_sdk::testing;

    /// The weights that a fresh plugin mixes the rows of `jacobian` with.
    fn mix(params: &Value, jacobian: &[Vec<f64>], losses: &[f64]) -> Result<Vec<f32>> {
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let gram: Vec<f64> = jacobian
            .iter()
            .flat_map(|a| jacobian.iter().map(|b| dot(a, b)))
            .collect();
        let mut plugin: Mgda = testing::scalarizer(jacobian.len(), params)?;
        plugin.weigh_gradients(&testing::gradients(1e-6, &gram, losses)?)
    }

    /// The mixed gradient has no negative product with any objective's, within the rounding of its f32 weights; the
    /// weights sum to 1.
    #[test]
    fn the_direction_is_never_against_an_objective() -> Result<()> {
        let mut rng = Rng::new(12);
        for case in 0..3000 {
            let (m, n) = (1 + case % 8, 1 + rng.below(12));
            let normalize = ["none", "norm", "loss", "norm-squared"][case % 4];
            let scale = [0.0, 3.0, 10.0][case / 4 % 3]; // lengths within 10^±scale
            let jacobian: Vec<Vec<f64>> = (0..m)
                .map(|_| {
                    let length = 10_f64.powf(scale * (2.0 * rng.uniform() - 1.0));
                    (0..n).map(|_| length * rng.normal()).collect()
                })
                .collect();
            let losses: Vec<f64> = (0..m).map(|_| rng.normal()).collect();
            let weights = mix(&json!({ "normalize": normalize }), &jacobian, &losses)?;
            let sum: f64 = weights.iter().map(|w| f64::from(*w)).sum();
            assert!(
                (sum - 1.0).abs() < 1e-6 && weights.iter().all(|w| *w >= 0.0),
                "{weights:?}"
            );
            let size = |g: &[f64]| g.iter().map(|x| x * x).sum::<f64>().sqrt();
            // What each parameter may be off by, were every weight rounded up or down.
            let terms: f64 = weights
                .iter()
                .zip(&jacobian)
                .map(|(w, g)| f64::from(*w) * size(g))
                .sum();
            for objective in &jacobian {
                let product: f64 = (0..n)
                    .map(|k| {
                        objective[k]
                            * weights
                                .iter()
                                .zip(&jacobian)
                                .map(|(w, g)| f64::from(*w) * g[k])
                                .sum::<f64>()
                    })
                    .sum();
                assert!(
                    product >= -1e-6 * terms * size(objective),
                    "{normalize}: {product} {jacobian:?} {weights:?}"
                );
            }
        }
        Ok(())
    }

    #[test]
    fn scaling_by_norm_and_loss_by_hand() -> Result<()> {
        // Orthogonal, lengths 1 and 2. Scaled to 1 each: w = (½, ½), u in proportion to (½, ¼).
        let jacobian = [vec![1.0, 0.0], vec![0.0, 2.0]];
        let near =
            |found: Vec<f32>, first: f32| (found[0] - first).abs() < 1e-6 && (found[1] + first - 1.0).abs() < 1e-6;
        assert!(near(
            mix(&json!({"normalize": "norm"}), &jacobian, &[1.0, 1.0])?,
            2.0 / 3.0
        ));
        // Losses −1 and 4: lengths 1 and ½, w = (1/5, 4/5), u in proportion to (1/5, 1/5).
        assert!(near(mix(&json!({"normalize": "loss"}), &jacobian, &[-1.0, 4.0])?, 0.5));
        // Released: not divided by the sum.
        let released = mix(
            &json!({"normalize": "norm", "compat": "ctwa-repo"}),
            &jacobian,
            &[1.0, 1.0],
        )?;
        assert_eq!(released, [0.5, 0.25]);
        Ok(())
    }

    /// The released solver finds easy minima and steps past the hard ones, of which the golden trace has some.
    #[test]
    fn the_released_solver_is_another_one() -> Result<()> {
        let gram = [2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0];
        let w = released_solver(Matrix64::new("gram", &gram, 3, 3)?);
        assert!(w.iter().all(|w| (w - 1.0 / 3.0).abs() < 1e-6));
        let golden = include_str!("../../../tests/golden/mgda.jsonl");
        let released = golden.replace("\"params\":{}", "\"params\":{\"compat\":\"ctwa-repo\"}");
        assert_ne!(golden, released);
        assert!(testing::replay::<Mgda>(&released).is_err());
        Ok(())
    }
}
