//! A model's sizes: read from and written to Hugging Face's config.json.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::error::ModelError;

pub use crate::config::Family;

impl Family {
    /// The name in config.json's `architectures`.
    pub fn architecture(self) -> &'static str {
        match self {
            Family::Llama => "LlamaForCausalLM",
            Family::Qwen2 => "Qwen2ForCausalLM",
            Family::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    /// The name in config.json's `model_type` and in a GGUF's `general.architecture`.
    pub fn model_type(self) -> &'static str {
        match self {
            Family::Llama => "llama",
            Family::Qwen2 => "qwen2",
            Family::Qwen3 => "qwen3",
        }
    }

    /// The family of that `model_type`, or an error that names the known ones.
    pub(crate) fn named(name: &str, path: &Path) -> Result<Self, ModelError> {
        Family::ALL
            .iter()
            .copied()
            .find(|f| f.model_type() == name || f.architecture() == name)
            .ok_or_else(|| ModelError::Architecture {
                path: path.to_path_buf(),
                found: name.to_string(),
                known: Family::ALL
                    .iter()
                    .map(|f| f.architecture())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }
}

/// Changes of the rotary frequencies for long contexts.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// All positions divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3.1: long wavelengths divided, short ones kept, a blend between.
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
pub struct Spec {
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
    /// Longest sequence the model is meant for.
    pub max_positions: usize,
}

/// Reads keys of one JSON object and names them in errors.
struct Keys<'a> {
    path: &'a Path,
    object: &'a Map<String, Value>,
}

impl Keys<'_> {
    fn get<T>(&self, key: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, ModelError> {
        match self.object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| ModelError::BadValue {
                path: self.path.to_path_buf(),
                key: key.to_string(),
                found: value.to_string(),
                expected: expected.to_string(),
            }),
        }
    }

    fn count(&self, key: &str) -> Result<Option<usize>, ModelError> {
        self.get(key, "a whole number above 0", |v| {
            v.as_u64().and_then(|v| usize::try_from(v).ok()).filter(|v| *v > 0)
        })
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.get(key, "a number above 0", |v| v.as_f64().filter(|v| *v > 0.0))
    }

    fn need<T>(&self, key: &str, expected: &str, value: Option<T>) -> Result<T, ModelError> {
        value.ok_or_else(|| ModelError::MissingKey {
            path: self.path.to_path_buf(),
            key: key.to_string(),
            expected: expected.to_string(),
        })
    }

    fn need_count(&self, key: &str) -> Result<usize, ModelError> {
        self.need(key, "a whole number above 0", self.count(key)?)
    }

    fn need_number(&self, key: &str) -> Result<f64, ModelError> {
        self.need(key, "a number above 0", self.number(key)?)
    }
}

