//! The model and tokenizer compiled into the binary (data/tiny-math, made by `moa-host sft`), and new models of the sizes
//! that a config names.

use super::{Family, Model, ModelError, ModelFiles, Spec, Tokenizer, TokenizerFiles};
use crate::{config, data::PromptText};

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

    /// One line: family, parameters, layers, width, vocabulary.
    #[must_use]
    pub fn describe(&self) -> String {
        let spec = &self.spec;
        let parameters = spec.size() as f64;
        let size = if parameters < 1e6 {
            format!("{:.0} k", parameters / 1e3)
        } else {
            format!("{:.0} M", parameters / 1e6)
        };
        format!(
            "{} with {size} parameters ({} layers, width {}, vocabulary {})",
            spec.family.model_type(),
            spec.layers,
            spec.hidden,
            spec.vocab
        )
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

    /// A prompt as the model reads it: the text after the chat template, and its tokens.
    ///
    /// # Errors
    /// The template refuses a message, or the text cannot be encoded.
    pub fn prompt(&self, prompt: &PromptText) -> Result<(String, Vec<u32>), ModelError> {
        let text = match prompt {
            PromptText::Text(text) => self.render_text(text)?,
            PromptText::Messages(messages) => {
                let pairs: Vec<(&str, &str)> = messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
                self.render_messages(&pairs)?
            }
        };
        let tokens = self.encode(&text, self.prompt_needs_special())?;
        Ok((text, tokens))
    }
}

impl Spec {
    /// The sizes of `[sft.fresh]`.
    #[must_use]
    pub fn fresh(sizes: &config::FreshModel) -> Self {
        let family = sizes.family;
        Self {
            family,
            vocab: sizes.vocab,
            hidden: sizes.width,
            layers: sizes.layers,
            heads: sizes.heads,
            kv_heads: sizes.kv_heads,
            head_dim: sizes.width / sizes.heads,
            intermediate: sizes.mlp,
            rope_theta: sizes.rope_base,
            rope_scaling: None,
            rms_eps: 1e-6,
            tied: sizes.tied,
            qkv_bias: family == Family::Qwen2,
            qk_norm: family == Family::Qwen3,
            max_positions: sizes.max_positions,
        }
    }
}
