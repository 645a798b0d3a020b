//! The decoder over a packed batch: forward, M backward passes chained by hand, and weights without gradients.

use std::sync::Arc;

use candle_core::{Device, Shape, Tensor, Var};

use super::error::ModelError;
use super::ops::head::{self, Cotangent, Head, Scored};
use super::ops::layer::{self, LayerShape, Saved};
use super::ops::rope::RopeTable;
use super::packed::Packed;
use super::pass::Pass;
use super::spec::Spec;

/// Fails for a token that the vocabulary does not have.
pub(crate) fn check_tokens(spec: &Spec, packed: &Packed) -> Result<(), ModelError> {
    let tokens = packed.tokens().iter().chain(packed.targets());
    match tokens.into_iter().find(|t| **t as usize >= spec.vocab) {
        None => Ok(()),
        Some(token) => Err(ModelError::Batch {
            what: "token",
            found: token.to_string(),
            expected: format!("less than the vocabulary's {}", spec.vocab),
        }),
    }
}

/// One forward pass: log-probabilities of the response tokens, and all that any number of backward passes need.
pub struct Forward {
    weights: Weights,
    params: Vec<(String, Shape)>,
    packed: Arc<Packed>,
    rope: RopeTable,
    inverse: f32,          // 1 / temperature
    inputs: Vec<Vec<f32>>, // of each layer and of the last norm, each [T, D]
    saved: Vec<Saved>,     // of each layer
    hidden: Vec<f32>,      // [T, D] after the last norm
    rstd: Vec<f32>,        // [T] of the last norm
    scored: Scored,
}

impl Forward {
    /// Of a packed batch at `temperature` > 0.
    pub fn new(
        spec: &Spec,
        params: &[(String, Var)],
        packed: &Arc<Packed>,
        temperature: f32,
    ) -> Result<Self, ModelError> {
        check_tokens(spec, packed)?;
        let weights = Weights::of(spec, params)?;
        let rope = RopeTable::new(spec, packed.context());
        let (mut inputs, mut saved) = (Vec::with_capacity(spec.layers + 1), Vec::with_capacity(spec.layers));
        let mut x = weights.embed(packed.tokens());
        for layer in &weights.layers {
            let (z, kept) = layer::forward(&weights.shape, layer, &rope, packed, &x, true);
            inputs.push(std::mem::replace(&mut x, z));
            saved.extend(kept);
        }
        let (hidden, rstd) = head::norm_rows(&x, &weights.norm, weights.shape.eps);
        inputs.push(x);
        let inverse = 1.0 / temperature;
        let (predictors, targets) = (packed.predictors(), packed.targets());
        let scored = head::score(&hidden, weights.head(), spec.hidden, predictors, targets, inverse);
        Ok(Forward {
            params: params
                .iter()
                .map(|(name, var)| (name.clone(), var.shape().clone()))
                .collect(),
            packed: packed.clone(),
            weights,
            rope,
            inverse,
            inputs,
            saved,
            hidden,
            rstd,
            scored,
        })
    }

    /// Log-probabilities and entropies as plain numbers [N].
    pub fn scored(&self) -> &Scored {
        &self.scored
    }

    /// Σₙ cotangent[n] · ∂ log pₙ / ∂ weight for every weight, in the model's order; `cotangent` [N] is the derivative
    /// of a loss by each log-probability.
    pub fn gradients(&self, cotangent: &[f32]) -> Result<Vec<Tensor>, ModelError> {
        Ok(self.columns(&[Cotangent::of(cotangent)])?.remove(0))
    }

    /// The gradients of M scalars, each by every weight in the model's order. A column costs what it reaches: groups
    /// in which it is zero everywhere (an objective that scores all completions of a prompt alike) are left out. Columns
    /// share the head's pass over the vocabulary, and those that are constant over each response (advantages, on policy)
    /// the way through the layers too.
    pub fn columns(&self, columns: &[Cotangent<'_>]) -> Result<Vec<Vec<Tensor>>, ModelError> {
        let n = self.scored.logprobs.len();
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
            d: self.weights.spec.hidden,
            predictors: self.packed.predictors(),
            targets: self.packed.targets(),
            inverse: self.inverse,
            scored: &self.scored,
        };
        let passes = Pass::plan(&self.packed, columns);
        let (dhidden, mut dheads) = head.backward(columns, &passes);
        let mut sets = vec![Vec::new(); columns.len()];
        for (pass, dhidden) in passes.iter().zip(dhidden) {
            let of_pass = pass.columns().iter().map(|&m| std::mem::take(&mut dheads[m])).collect();
            for (&m, set) in pass.columns().iter().zip(self.below_head(pass, &dhidden, of_pass)?) {
                sets[m] = set;
            }
        }
        Ok(sets)
    }