impl Spec {
    /// Reads the text of a config.json; `path` is for messages.
    pub fn from_config(text: &str, path: &Path) -> Result<Self, ModelError> {
        let value: Value = serde_json::from_str(text).map_err(|e| ModelError::file(path, e))?;
        let Value::Object(object) = &value else {
            return Err(ModelError::file(path, "expected a JSON object"));
        };
        let keys = Keys { path, object };
        let architectures = keys.get("architectures", "a list of names", |v| {
            v.as_array().map(|list| {
                list.iter()
                    .filter_map(|v| v.as_str().map(String::from))
                    .collect::<Vec<_>>()
            })
        })?;
        let name = match architectures.and_then(|list| list.first().cloned()) {
            Some(name) => name,
            None => keys.need(
                "architectures",
                "a list such as [\"LlamaForCausalLM\"]",
                keys.get("model_type", "a name", |v| v.as_str().map(String::from))?,
            )?,
        };
        let family = Family::named(&name, path)?;
        let flag = |key: &str| keys.get(key, "true or false", Value::as_bool);
        let (hidden, heads) = (keys.need_count("hidden_size")?, keys.need_count("num_attention_heads")?);
        let bad = |key: &str, found: String, expected: &str| ModelError::BadValue {
            path: path.to_path_buf(),
            key: key.to_string(),
            found,
            expected: expected.to_string(),
        };
        let head_dim = match keys.count("head_dim")? {
            Some(dim) => dim,
            None if family == Family::Qwen3 => keys.need_count("head_dim")?,
            None if hidden % heads == 0 => hidden / heads,
            None => {
                return Err(bad(
                    "num_attention_heads",
                    heads.to_string(),
                    "a divisor of hidden_size",
                ));
            }
        };
        if head_dim % 2 != 0 {
            return Err(bad("head_dim", head_dim.to_string(), "an even number"));
        }
        let kv_heads = keys.count("num_key_value_heads")?.unwrap_or(heads);
        if heads % kv_heads != 0 {
            return Err(bad(
                "num_key_value_heads",
                kv_heads.to_string(),
                "a divisor of num_attention_heads",
            ));
        }
        let activation = keys.get("hidden_act", "a name", |v| v.as_str().map(String::from))?;
        if activation.as_deref().is_some_and(|a| a != "silu") {
            return Err(bad("hidden_act", activation.unwrap_or_default(), "silu"));
        }
        for key in ["mlp_bias", "use_sliding_window"] {
            if flag(key)? == Some(true) {
                return Err(bad(key, "true".into(), "false"));
            }
        }
        let attention_bias = flag("attention_bias")?.unwrap_or(false);
        if attention_bias && family != Family::Qwen2 {
            return Err(bad("attention_bias", "true".into(), "false"));
        }
        // transformers 5 puts both into `rope_parameters`
        let rope = match keys.object.get("rope_parameters") {
            Some(Value::Object(rope)) => Some(rope),
            _ => None,
        };
        let rope_theta = match (keys.number("rope_theta")?, rope) {
            (Some(theta), _) => theta,
            (None, Some(object)) => Keys { path, object }.need_number("rope_theta")?,
            (None, None) => keys.need_number("rope_theta")?,
        };
        let scaling = match keys.object.get("rope_scaling") {
            Some(Value::Object(scaling)) => Some(scaling),
            _ => rope,
        };
        Ok(Spec {
            family,
            vocab: keys.need_count("vocab_size")?,
            hidden,
            layers: keys.need_count("num_hidden_layers")?,
            heads,
            kv_heads,
            head_dim,
            intermediate: keys.need_count("intermediate_size")?,
            rope_theta,
            rope_scaling: scaling
                .map(|object| rope_scaling(&Keys { path, object }))
                .transpose()?
                .flatten(),
            rms_eps: keys.need_number("rms_norm_eps")?,
            tied: flag("tie_word_embeddings")?.unwrap_or(false),
            qkv_bias: family == Family::Qwen2,
            qk_norm: family == Family::Qwen3,
            max_positions: keys.need_count("max_position_embeddings")?,
        })
    }

    /// config.json as transformers reads it; `ids` are the tokenizer's begin, end and padding tokens.
    pub fn to_config(&self, bos: Option<u32>, eos: &[u32], pad: Option<u32>) -> Value {
        let scaling = match &self.rope_scaling {
            None => Value::Null,
            Some(RopeScaling::Linear { factor }) => {
                json!({"rope_type": "linear", "factor": factor})
            }
            Some(RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_positions,
            }) => json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor, "original_max_position_embeddings": original_max_positions,
            }),
        };
        let mut config = json!({
            "architectures": [self.family.architecture()],
            "model_type": self.family.model_type(),
            "vocab_size": self.vocab,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": self.max_positions,
            "rms_norm_eps": self.rms_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": scaling,
            "tie_word_embeddings": self.tied,
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "bos_token_id": bos,
            "eos_token_id": eos_value(eos),
            "pad_token_id": pad,
            "torch_dtype": "float32",
            "use_cache": true,
        });
        if let Value::Object(object) = &mut config {
            match self.family {
                Family::Llama => {
                    object.insert("attention_bias".into(), json!(false));
                    object.insert("mlp_bias".into(), json!(false));
                }
                Family::Qwen2 => {
                    object.insert("use_sliding_window".into(), json!(false));
                }
                Family::Qwen3 => {
                    object.insert("attention_bias".into(), json!(false));
                    object.insert("use_sliding_window".into(), json!(false));
                }
            }
        }
        config
    }

    /// Every weight: its Hugging Face name and its shape, in the order in which the model keeps them.
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

    /// Weights of one layer in [`Spec::parameters`].
    pub(crate) fn parameters_per_layer(&self) -> usize {
        9 + if self.qkv_bias { 3 } else { 0 } + if self.qk_norm { 2 } else { 0 }
    }

    /// Number of trainable values.
    pub fn size(&self) -> usize {
        self.parameters()
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum()
    }
}

