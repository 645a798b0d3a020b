//! A decoder's architecture in Hugging Face's config.json: read and written.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::model::architecture::{Architecture, Family, RopeScaling};
use crate::model::error::ModelError;

/// The family of that `model_type` or entry of `architectures`.
///
/// # Errors
/// No known family has that name; the error lists the known ones.
pub(super) fn family_named(name: &str, path: &Path) -> Result<Family, ModelError> {
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

/// Largest size that a config may claim: products of three of them still fit.
const LARGEST: usize = 1 << 24;

/// θ of the rotary embedding where a config says nothing, as in transformers' Llama, Qwen2 and Qwen3.
const DEFAULT_THETA: f64 = 10_000.0;

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
        self.get(key, "a whole number from 1 to 16777216", |v| {
            let count = v.as_u64().and_then(|v| usize::try_from(v).ok());
            count.filter(|v| (1..=LARGEST).contains(v))
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

/// The architecture in the text of a config.json; `path` is for messages.
///
/// # Errors
/// The text is not a JSON object; a key is missing, has a wrong value or asks for what the decoder does not do; the
/// architecture is not known.
pub(crate) fn read(text: &str, path: &Path) -> Result<Architecture, ModelError> {
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
    let family = family_named(&name, path)?;
    if let Some(quantized) = keys.object.get("quantization_config").filter(|v| !v.is_null()) {
        return Err(ModelError::BadValue {
            path: path.to_path_buf(),
            key: "quantization_config".into(),
            found: quantized["quant_method"].as_str().unwrap_or("there").to_owned(),
            expected: "none: weights in f32, f16 or bf16".into(),
        });
    }
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
    let max_positions = keys.need_count("max_position_embeddings")?;
    // Mistral's window has no switch of its own; one as long as the context is none
    let window = keys
        .count("sliding_window")?
        .filter(|w| family == Family::Mistral && *w < max_positions);
    if let Some(window) = window {
        return Err(bad(
            "sliding_window",
            window.to_string(),
            "null, or max_position_embeddings or more",
        ));
    }
    // transformers 5 puts both into `rope_parameters`
    let rope = match keys.object.get("rope_parameters") {
        Some(Value::Object(rope)) => Some(rope),
        _ => None,
    };
    let rope_theta = match (keys.number("rope_theta")?, rope) {
        (Some(theta), _) => theta,
        (None, Some(object)) => Keys { path, object }.number("rope_theta")?.unwrap_or(DEFAULT_THETA),
        (None, None) => DEFAULT_THETA,
    };
    let scaling = match keys.object.get("rope_scaling") {
        Some(Value::Object(scaling)) => Some(scaling),
        _ => rope,
    };
    Ok(Architecture {
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
            .map(|object| rope_scaling(&Keys { path, object }, max_positions))
            .transpose()?
            .flatten(),
        rms_eps: keys.need_number("rms_norm_eps")?,
        tied: flag("tie_word_embeddings")?.unwrap_or(false),
        qkv_bias: family == Family::Qwen2,
        qk_norm: family == Family::Qwen3,
        max_positions,
    })
}

/// config.json as transformers reads it; `bos`, `eos` and `pad` are the tokenizer's begin, end and padding tokens.
pub(super) fn write(architecture: &Architecture, bos: Option<u32>, eos: &[u32], pad: Option<u32>) -> Value {
    let scaling = match &architecture.rope_scaling {
        None => Value::Null,
        Some(RopeScaling::Linear { factor }) => {
            json!({"rope_type": "linear", "factor": factor})
        }
        Some(RopeScaling::Yarn {
            factor,
            attention_factor,
            beta_fast,
            beta_slow,
            truncate,
            original_max_positions,
        }) => json!({
            "rope_type": "yarn", "factor": factor, "attention_factor": attention_factor, "beta_fast": beta_fast,
            "beta_slow": beta_slow, "truncate": truncate, "original_max_position_embeddings": original_max_positions,
        }),
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
        "architectures": [architecture.family.architecture()],
        "model_type": architecture.family.model_type(),
        "vocab_size": architecture.vocab,
        "hidden_size": architecture.hidden,
        "intermediate_size": architecture.intermediate,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "num_key_value_heads": architecture.kv_heads,
        "head_dim": architecture.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": architecture.max_positions,
        "rms_norm_eps": architecture.rms_eps,
        "rope_theta": architecture.rope_theta,
        "rope_scaling": scaling,
        "tie_word_embeddings": architecture.tied,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "bos_token_id": bos,
        "eos_token_id": eos_value(eos),
        "pad_token_id": pad,
        "torch_dtype": "float32",
        "use_cache": true,
    });
    if let Value::Object(object) = &mut config {
        match architecture.family {
            Family::Mistral => {
                object.insert("sliding_window".into(), Value::Null);
            }
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

/// One id as a number, several as a list, none as null, as transformers writes them.
pub(super) fn eos_value(eos: &[u32]) -> Value {
    match eos {
        [] => Value::Null,
        [one] => json!(one),
        many => json!(many),
    }
}

fn rope_scaling(keys: &Keys<'_>, max_positions: usize) -> Result<Option<RopeScaling>, ModelError> {
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
        "yarn" => {
            let factor = keys.need_number("factor")?;
            // 0.1 ln(factor) + 1 (equation 22 of the paper), or DeepSeek's quotient of two such
            let scale = |weight: f64| {
                if factor <= 1.0 {
                    1.0
                } else {
                    0.1 * weight * factor.ln() + 1.0
                }
            };
            let quotient = match (keys.number("mscale")?, keys.number("mscale_all_dim")?) {
                (Some(a), Some(b)) => scale(a) / scale(b),
                _ => scale(1.0),
            };
            Ok(Some(RopeScaling::Yarn {
                factor,
                attention_factor: keys.number("attention_factor")?.unwrap_or(quotient),
                beta_fast: keys.number("beta_fast")?.unwrap_or(32.0),
                beta_slow: keys.number("beta_slow")?.unwrap_or(1.0),
                truncate: keys.get("truncate", "true or false", Value::as_bool)?.unwrap_or(true),
                original_max_positions: keys.count("original_max_position_embeddings")?.unwrap_or(max_positions),
            }))
        }
        other => Err(ModelError::BadValue {
            path: keys.path.to_path_buf(),
            key: "rope_scaling.rope_type".into(),
            found: other.to_string(),
            expected: "default, linear, llama3 or yarn".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = r#"{"architectures":["Qwen2ForCausalLM"],"vocab_size":10,"hidden_size":8,"intermediate_size":6,
        "num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"max_position_embeddings":64,
        "rms_norm_eps":1e-6,"rope_theta":10000.0,"tie_word_embeddings":true}"#;

    fn parse(text: &str) -> Result<Architecture, ModelError> {
        read(text, Path::new("config.json"))
    }

    #[test]
    fn config_round_trip() {
        let mut architecture = parse(TINY).expect("valid");
        assert!(architecture.qkv_bias && architecture.head_dim == 4 && architecture.tied);
        architecture.rope_scaling = Some(RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_positions: 32,
        });
        let again = parse(&write(&architecture, None, &[1, 2], Some(0)).to_string()).expect("own output");
        assert_eq!(again, architecture);
    }

    #[test]
    fn errors_name_the_key() {
        for key in [
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "rms_norm_eps",
            "num_hidden_layers",
        ] {
            let text = TINY.replace(&format!("\"{key}\""), "\"other\"");
            let error = parse(&text).expect_err(key).to_string();
            assert!(error.contains(key) && error.contains("missing"), "{error}");
        }
        let without = parse(&TINY.replace("\"rope_theta\"", "\"other\"")).expect("transformers' default");
        assert_eq!(without.rope_theta, 10_000.0);
        for claimed in ["1000000000000", "0", "-1", "1.5"] {
            let text = TINY.replace("\"vocab_size\":10", &format!("\"vocab_size\":{claimed}"));
            assert!(parse(&text).is_err(), "{claimed}");
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
