//! One decoder layer, forward and backward, on hidden states `[T, D]` and the layer's weights in a row:
//! y = x + attention(norm₁(x)), z = y + mlp(norm₂(y)).
//!
//! Dense work runs in tasks of rows, attention by group.

mod backward;
mod forward;
mod shape;

pub(crate) use forward::{AttentionInputs, LayerOutputs, Saved};
pub(crate) use shape::{Layer, LayerShape};
