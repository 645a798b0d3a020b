//! The decoder over a packed batch, differentiable through candle: hidden states, then log-probabilities.

use std::sync::{Arc, OnceLock};

use candle_core::{Device, Tensor, Var};

use super::error::ModelError;
use super::ops::head::{self, LogProbHead, RmsNorm, Scored};
use super::ops::layer::{self, LayerShape};
use super::ops::layer_op::DecoderLayer;
use super::ops::rope::RopeTable;
use super::packed::Packed;
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

/// Final hidden states [T, D], after the last norm, with a graph back to every weight of `params`.
pub(crate) fn hidden(spec: &Spec, params: &[(String, Var)], packed: &Arc<Packed>) -> Result<Tensor, ModelError> {
    check_tokens(spec, packed)?;
    let shape = Arc::new(LayerShape::new(spec));
    let rope = Arc::new(RopeTable::new(spec, packed.context()));
    let tokens = Tensor::from_slice(packed.tokens(), packed.tokens().len(), &Device::Cpu)?;
    let mut x = params[0].1.index_select(&tokens, 0)?; // [T, D]
    let per_layer = spec.parameters_per_layer();
    for layer in 0..spec.layers {
        let first = 1 + layer * per_layer;
        let flat: Vec<Tensor> = params[first..first + per_layer]
            .iter()
            .map(|(_, var)| var.flatten_all())
            .collect::<Result<_, _>>()?;
        let weights = Tensor::cat(&flat, 0)?;
        x = x.apply_op2(&weights, DecoderLayer::new(shape.clone(), rope.clone(), packed.clone()))?;
    }
    let norm = &params[1 + spec.layers * per_layer].1;
    Ok(x.apply_op2(norm.as_tensor(), RmsNorm::new(spec.rms_eps))?)
}

/// The matrix of the head [V, D]: its own, or the embedding.
pub(crate) fn head_matrix<'a>(spec: &Spec, params: &'a [(String, Var)]) -> &'a Tensor {
    let index = if spec.tied { 0 } else { params.len() - 1 };
    params[index].1.as_tensor()
}

/// One differentiable forward: log-probabilities of the response tokens, ready for any number of backward passes.
pub struct Forward {
    /// log p of each response token at the temperature [N], with a graph to every weight.
    pub logprobs: Tensor,
    scored: Arc<OnceLock<Scored>>,
    params: Vec<(String, Tensor)>,
}

impl Forward {
    /// Of a packed batch at `temperature` > 0.
    pub fn new(
        spec: &Spec,
        params: &[(String, Var)],
        packed: &Arc<Packed>,
        temperature: f32,
    ) -> Result<Self, ModelError> {
        let hidden = hidden(spec, params, packed)?;
        let op = LogProbHead::new(packed.clone(), temperature);
        let scored = op.scored();
        let logprobs = hidden.apply_op2(head_matrix(spec, params), op)?;
        Ok(Forward {
            logprobs,
            scored,
            params: params
                .iter()
                .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
                .collect(),
        })
    }

    /// Log-probabilities and entropies as plain numbers [N].
    pub fn scored(&self) -> &Scored {
        // set by the op's forward, which ran in `new`
        static EMPTY: Scored = Scored {
            logprobs: Vec::new(),
            entropy: Vec::new(),
            lse: Vec::new(),
        };
        self.scored.get().unwrap_or(&EMPTY)
    }

    /// Σₙ cotangent[n] · ∂ log pₙ / ∂ weight for every weight, in the model's order; `cotangent` [N] is the derivative
    /// of a loss by each log-probability. May be called once for each of M objectives.
    pub fn gradients(&self, cotangent: &[f32]) -> Result<Vec<Tensor>, ModelError> {
        let n = self.logprobs.elem_count();
        if cotangent.len() != n {
            return Err(ModelError::Batch {
                what: "cotangent",
                found: format!("{} values", cotangent.len()),
                expected: format!("{n}, one for each response token"),
            });
        }
        let cotangent = Tensor::from_slice(cotangent, n, &Device::Cpu)?;
        let mut store = (&self.logprobs * cotangent)?.sum_all()?.backward()?;
        self.params
            .iter()
            .map(|(name, param)| {
                store
                    .remove(param)
                    .ok_or_else(|| ModelError::NoGradient { name: name.clone() })
            })
            .collect()
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
