//! Where numbers live: flat f32 buffers with named ranges, and the arithmetic over whole ones.
//!
//! ```text
//! layout      names, shapes and ranges of a buffer
//! arena       one buffer: parameters, or the optimizer's moments; copied when it is written while somebody reads it
//! params      the parameters of a model: all of them for files, the trainable ones for optimizer, undo and Gramian
//! gradients   one buffer of gradients for each scalar: sums, weighted sums, the Gramian
//! tensor_file buffers in safetensors files
//! ```
//! Kernels get slices, files get slices, and no other module keeps parameters in a type of its own. A type of the tensor
//! library stands in no signature here.

mod arena;
mod error;
mod gradients;
mod layout;
mod params;
pub(crate) mod tensor_file;

pub use arena::Arena;
pub use error::EngineError;
pub use gradients::{GradientSet, gramian};
pub use layout::{Layout, Slot};
pub use params::Params;
