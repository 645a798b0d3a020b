//! Hugging Face and GGUF models: tokenizer, weights, differentiable decoder, KV cache.
//!
//! Letters: P prompts, B responses, N response tokens, T tokens of a packed batch, V vocabulary, D width.

mod error;

mod spec;

mod template;

mod tokenizer;

mod packed;

mod pass;

pub mod ops;

mod decoder;

mod cache;

mod init;

mod load;

mod gguf_tokenizer;

mod gguf;

mod hub;

mod save;

mod causal;

mod embedded;

pub use cache::Cache;
pub use causal::{Model, ModelFiles};
pub use decoder::{Forward, Weights};
pub use error::ModelError;
pub use ops::head::{Cotangent, Scored};
pub use packed::{Group, Packed, Segment};
pub use spec::{Family, RopeScaling, Spec};
pub use tokenizer::{Tokenizer, TokenizerFiles};
