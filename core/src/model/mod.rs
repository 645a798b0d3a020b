//! Language models from Hugging Face and GGUF files: tokenizer, weights, decoder with gradients, KV cache.
//!
//! Letters in shapes: P prompts, B responses, N response tokens, T tokens of a packed batch, R rows of a backward pass,
//! M columns of it, V vocabulary, D width, F width of the MLP, H query heads, K key-value heads of d values.
//!
//! ```text
//! what a model is     architecture, tokenizer, template;  files/ reads and writes them
//! strangers' texts    watched
//! what it is given    packed                   what it returns   token_stats
//! how it computes     decoder and activations chain the kernels of ops/;  backward_plan, cache
//! what others see     language_model, builtin
//! ```

mod activations;
mod adapter_files;
mod architecture;
mod backward_plan;
mod builtin;
mod cache;
mod decoder;
mod error;
mod files;
mod init;
mod language_model;
mod lora;
mod ops;
mod packed;
mod template;
mod token_stats;
mod tokenizer;
mod watched;

pub use activations::Activations;
pub use architecture::{Architecture, Family, RopeScaling};
pub use cache::Cache;
pub use decoder::Weights;
pub use error::ModelError;
pub use language_model::{Model, ModelFiles};
pub use lora::Lora;
pub use packed::{Group, Packed, Segment};
pub use token_stats::{Cotangent, TokenStats};
pub use tokenizer::{EncodedPrompt, PromptRules, Tokenizer, TokenizerFiles};
