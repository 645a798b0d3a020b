//! What a decoder is made of: its sizes, its switches, and the names and shapes of its weights.

use crate::config;
use crate::engine::Layout;

pub use crate::config::Family;

impl Family {
    /// The name in config.json's `architectures`.
    #[must_use]
    pub fn architecture(self) -> &'static str {
        match self {
            Family::Llama => "LlamaForCausalLM",
            Family::Mistral => "MistralForCausalLM",
            Family::Qwen2 => "Qwen2ForCausalLM",
            Family::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    /// The name in config.json's `model_type` and in a GGUF's `general.architecture`.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Family::Llama => "llama",
            Family::Mistral => "mistral",
            Family::Qwen2 => "qwen2",
            Family::Qwen3 => "qwen3",
        }
    }
}

/// How rotary frequencies change for long contexts.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// All positions divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// YaRN (Peng et al. 2023, arXiv 2309.00071): fast rotations stay, slow ones are divided by a factor, between them it is a
    /// linear blend; queries and keys are scaled.
    Yarn {
        /// Divides the low frequencies.
        factor: f64,
        /// Scales cosines and sines.
        attention_factor: f64,
        /// Rotations within the original context from which a frequency stays.
        beta_fast: f64,
        /// Rotations up to which it is divided.
        beta_slow: f64,
        /// Whether the ends of the blend are whole dimensions.
        truncate: bool,
        /// Context the model was first trained with.
        original_max_positions: usize,
    },
    /// Llama 3.1: long wavelengths are divided, short ones stay, those between are blended.
    Llama3 {
        /// Divides the low frequencies.
        factor: f64,
        /// Wavelengths above original / this are divided.
        low_freq_factor: f64,
        /// Wavelengths below original / this are kept.
        high_freq_factor: f64,
        /// Context the model was first trained with.
        original_max_positions: usize,
    },
}

/// Sizes and switches of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// Its family.
    pub family: Family,
    /// Vocabulary V.
    pub vocab: usize,
    /// Width D.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads, a divisor of `heads`.
    pub kv_heads: usize,
    /// Values of a head.
    pub head_dim: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Their scaling.
    pub rope_scaling: Option<RopeScaling>,
    /// ε of the RMS norms.
    pub rms_eps: f64,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// Biases on the query, key and value projections.
    pub qkv_bias: bool,
    /// RMS norm of queries and keys.
    pub qk_norm: bool,
    /// Longest sequence that the model is made for, in tokens.
    pub max_positions: usize,
}

impl Architecture {
    /// The architecture that a config's `[sft.fresh]` names.
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

    /// Every weight: its Hugging Face name and its shape, in the order in which the model keeps them: embedding,
    /// layers, last norm, head.
    #[must_use]
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let (d, f) = (self.hidden, self.intermediate);
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let mut list = vec![("model.embed_tokens.weight".to_string(), vec![self.vocab, d])];
        for layer in 0..self.layers {
            let mut push = |name: &str, shape: &[usize]| {
                list.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
            };
            push("input_layernorm.weight", &[d]);
            push("self_attn.q_proj.weight", &[q, d]);
            push("self_attn.k_proj.weight", &[kv, d]);
            push("self_attn.v_proj.weight", &[kv, d]);
            if self.qkv_bias {
                push("self_attn.q_proj.bias", &[q]);
                push("self_attn.k_proj.bias", &[kv]);
                push("self_attn.v_proj.bias", &[kv]);
            }
            if self.qk_norm {
                push("self_attn.q_norm.weight", &[self.head_dim]);
                push("self_attn.k_norm.weight", &[self.head_dim]);
            }
            push("self_attn.o_proj.weight", &[d, q]);
            push("post_attention_layernorm.weight", &[d]);
            push("mlp.gate_proj.weight", &[f, d]);
            push("mlp.up_proj.weight", &[f, d]);
            push("mlp.down_proj.weight", &[d, f]);
        }
        list.push(("model.norm.weight".to_string(), vec![d]));
        if !self.tied {
            list.push(("lm_head.weight".to_string(), vec![self.vocab, d]));
        }
        list
    }

    /// The layout of [`Architecture::parameters`].
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout::new(self.parameters())
    }

    /// Number of trainable values.
    #[must_use]
    pub fn size(&self) -> usize {
        self.layout().len()
    }
}
