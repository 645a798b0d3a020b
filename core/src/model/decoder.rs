//! The decoder without gradients: the weights as they are at one moment, and a forward pass that keeps nothing.

use std::ops::Range;

use super::architecture::Architecture;
use super::error::ModelError;
use super::lora::Lora;
use super::ops::gemm::{Threads, linear};
use super::ops::layer::{Layer, LayerShape};
use super::ops::lora::{LayerLora, LoraShape};
use super::ops::rope::RopeTable;
use super::ops::{final_norm, head};
use super::packed::Packed;
use super::token_stats::TokenStats;
use crate::engine::Arena;

/// Where the decoder's parts stand in the flat buffer of [`Architecture::parameters`].
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) embed: Range<usize>,       // [V, D]
    pub(super) layers: Vec<Range<usize>>, // each LayerShape::weights
    pub(super) norm: Range<usize>,        // [D]
    pub(super) head: Range<usize>,        // [V, D]; the embedding if tied
}

impl Places {
    pub(super) fn new(architecture: &Architecture, shape: &LayerShape) -> Self {
        let embed = 0..architecture.vocab * architecture.hidden;
        let layer = |i: usize| embed.end + i * shape.weights()..embed.end + (i + 1) * shape.weights();
        let end = layer(architecture.layers).start;
        let norm = end..end + architecture.hidden;
        Places {
            layers: (0..architecture.layers).map(layer).collect(),
            head: match architecture.tied {
                true => embed.clone(),
                false => norm.end..norm.end + embed.len(),
            },
            norm,
            embed,
        }
    }
}

/// A model's weights as they are now: what sampling, scoring, training and a reference policy work with. They stay as
/// they are when the model is trained.
#[derive(Clone)]
pub struct Weights {
    pub(super) architecture: Architecture,
    pub(super) shape: LayerShape,
    pub(super) places: Places,
    params: Arena,
    adapters: Option<Adapters>,
}

/// Adapters as they are at one moment, and how each layer's stand in its row of them.
#[derive(Clone)]
struct Adapters {
    shape: LoraShape,
    values: Arena,
}

impl Weights {
    /// The weights as they are now. Nothing is copied.
    pub(super) fn of(architecture: &Architecture, params: &Arena) -> Self {
        let shape = LayerShape::new(architecture);
        Weights {
            architecture: architecture.clone(),
            places: Places::new(architecture, &shape),
            shape,
            params: params.clone(),
            adapters: None,
        }
    }

    /// The same weights with adapters beside them.
    pub(super) fn with_adapters(self, lora: &Lora, adapters: &Arena) -> Self {
        let shape = lora.shape(&self.architecture);
        let values = adapters.clone();
        Weights {
            adapters: Some(Adapters { shape, values }),
            ..self
        }
    }

    /// Where each layer's adapters stand in their buffer; none if there are none.
    pub(super) fn adapter_places(&self) -> Option<Vec<Range<usize>>> {
        let len = self.adapters.as_ref()?.shape.len;
        Some((0..self.architecture.layers).map(|i| i * len..(i + 1) * len).collect())
    }

    /// The embedding `[V, D]`.
    fn embedding(&self) -> &[f32] {
        &self.params.values()[self.places.embed.clone()]
    }

    /// The weight of the last norm `[D]`.
    pub(super) fn norm(&self) -> &[f32] {
        &self.params.values()[self.places.norm.clone()]
    }

    /// The matrix of the head `[V, D]`.
    pub(super) fn head(&self) -> &[f32] {
        &self.params.values()[self.places.head.clone()]
    }

    /// Rows of the embedding [n, D].
    pub(super) fn embed(&self, tokens: &[u32]) -> Vec<f32> {
        let d = self.architecture.hidden;
        let (embedding, mut x) = (self.embedding(), Vec::with_capacity(tokens.len() * d));
        tokens
            .iter()
            .for_each(|t| x.extend_from_slice(&embedding[*t as usize * d..(*t as usize + 1) * d]));
        x
    }

    /// The layers, ready to run with a table of positions.
    pub(super) fn layers<'a>(&'a self, rope: &'a RopeTable) -> impl DoubleEndedIterator<Item = Layer<'a>> {
        self.places.layers.iter().enumerate().map(move |(i, range)| Layer {
            shape: &self.shape,
            weights: &self.params.values()[range.clone()],
            rope,
            lora: self.adapters.as_ref().map(|Adapters { shape, values }| LayerLora {
                shape,
                weights: &values.values()[i * shape.len..(i + 1) * shape.len],
            }),
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
            x = layer.forward(packed, &x);
        }
        Ok(final_norm::forward(&x, self.norm(), self.shape.eps).0)
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
