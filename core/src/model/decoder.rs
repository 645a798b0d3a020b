//! The decoder without gradients: weights copied out of a model, and a forward pass that keeps nothing.

use super::architecture::Architecture;
use super::error::ModelError;
use super::ops::gemm::{Threads, linear};
use super::ops::layer::{Layer, LayerShape};
use super::ops::rope::RopeTable;
use super::ops::{final_norm, head};
use super::packed::Packed;
use super::params::{Params, copy_flat};
use super::token_stats::TokenStats;

/// Weights copied out of a model: what sampling, scoring and a reference policy work with.
#[derive(Clone)]
pub struct Weights {
    pub(super) architecture: Architecture,
    pub(super) shape: LayerShape,
    pub(super) embed: Vec<f32>,        // [V, D]
    pub(super) layers: Vec<Vec<f32>>,  // each LayerShape::weights
    pub(super) norm: Vec<f32>,         // [D]
    pub(super) head: Option<Vec<f32>>, // [V, D] unless tied
}

impl Weights {
    /// A copy of the weights as they are now.
    pub(super) fn of(architecture: &Architecture, params: &Params) -> Result<Self, ModelError> {
        let per_layer = architecture.parameters_per_layer();
        let end = 1 + architecture.layers * per_layer;
        let layers = params[1..end].chunks(per_layer).map(copy_flat);
        Ok(Weights {
            architecture: architecture.clone(),
            shape: LayerShape::new(architecture),
            embed: copy_flat(&params[..1])?,
            layers: layers.collect::<Result<_, _>>()?,
            norm: copy_flat(&params[end..=end])?,
            head: match architecture.tied {
                true => None,
                false => Some(copy_flat(&params[end + 1..])?),
            },
        })
    }

    /// The matrix of the head `[V, D]`.
    pub(super) fn head(&self) -> &[f32] {
        self.head.as_deref().unwrap_or(&self.embed)
    }

    /// Rows of the embedding [n, D].
    pub(super) fn embed(&self, tokens: &[u32]) -> Vec<f32> {
        let d = self.architecture.hidden;
        let mut x = Vec::with_capacity(tokens.len() * d);
        tokens
            .iter()
            .for_each(|t| x.extend_from_slice(&self.embed[*t as usize * d..(*t as usize + 1) * d]));
        x
    }

    /// The layers, ready to run with a table of positions.
    pub(super) fn layers<'a>(&'a self, rope: &'a RopeTable) -> impl DoubleEndedIterator<Item = Layer<'a>> {
        self.layers.iter().map(move |weights| Layer {
            shape: &self.shape,
            weights,
            rope,
        })
    }

    /// Fails for a token that the vocabulary does not have.
    pub(super) fn check_tokens(&self, packed: &Packed) -> Result<(), ModelError> {
        let vocab = self.architecture.vocab;
        let mut tokens = packed.tokens().iter().chain(packed.targets());
        match tokens.find(|t| **t as usize >= vocab) {
            None => Ok(()),
            Some(token) => Err(ModelError::Batch {
                what: "token",
                found: token.to_string(),
                expected: format!("less than the vocabulary's {vocab}"),
            }),
        }
    }

    /// Hidden states after the last norm `[T, D]`.
    ///
    /// # Errors
    /// A token is beyond the vocabulary.
    pub fn hidden(&self, packed: &Packed) -> Result<Vec<f32>, ModelError> {
        self.check_tokens(packed)?;
        let rope = RopeTable::new(&self.architecture, packed.context());
        let mut x = self.embed(packed.tokens());
        for layer in self.layers(&rope) {
            x = layer.forward(packed, &x, false).0;
        }
        Ok(final_norm::forward(&x, &self.norm, self.shape.eps).0)
    }

    /// Log-probabilities and entropies of the response tokens `[N]` at `temperature` > 0.
    ///
    /// # Errors
    /// A token is beyond the vocabulary.
    pub fn score(&self, packed: &Packed, temperature: f32) -> Result<TokenStats, ModelError> {
        let hidden = self.hidden(packed)?;
        Ok(head::score(
            &hidden,
            self.head(),
            self.architecture.hidden,
            packed.predictors(),
            packed.targets(),
            1.0 / temperature,
        ))
    }

    /// Logits of every row `[T, V]`: for small batches, as they are all in memory at once.
    ///
    /// # Errors
    /// A token is beyond the vocabulary.
    pub fn logits(&self, packed: &Packed) -> Result<Vec<f32>, ModelError> {
        let hidden = self.hidden(packed)?;
        let (d, v) = (self.architecture.hidden, self.architecture.vocab);
        let mut logits = vec![0f32; hidden.len() / d * v];
        linear(&hidden, self.head(), d, v, &mut logits, false, Threads::All);
        Ok(logits)
    }
}