    /// From the gradients of the hidden states of a pass [R, D] and of the head's matrix for each of its columns [V, D]
    /// to those of all weights, for each of its columns.
    fn below_head(
        &self,
        pass: &Pass<'_>,
        dhidden: &[f32],
        mut dheads: Vec<Vec<f32>>,
    ) -> Result<Vec<Vec<Tensor>>, ModelError> {
        let (weights, d, m) = (&self.weights, self.weights.spec.hidden, pass.columns().len());
        let last = pass.rows(&self.inputs[weights.layers.len()], d);
        let rstd = pass.rows(&self.rstd, 1);
        let (mut dx, dnorm) = head::norm_backward(&last, &weights.norm, &rstd, dhidden, pass);
        let mut dlayers = Vec::with_capacity(weights.layers.len());
        for ((w, x), saved) in weights.layers.iter().zip(&self.inputs).zip(&self.saved).rev() {
            let some;
            let saved = match pass.ranges() {
                None => saved,
                Some(ranges) => {
                    some = saved.rows(&weights.shape, ranges);
                    &some
                }
            };
            let x = pass.rows(x, d);
            let (down, dw) = layer::backward(&weights.shape, w, &self.rope, pass, &x, saved, &dx);
            dx = down;
            dlayers.push(dw);
        }
        dlayers.reverse();
        let mut dembeds = match weights.spec.tied {
            true => std::mem::take(&mut dheads),
            false => vec![vec![0f32; weights.embed.len()]; m],
        };
        let rows = pass.packed().tokens().iter().zip(dx.chunks_exact(d));
        for ((&token, dx), factors) in rows.zip(pass.factors().chunks_exact(m)) {
            for (dembed, &factor) in dembeds.iter_mut().zip(factors).filter(|(_, factor)| **factor != 0.0) {
                let to = &mut dembed[token as usize * d..(token as usize + 1) * d];
                to.iter_mut().zip(dx).for_each(|(to, dx)| *to += factor * dx);
            }
        }
        let set = |k: usize| {
            let layers = dlayers.iter().map(|dw| dw[k].as_slice());
            let norm = &dnorm[k * d..(k + 1) * d];
            let head = dheads.get(k).map(Vec::as_slice);
            self.split(
                std::iter::once(dembeds[k].as_slice())
                    .chain(layers)
                    .chain([norm])
                    .chain(head),
            )
        };
        (0..m).map(set).collect()
    }

    /// Cuts gradients that stand one after the other, as the weights do, into one tensor for each weight.
    fn split<'a>(&self, parts: impl Iterator<Item = &'a [f32]>) -> Result<Vec<Tensor>, ModelError> {
        let mut tensors = Vec::with_capacity(self.params.len());
        let mut parts = parts;
        let mut rest: &[f32] = &[];
        for (name, shape) in &self.params {
            if rest.is_empty() {
                rest = parts.next().unwrap_or_default();
            }
            let Some((own, others)) = rest.split_at_checked(shape.elem_count()) else {
                return Err(ModelError::NoGradient { name: name.clone() });
            };
            tensors.push(Tensor::from_slice(own, shape.clone(), &Device::Cpu)?);
            rest = others;
        }
        Ok(tensors)
    }
}

/// Weights copied out of a model: what sampling, scoring and a frozen reference work with. No graph.
#[derive(Clone)]
pub struct Weights {
    pub(crate) spec: Spec,
    pub(crate) shape: LayerShape,
    pub(crate) embed: Vec<f32>,        // [V, D]
    pub(crate) layers: Vec<Vec<f32>>,  // each LayerShape::len
    pub(crate) norm: Vec<f32>,         // [D]
    pub(crate) head: Option<Vec<f32>>, // [V, D] unless tied
}

fn copy(vars: &[(String, Var)]) -> Result<Vec<f32>, ModelError> {
    let mut flat = Vec::with_capacity(vars.iter().map(|(_, var)| var.elem_count()).sum());
    for (_, var) in vars {
        super::ops::with_slice(var.as_tensor(), |values| {
            flat.extend_from_slice(values);
            Ok(())
        })?;
    }
    Ok(flat)
}

impl Weights {
    /// A copy of the weights as they are now.
    pub fn of(spec: &Spec, params: &[(String, Var)]) -> Result<Self, ModelError> {
        let per_layer = spec.parameters_per_layer();
        let end = 1 + spec.layers * per_layer;
        Ok(Weights {
            spec: spec.clone(),
            shape: LayerShape::new(spec),
            embed: copy(&params[..1])?,
            layers: params[1..end].chunks(per_layer).map(copy).collect::<Result<_, _>>()?,
            norm: copy(&params[end..=end])?,
            head: if spec.tied {
                None
            } else {
                Some(copy(&params[end + 1..])?)
            },
        })
    }

    /// The matrix of the head [V, D].
    pub(crate) fn head(&self) -> &[f32] {
        self.head.as_deref().unwrap_or(&self.embed)
    }

    /// Rows of the embedding [n, D].
    pub(crate) fn embed(&self, tokens: &[u32]) -> Vec<f32> {
        let d = self.spec.hidden;
        let mut x = Vec::with_capacity(tokens.len() * d);
        tokens
            .iter()
            .for_each(|t| x.extend_from_slice(&self.embed[*t as usize * d..(*t as usize + 1) * d]));
        x
    }

    /// Final hidden states [T, D].
    pub fn hidden(&self, packed: &Packed) -> Result<Vec<f32>, ModelError> {
        check_tokens(&self.spec, packed)?;
        let rope = RopeTable::new(&self.spec, packed.context());
        let mut x = self.embed(packed.tokens());
        for weights in &self.layers {
            x = layer::forward(&self.shape, weights, &rope, packed, &x, false).0;
        }
        Ok(head::norm_rows(&x, &self.norm, self.shape.eps).0)
    }

    /// Log-probabilities and entropies of the response tokens [N] at `temperature` > 0.
    pub fn score(&self, packed: &Packed, temperature: f32) -> Result<Scored, ModelError> {
        let hidden = self.hidden(packed)?;
        let d = self.spec.hidden;
        Ok(head::score(
            &hidden,
            self.head(),
            d,
            packed.predictors(),
            packed.targets(),
            1.0 / temperature,
        ))
    }

    /// Logits [T, V] of every row: for looking at small batches, as it holds them all.
    pub fn logits(&self, packed: &Packed) -> Result<Vec<f32>, ModelError> {
        let hidden = self.hidden(packed)?;
        let (d, v) = (self.spec.hidden, self.spec.vocab);
        let mut logits = vec![0f32; hidden.len() / d * v];
        use super::ops::gemm::{Threads, linear};
        linear(&hidden, self.head(), d, v, &mut logits, false, Threads::All);
        Ok(logits)
    }
}
