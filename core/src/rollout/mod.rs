//! Sampling completions, and `Policy`, the one boundary between the algorithm and the tensors.

mod policy;
mod rollouts;
mod sampler;

pub use crate::engine::{GradientSet, gramian};
pub use policy::{FinishedGroup, FinishedResponse, Forward, Policy, PolicyError, ReferencePolicy};
pub use rollouts::Rollouts;
pub use sampler::{Sampling, Stream, draw};
