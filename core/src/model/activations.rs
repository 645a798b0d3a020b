//! The decoder with gradients: one forward pass that is kept, and M backward passes from it.

use std::ops::Range;
use std::sync::Arc;

use super::architecture::Architecture;
use super::backward_plan::plan;
use super::decoder::Weights;
use super::error::ModelError;
use super::ops::backward_pass::BackwardPass;
use super::ops::final_norm;
use super::ops::head::{self, Head};
use super::ops::layer::Saved;
use super::ops::rope::RopeTable;
use super::packed::Packed;
use super::token_stats::{Cotangent, TokenStats};
use crate::engine::{GradientSet, Layout, Params};

/// One forward pass: the statistics of the response tokens, and all that any number of backward passes need.
pub struct Activations {
    weights: Weights,
    trainable: Arc<Layout>,
    packed: Arc<Packed>,
    rope: RopeTable,
    inv_temperature: f32,  // 1 / temperature
    inputs: Vec<Vec<f32>>, // of each layer and of the last norm, each [T, D]
    saved: Vec<Saved>,     // of each layer
    hidden: Vec<f32>,      // [T, D] after the last norm
    rstd: Vec<f32>,        // [T] of the last norm
    stats: TokenStats,     // [N]
}

impl Activations {
    /// The forward pass of a packed batch at `temperature` > 0.
    pub(super) fn new(
        architecture: &Architecture,
        params: &Params,
        packed: &Arc<Packed>,
        temperature: f32,
    ) -> Result<Self, ModelError> {
        let weights = Weights::of(architecture, params.all());
        weights.check_tokens(packed)?;
        let rope = RopeTable::new(architecture, packed.context());
        let layers = architecture.layers;
        let (mut inputs, mut saved) = (Vec::with_capacity(layers + 1), Vec::with_capacity(layers));
        let mut x = weights.embed(packed.tokens());
        for layer in weights.layers(&rope) {
            let (z, kept) = layer.forward(packed, &x, true);
            inputs.push(std::mem::replace(&mut x, z));
            saved.extend(kept);
        }
        let (hidden, rstd) = final_norm::forward(&x, weights.norm(), weights.shape.eps);
        inputs.push(x);
        let inv_temperature = 1.0 / temperature;
        let (predictors, targets) = (packed.predictors(), packed.targets());
        let d = architecture.hidden;
        let stats = head::score(&hidden, weights.head(), d, predictors, targets, inv_temperature);
        Ok(Activations {
            trainable: params.trainable().layout().clone(),
            packed: packed.clone(),
            weights,
            rope,
            inv_temperature,
            inputs,
            saved,
            hidden,
            rstd,
            stats,
        })
    }

    /// Log-probabilities and entropies of the response tokens `[N]`.
    #[must_use]
    pub fn stats(&self) -> &TokenStats {
        &self.stats
    }

    /// The gradient of one scalar with respect to every weight, in the model's order: `Σₙ cotangent[n] · ∂ log pₙ / ∂ w`.
    /// `cotangent` `[N]` is the derivative of the scalar with respect to each log-probability.
    ///
    /// # Errors
    /// `cotangent` does not have N values.
    pub fn gradient(&self, cotangent: &[f32]) -> Result<GradientSet, ModelError> {
        Ok(self.gradients(&[Cotangent::of(cotangent)])?.remove(0))
    }

    /// The gradients of M scalars, each with respect to every weight in the model's order.
    ///
    /// Groups in which a column is zero (an objective that scores all completions of a prompt alike) are left out of
    /// its pass. All columns share the head's pass over the vocabulary. Columns that are constant over each response
    /// (advantages, on policy) share the pass through the layers, too.
    ///
    /// # Errors
    /// A column does not have N values.
    pub fn gradients(&self, columns: &[Cotangent<'_>]) -> Result<Vec<GradientSet>, ModelError> {
        let n = self.stats.logprobs.len();
        for column in columns {
            for values in std::iter::once(column.logprobs).chain(column.entropy) {
                if values.len() != n {
                    return Err(ModelError::Batch {
                        what: "cotangent",
                        found: format!("{} values", values.len()),
                        expected: format!("{n}, one for each response token"),
                    });
                }
            }
        }
        let head = Head {
            hidden: &self.hidden,
            w: self.weights.head(),
            d: self.weights.shape.hidden,
            predictors: self.packed.predictors(),
            targets: self.packed.targets(),
            inv_temperature: self.inv_temperature,
            stats: &self.stats,
        };
        let passes = plan(&self.packed, columns);
        let zeros = || GradientSet::zeros(self.trainable.clone());
        let mut sets: Vec<GradientSet> = columns.iter().map(|_| zeros()).collect();
        let mut dheads: Vec<&mut [f32]> = sets
            .iter_mut()
            .map(|set| part(set, &self.weights.places.head))
            .collect();
        let dhidden = head.backward(columns, &passes, &mut dheads);
        for (pass, dhidden) in passes.iter().zip(dhidden) {
            let numbered = sets.iter_mut().enumerate();
            let of_pass = numbered.filter(|(m, _)| pass.columns().contains(m)).map(|(_, set)| set);
            self.below_head(pass, &dhidden, &mut of_pass.collect::<Vec<_>>());
        }
        Ok(sets)
    }

    /// The gradients of all weights but the head's matrix for each column of a pass, `[M]` sets in ascending order, from
    /// those of its hidden states `dhidden` `[R, D]`.
    fn below_head(&self, pass: &BackwardPass<'_>, dhidden: &[f32], sets: &mut [&mut GradientSet]) {
        let (weights, d, m) = (&self.weights, self.weights.shape.hidden, pass.columns().len());
        let places = &weights.places;
        let last = pass.rows_of(&self.inputs[places.layers.len()], d);
        let rstd = pass.rows_of(&self.rstd, 1);
        let (mut dx, dnorm) = final_norm::backward(&last, weights.norm(), &rstd, dhidden, pass); // [R, D], [M, D]
        for (set, dnorm) in sets.iter_mut().zip(dnorm.chunks_exact(d)) {
            part(set, &places.norm).copy_from_slice(dnorm);
        }
        let layers: Vec<_> = weights.layers(&self.rope).collect();
        let kept = self.inputs.iter().zip(&self.saved);
        for ((layer, range), (x, saved)) in layers.iter().zip(&places.layers).zip(kept).rev() {
            let some;
            let saved = match pass.ranges() {
                None => saved,
                Some(ranges) => {
                    some = saved.copy_ranges(&weights.shape, ranges);
                    &some
                }
            };
            let x = pass.rows_of(x, d);
            let mut dw: Vec<&mut [f32]> = sets.iter_mut().map(|set| part(set, range)).collect();
            dx = layer.backward(pass, &x, saved, &dx, &mut dw);
        }
        let mut dembeds: Vec<&mut [f32]> = sets.iter_mut().map(|set| part(set, &places.embed)).collect();
        let rows = pass.packed().tokens().iter().zip(dx.chunks_exact(d));
        for ((&token, dx), factors) in rows.zip(pass.factors().chunks_exact(m)) {
            for (dembed, &factor) in dembeds.iter_mut().zip(factors).filter(|(_, factor)| **factor != 0.0) {
                let to = &mut dembed[token as usize * d..(token as usize + 1) * d];
                to.iter_mut().zip(dx).for_each(|(to, dx)| *to += factor * dx);
            }
        }
    }
}

/// One part of a set.
fn part<'a>(set: &'a mut GradientSet, range: &Range<usize>) -> &'a mut [f32] {
    &mut set.values_mut()[range.clone()]
}
