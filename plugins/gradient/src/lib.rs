//! Two methods that weigh objectives by the influence of their gradients, as mirror descent on the simplex with an
//! entropy regularizer: [`Gradient`] (arXiv 2509.11452) and [`Dynamic`], its variant in arXiv 2602.06869.
//!
//! From the Gramian G `[M, M]` of a batch's per-objective gradients, at learning rate η:
//! ```text
//! I    = G · 1                                     influence of each objective, [M]
//! a    = mean of s · I over `accumulation_steps` batches      s = 1 (gradient) or η (dynamic), [M]
//! w_m ← w_m exp(r a_m / μ) / Σ_k w_k exp(r a_k / μ)            r = η (gradient) or 1 (dynamic)
//! ```
//! In between the weights stay. `layers` makes the Gramian of the gradients of some parameters only. `clip_norm`
//! shortens each gradient to at most that norm first, for which the Gramian is enough. The weights mix the scores. A
//! weight that was above 0 stays above it, however large a step; weights and the running sum are in the checkpoint.

use moa_sdk::prelude::*;

mod dynamic;
mod gradient;

pub use dynamic::Dynamic;
pub use gradient::Gradient;

/// What steers the weights, the weights, and the sum of s · I over `batches` batches.
#[derive(Params, Serialize, Deserialize)]
struct Descent {
    /// first weight of each objective, in order; default: equal. They are >= 0 and sum to 1.
    #[param(weights)]
    weights: Vec<f64>,
    /// μ: the smaller, the faster the weights move.
    #[param(default = 1e-5, above = 0.0)]
    regularization: f64,
    /// the weights move once in this many batches, by the mean over them.
    #[param(default = 1, range = 1..)]
    accumulation_steps: u32,
    /// parts of parameter names: only gradients of parameters that contain one of them count; default: all.
    layers: Vec<String>,
    /// longest norm of an objective's gradient.
    #[param(above = 0.0)]
    clip_norm: Option<f64>,
    #[state(init = vec![0.0; setup.m()])]
    sum: Vec<f64>,
    #[state]
    batches: u32,
}

impl Descent {
    /// Adds s · I of a batch; after the last of `accumulation_steps` batches the weights move at the rate r.
    fn step(&mut self, gradients: &Gradients, s: f64, r: f64) -> Result<()> {
        let influence = math::influence(gradients.gram(), self.clip_norm)?; // [M]
        self.sum.iter_mut().zip(&influence).for_each(|(sum, i)| *sum += s * i);
        self.batches += 1;
        if self.batches >= self.accumulation_steps {
            let factor = r / self.regularization / f64::from(self.batches);
            let step: Vec<f64> = self.sum.iter().map(|sum| factor * sum).collect();
            self.weights = math::exponentiated_gradient(&self.weights, &step)
                .map_err(|error| error.hint("raise regularization, or set clip_norm"))?;
            (self.sum, self.batches) = (vec![0.0; self.weights.len()], 0);
        }
        Ok(())
    }
}

moa_sdk::export!(scalarizers: [Gradient, Dynamic]);
