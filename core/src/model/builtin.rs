//! The model and the tokenizer inside the binary: data/tiny-math, made by `moa-host sft`.

use super::error::ModelError;
use super::language_model::{Model, ModelFiles};
use super::tokenizer::{Tokenizer, TokenizerFiles};

const CONFIG: &[u8] = include_bytes!("../../../data/tiny-math/model/config.json");
const WEIGHTS: &[u8] = include_bytes!("../../../data/tiny-math/model/model.safetensors");
const TOKENIZER: &[u8] = include_bytes!("../../../data/tiny-math/tokenizer.json");
const TOKENIZER_CONFIG: &[u8] = include_bytes!("../../../data/tiny-math/tokenizer_config.json");

const TOKENIZER_FILES: TokenizerFiles<'static> = TokenizerFiles {
    tokenizer: TOKENIZER,
    config: Some(TOKENIZER_CONFIG),
    template: None,
    model: [None, None],
};

impl Model {
    /// The model inside the binary.
    ///
    /// # Errors
    /// None in a binary that was built from a whole repository; a test loads it.
    pub fn embedded() -> Result<Self, ModelError> {
        Self::from_bytes(&ModelFiles {
            config: CONFIG,
            weights: WEIGHTS,
            tokenizer: TOKENIZER_FILES,
        })
    }
}

impl Tokenizer {
    /// The tokenizer inside the binary.
    ///
    /// # Errors
    /// As [`Model::embedded`].
    pub fn embedded() -> Result<Self, ModelError> {
        Self::from_bytes(&TOKENIZER_FILES)
    }
}
