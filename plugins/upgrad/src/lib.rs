//! Two methods whose step hurts no objective, by projection onto the cone {x : J x >= 0}, J `[M, D]` the objectives'
//! gradients: [`UpGrad`] projects each gradient and adds the projections, [`DualProj`] projects their sum. Both are in
//! Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization", arXiv 2406.16232; the second is from
//! Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning", arXiv 1706.08840.
//!
//! From the Gramian G `[M, M]` of a mini-batch, d_m = √G_mm, D = diag d, C = D⁻¹ G D⁻¹, and preference weights p `[M]`:
//! ```text
//! for each pull u:   ν = argmin ½ νᵀ (C + 1e-10 I) ν + (C D u)ᵀ ν  over ν >= 0
//! w = p + Σ_u D⁻¹ ν            pulls: p_i e_i for each i (upgrad), p (dualproj)
//! ```
//! A pull that hurts nobody stays as it is: without conflict the weights are p. They may be far above 1 where a short
//! gradient stands against long ones: that is what it takes not to hurt it. A zero gradient is left out.
//!
//! Departures from the released code (TorchJD): its problem has G / trace G + ρ I in place of C, ρ = 1e-4, so that a
//! gradient a thousand times shorter than another may still be hurt; `regularization` = ρ gives it. A trace below 1e-4
//! gives the plain mean there; nothing here depends on how large gradients are.

use moa_sdk::prelude::*;

mod dualproj;
mod upgrad;

pub use dualproj::DualProj;
pub use upgrad::UpGrad;

/// p `[M]`, and how exact the projection is.
#[derive(Params, Serialize, Deserialize)]
struct Cone {
    #[param(weights)]
    weights: Vec<f64>,
    /// the released code's ρ: above 0, the problem has G / trace G + ρ I in place of C.
    #[param(default = 0.0, range = 0.0..)]
    regularization: f64,
}

impl Cone {
    /// w `[M]` for pulls of `[M]` each.
    fn weigh(&self, gradients: &Gradients, pulls: &[Vec<f64>]) -> Result<Vec<f32>> {
        let (gram, p, rho) = (gradients.gram(), &self.weights, self.regularization);
        if rho > 0.0 && math::Directions::new(gram)?.k() > 0 && p.len() > 1 {
            let gram = math::Symmetric::new(gram)?;
            let trace: f64 = gram.diagonal().iter().sum();
            let a = gram.scaled(&vec![trace.sqrt().recip(); p.len()]).plus_ridge(rho);
            let nu = pulls.iter().map(|pull| math::nonnegative_minimum(&a, &a.times(pull)));
            return Ok(math::to_f32(sum(p, nu)));
        }
        let weights = math::correct(gram, p, |directions| {
            let (cosines, ridged) = (directions.cosines(), directions.ridged_cosines());
            let nu = pulls.iter().map(|pull| {
                let pull = directions.by_length(&directions.pick(pull));
                math::nonnegative_minimum(&ridged, &cosines.times(&pull))
            });
            Ok(directions.per_length(&sum(&vec![0.0; directions.k()], nu)))
        })?;
        Ok(math::to_f32(weights))
    }
}

/// `first` and all of `others`, added up.
fn sum(first: &[f64], others: impl Iterator<Item = Vec<f64>>) -> Vec<f64> {
    others.fold(first.to_vec(), |mut sum, other| {
        sum.iter_mut().zip(other).for_each(|(sum, x)| *sum += x);
        sum
    })
}

moa_sdk::export!(scalarizers: [UpGrad, DualProj]);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::{Value, json};
    use moa_sdk::testing;

    use super::*;

    /// The weights that a fresh plugin gives to the rows of `jacobian`.
    pub(crate) fn weights_of<S: Scalarizer>(params: &Value, jacobian: &[Vec<f64>]) -> Result<Vec<f64>> {
        let gram = math::gramian(jacobian);
        let mut plugin: S = testing::scalarizer(jacobian.len(), params)?;
        let found = plugin.weigh_gradients(&testing::gradients(1e-6, &gram, &vec![0.0; jacobian.len()])?)?;
        Ok(found.iter().map(|w| f64::from(*w)).collect())
    }

    fn size(g: &[f64]) -> f64 {
        g.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    /// J · update >= 0 within the rounding of f32 weights, no weight is below its preference, and without conflict the
    /// weights are the preference.
    pub(crate) fn no_conflict<S: Scalarizer>() -> Result<()> {
        let mut rng = Rng::new(12);
        let (mut conflicts, mut agreements) = (0, 0);
        for case in 0..3000 {
            let (m, n) = (2 + case % 7, 1 + rng.below(12));
            let scale = [0.0, 3.0][case / 7 % 2]; // lengths within 10^±scale
            let jacobian: Vec<Vec<f64>> = (0..m)
                .map(|_| {
                    let length = 10_f64.powf(scale * (2.0 * rng.uniform() - 1.0));
                    (0..n).map(|_| length * rng.normal()).collect()
                })
                .collect();
            let gram = math::gramian(&jacobian);
            let weights = weights_of::<S>(&json!({}), &jacobian)?;
            let preference = math::simplex_weights::<f64>(&[], m)?[0];
            assert!(weights.iter().all(|w| *w >= preference - 1e-9), "{weights:?}");
            if gram.iter().all(|g| *g >= 0.0) {
                assert!(weights.iter().all(|w| (w - preference).abs() < 1e-9), "{weights:?}");
                agreements += 1;
            }
            conflicts += usize::from(gram.iter().any(|g| *g < 0.0));
            let terms: f64 = weights.iter().zip(&jacobian).map(|(w, g)| w * size(g)).sum();
            for i in 0..m {
                let product: f64 = (0..m).map(|j| weights[j] * gram[i * m + j]).sum();
                assert!(
                    product >= -1e-6 * terms * size(&jacobian[i]),
                    "case {case}: {product}, {weights:?}"
                );
            }
        }
        assert!(
            conflicts > 1000 && agreements > 100,
            "{conflicts} conflicts, {agreements} agreements"
        );
        Ok(())
    }
}
