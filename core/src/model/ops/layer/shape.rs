//! Sizes of a layer and the layout of its weights.

use std::ops::Range;

use crate::model::architecture::Architecture;
use crate::model::ops::attention::Heads;
use crate::model::ops::lora::{LayerLora, LoraShape, Product, Site};
use crate::model::ops::rope::RopeTable;
use crate::num::to_f32;

/// Sizes of a layer, and where each weight stands in the layer's row of weights.
#[derive(Debug, Clone)]
pub(crate) struct LayerShape {
    /// Width of the hidden states, D.
    pub(crate) hidden: usize,
    /// Width of the MLP, F.
    pub(crate) intermediate: usize,
    /// Attention heads.
    pub(crate) heads: Heads,
    /// ε of both norms.
    pub(crate) eps: f32,
    pub(crate) norm1: Range<usize>,
    pub(crate) qkv: Range<usize>,
    pub(crate) bias: Range<usize>, // empty if there is none
    pub(crate) q_norm: Range<usize>,
    pub(crate) k_norm: Range<usize>,
    pub(crate) out: Range<usize>,
    pub(crate) norm2: Range<usize>,
    pub(crate) gate_up: Range<usize>,
    pub(crate) down: Range<usize>,
}

impl LayerShape {
    /// The layout of one layer, in the order of [`Architecture::parameters`].
    pub(crate) fn new(architecture: &Architecture) -> Self {
        let heads = Heads {
            query: architecture.heads,
            kv: architecture.kv_heads,
            dim: architecture.head_dim,
        };
        let (d, f) = (architecture.hidden, architecture.intermediate);
        let mut at = 0;
        let mut take = |len: usize| {
            at += len;
            at - len..at
        };
        LayerShape {
            hidden: d,
            intermediate: f,
            heads,
            eps: to_f32(architecture.rms_eps),
            norm1: take(d),
            qkv: take(heads.width() * d),
            bias: take(if architecture.qkv_bias { heads.width() } else { 0 }),
            q_norm: take(if architecture.qk_norm { heads.dim } else { 0 }),
            k_norm: take(if architecture.qk_norm { heads.dim } else { 0 }),
            out: take(heads.out() * d),
            norm2: take(d),
            gate_up: take(2 * f * d),
            down: take(d * f),
        }
    }

    /// Weights of the layer.
    pub(crate) fn weights(&self) -> usize {
        self.down.end
    }
}

/// A layer ready to run.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub(crate) shape: &'a LayerShape,
    /// All weights in a row, [`LayerShape::weights`] of them.
    pub(crate) weights: &'a [f32],
    pub(crate) rope: &'a RopeTable,
    /// Adapters of its products. With them its own weights have no gradients.
    pub(crate) lora: Option<LayerLora<'a>>,
}

impl<'a> Layer<'a> {
    /// One weight by its range.
    pub(super) fn weight(&self, range: &Range<usize>) -> &'a [f32] {
        &self.weights[range.clone()]
    }

    /// The product whose adapters are at `site`: the same four for every layer.
    fn product<'b>(shape: &LayerShape, site: &'b Site, which: Which) -> Product<'b> {
        let (d, f, heads) = (shape.hidden, shape.intermediate, shape.heads);
        let (inp, out) = match which {
            Which::Qkv => (d, heads.width()),
            Which::Out => (heads.out(), d),
            Which::GateUp => (d, 2 * f),
            Which::Down => (f, d),
        };
        Product { site, inp, out }
    }

    /// The adapters of one product, if it has any.
    pub(super) fn adapters(&self, which: Which) -> Option<(LayerLora<'a>, Product<'a>)> {
        let lora = self.lora?;
        let product = Self::product(self.shape, which.site(lora.shape), which);
        (!product.site.adapters.is_empty()).then_some((lora, product))
    }

    /// Values of a row of du, the gradient on the narrow side of a product's adapters.
    pub(super) fn du(&self, which: Which) -> usize {
        LayerLora::du(self.lora.as_ref(), |shape| which.site(shape))
    }

    /// Whether queries and keys have a norm of their own.
    pub(super) fn has_qk_norm(&self) -> bool {
        !self.shape.q_norm.is_empty()
    }
}

/// One of the products of a layer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Queries, keys and values.
    Qkv,
    /// Attention's output.
    Out,
    /// Gate and up.
    GateUp,
    /// Down.
    Down,
}

impl Which {
    fn site(self, shape: &LoraShape) -> &Site {
        match self {
            Which::Qkv => &shape.qkv,
            Which::Out => &shape.out,
            Which::GateUp => &shape.gate_up,
            Which::Down => &shape.down,
        }
    }
}
