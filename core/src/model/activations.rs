//! The decoder with gradients: one forward pass that is kept, and M backward passes from it.

use std::ops::Range;
use std::sync::Arc;

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
    saved: Vec<Saved>,     // of each layer; empty: computed again from `inputs`
    hidden: Vec<f32>,      // [T, D] after the last norm
    rstd: Vec<f32>,        // [T] of the last norm
    stats: TokenStats,     // [N]
}

impl Activations {
    /// The forward pass of a packed batch at `temperature` > 0.
    pub(super) fn new(
        weights: Weights,
        params: &Params,
        packed: &Arc<Packed>,
        temperature: f32,
        recompute: bool,
    ) -> Result<Self, ModelError> {
        weights.check_tokens(packed)?;
        let rope = RopeTable::new(&weights.architecture, packed.context());
        let (layers, d) = (weights.architecture.layers, weights.architecture.hidden);
        let (mut inputs, mut saved) = (Vec::with_capacity(layers + 1), Vec::with_capacity(layers));
        let mut x = weights.embed(packed.tokens());
        for layer in weights.layers(&rope) {
            let z = if recompute {
                layer.forward(packed, &x)
            } else {
                let (z, kept) = layer.forward_and_save(packed, &x);
                saved.push(kept);
                z
            };
            inputs.push(std::mem::replace(&mut x, z));
        }
        let (hidden, rstd) = final_norm::forward(&x, weights.norm(), weights.shape.eps);
        inputs.push(x);
        let inv_temperature = 1.0 / temperature;
        let (predictors, targets) = (packed.predictors(), packed.targets());
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
        let adapters = self.weights.adapter_places();
        let heads = sets.iter_mut().map(|set| part(set, &self.weights.places.head));
        let dhidden = head.backward(columns, &passes, adapters.is_none().then(|| heads.collect()));
        for (pass, dhidden) in passes.iter().zip(dhidden) {
            let numbered = sets.iter_mut().enumerate();
            let of_pass = numbered.filter(|(m, _)| pass.columns().contains(m)).map(|(_, set)| set);
            self.below_head(pass, &dhidden, adapters.as_deref(), &mut of_pass.collect::<Vec<_>>());
        }
        Ok(sets)
    }

    /// The gradients of what is trained below the head for each column of a pass, `[M]` sets in ascending order, from
    /// those of its hidden states `dhidden` `[R, D]`. `adapters` says where each layer's stand, if they are what is trained.
    fn below_head(
        &self,
        pass: &BackwardPass<'_>,
        dhidden: &[f32],
        adapters: Option<&[Range<usize>]>,
        sets: &mut [&mut GradientSet],
    ) {
        let (weights, d, m) = (&self.weights, self.weights.shape.hidden, pass.columns().len());
        let places = &weights.places;
        let last = pass.rows_of(&self.inputs[places.layers.len()], d);
        let rstd = pass.rows_of(&self.rstd, 1);
        let (mut dx, dnorm) = final_norm::backward(&last, weights.norm(), &rstd, dhidden, pass); // [R, D], [M, D]
        for (set, dnorm) in sets
            .iter_mut()
            .zip(dnorm.chunks_exact(d))
            .filter(|_| adapters.is_none())
        {
            part(set, &places.norm).copy_from_slice(dnorm);
        }
        let layers: Vec<_> = weights.layers(&self.rope).collect();
        let ranges = adapters.unwrap_or(&places.layers);
        for (i, (layer, range)) in layers.iter().zip(ranges).enumerate().rev() {
            let (some, again);
            let saved = match self.saved.get(i) {
                Some(saved) => saved,
                None => {
                    again = layer.forward_and_save(&self.packed, &self.inputs[i]).1;
                    &again
                }
            };
            let saved = match pass.ranges() {
                None => saved,
                Some(ranges) => {
                    some = saved.copy_ranges(&weights.shape, ranges);
                    &some
                }
            };
            let x = pass.rows_of(&self.inputs[i], d);
            let mut dw: Vec<&mut [f32]> = sets.iter_mut().map(|set| part(set, range)).collect();
            dx = layer.backward(pass, &x, saved, &dx, &mut dw);
        }
        if adapters.is_some() {
            return;
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