/// One id as a number, several as a list, none as null, as transformers writes them.
pub(crate) fn eos_value(eos: &[u32]) -> Value {
    match eos {
        [] => Value::Null,
        [one] => json!(one),
        many => json!(many),
    }
}

fn rope_scaling(keys: &Keys<'_>) -> Result<Option<RopeScaling>, ModelError> {
    let name = |key: &str| keys.get(key, "a name", |v| v.as_str().map(String::from));
    let kind = match name("rope_type")? {
        Some(kind) => kind,
        None => name("type")?.unwrap_or_else(|| "default".into()),
    };
    match kind.as_str() {
        "default" => Ok(None),
        "linear" => Ok(Some(RopeScaling::Linear {
            factor: keys.need_number("factor")?,
        })),
        "llama3" => Ok(Some(RopeScaling::Llama3 {
            factor: keys.need_number("factor")?,
            low_freq_factor: keys.need_number("low_freq_factor")?,
            high_freq_factor: keys.need_number("high_freq_factor")?,
            original_max_positions: keys.need_count("original_max_position_embeddings")?,
        })),
        other => Err(ModelError::BadValue {
            path: keys.path.to_path_buf(),
            key: "rope_scaling.rope_type".into(),
            found: other.to_string(),
            expected: "default, linear or llama3".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = r#"{"architectures":["Qwen2ForCausalLM"],"vocab_size":10,"hidden_size":8,"intermediate_size":6,
        "num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"max_position_embeddings":64,
        "rms_norm_eps":1e-6,"rope_theta":10000.0,"tie_word_embeddings":true}"#;

    fn parse(text: &str) -> Result<Spec, ModelError> {
        Spec::from_config(text, Path::new("config.json"))
    }

    #[test]
    fn config_round_trip() {
        let mut spec = parse(TINY).expect("valid");
        assert!(spec.qkv_bias && spec.head_dim == 4 && spec.tied);
        spec.rope_scaling = Some(RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_positions: 32,
        });
        let again = parse(&spec.to_config(None, &[1, 2], Some(0)).to_string()).expect("own output");
        assert_eq!(again, spec);
        assert_eq!(spec.parameters().len(), 2 + spec.layers * spec.parameters_per_layer());
    }

    #[test]
    fn errors_name_the_key() {
        for key in [
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "rms_norm_eps",
            "rope_theta",
            "num_hidden_layers",
        ] {
            let text = TINY.replace(&format!("\"{key}\""), "\"other\"");
            let error = parse(&text).expect_err(key).to_string();
            assert!(error.contains(key) && error.contains("missing"), "{error}");
        }
        let error = parse(&TINY.replace("Qwen2ForCausalLM", "GPT2LMHeadModel"))
            .expect_err("family")
            .to_string();
        assert!(
            error.contains("GPT2LMHeadModel") && error.contains("LlamaForCausalLM"),
            "{error}"
        );
        let error = parse(&TINY.replace("\"vocab_size\":10", "\"vocab_size\":\"x\""))
            .expect_err("type")
            .to_string();
        assert!(
            error.contains("vocab_size") && error.contains("whole number"),
            "{error}"
        );
        assert!(parse(&TINY.replace("\"num_key_value_heads\":1", "\"num_key_value_heads\":3")).is_err());
        assert!(parse("[]").is_err() && parse("{").is_err());
    }
}
