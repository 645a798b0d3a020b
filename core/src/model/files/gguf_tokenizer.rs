//! A byte-level BPE tokenizer from a GGUF's metadata, as the tokenizer.json and tokenizer_config.json that transformers
//! would have for it.

use std::path::Path;

use candle_core::quantized::gguf_file::Value as Gguf;
use serde_json::{Map, Value, json};

use super::gguf_metadata::{Metadata, text};
use crate::model::error::ModelError;
use crate::model::tokenizer::{Tokenizer, TokenizerFiles};

/// Token types of `tokenizer.ggml.token_type` that are matched in the text as a whole.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Splitting pattern of Qwen2 (transformers, tokenization_qwen2.py) and of Llama 3 (its tokenizer.json).
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn strings(value: &Gguf) -> Option<Vec<String>> {
    value.to_vec().ok()?.iter().map(text).collect()
}

fn integer(value: &Gguf) -> Option<i64> {
    match value {
        Gguf::I32(v) => Some(i64::from(*v)),
        Gguf::I64(v) => Some(*v),
        other => other.to_u64().ok().and_then(|v| i64::try_from(v).ok()),
    }
}

fn pre_tokenizer(name: &str, path: &Path) -> Result<Value, ModelError> {
    let byte_level =
        |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let sequence = |list: Vec<Value>| json!({"type": "Sequence", "pretokenizers": list});
    match name {
        "gpt-2" | "olmo" | "mpt" => Ok(byte_level(true)),
        "smollm" | "refact" => Ok(sequence(vec![
            json!({"type": "Digits", "individual_digits": true}),
            byte_level(true),
        ])),
        "qwen2" | "deepseek-r1-qwen" => Ok(sequence(vec![split(QWEN2), byte_level(false)])),
        "llama-bpe" | "llama3" | "llama-v3" | "smaug-bpe" => Ok(sequence(vec![split(LLAMA3), byte_level(false)])),
        other => Err(ModelError::BadValue {
            path: path.to_path_buf(),
            key: "tokenizer.ggml.pre".into(),
            found: other.to_string(),
            expected: "gpt-2, olmo, mpt, smollm, refact, qwen2, deepseek-r1-qwen, llama-bpe or smaug-bpe".into(),
        }),
    }
}

/// The tokenizer that the metadata describes.
pub(super) fn build(metadata: &Metadata<'_>) -> Result<Tokenizer, ModelError> {
    let path = metadata.path;
    let model = metadata.need("tokenizer.ggml.model", "\"gpt2\"", text)?;
    if model != "gpt2" {
        return Err(ModelError::BadValue {
            path: path.to_path_buf(),
            key: "tokenizer.ggml.model".into(),
            found: model,
            expected: "gpt2, a byte-level BPE".into(),
        });
    }
    let tokens = metadata.need("tokenizer.ggml.tokens", "a list of texts", strings)?;
    let merges = metadata.need("tokenizer.ggml.merges", "a list of texts", strings)?;
    let types = metadata
        .get("tokenizer.ggml.token_type", "a list of numbers", |v| {
            v.to_vec().ok()?.iter().map(integer).collect::<Option<Vec<i64>>>()
        })?
        .unwrap_or_default();
    let pre = metadata
        .get("tokenizer.ggml.pre", "a name", text)?
        .unwrap_or_else(|| "gpt-2".into());
    let token = |key: &str| -> Result<Option<(usize, &String)>, ModelError> {
        let id = metadata.get(key, "a token id", integer)?;
        match id {
            None => Ok(None),
            Some(id) => match usize::try_from(id).ok().and_then(|id| tokens.get(id).map(|t| (id, t))) {
                Some(token) => Ok(Some(token)),
                None => Err(ModelError::BadValue {
                    path: path.to_path_buf(),
                    key: key.to_string(),
                    found: id.to_string(),
                    expected: format!("a token id below {}", tokens.len()),
                }),
            },
        }
    };
    let bos = token("tokenizer.ggml.bos_token_id")?;
    let eos = token("tokenizer.ggml.eos_token_id")?;
    let pad = token("tokenizer.ggml.padding_token_id")?;
    let unknown = token("tokenizer.ggml.unknown_token_id")?;

    let vocab: Map<String, Value> = tokens
        .iter()
        .enumerate()
        .map(|(id, t)| (t.clone(), json!(id)))
        .collect();
    let added: Vec<Value> = tokens
        .iter()
        .zip(&types)
        .enumerate()
        .filter(|(_, (_, kind))| **kind == CONTROL || **kind == USER_DEFINED)
        .map(|(id, (content, kind))| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": *kind == CONTROL})
        })
        .collect();
    let merges: Vec<Value> = merges
        .iter()
        .map(|merge| merge.split_once(' ').map_or(Value::Null, |(a, b)| json!([a, b])))
        .collect();
    if let Some(at) = merges.iter().position(Value::is_null) {
        return Err(ModelError::BadValue {
            path: path.to_path_buf(),
            key: "tokenizer.ggml.merges".into(),
            found: format!("entry {at} without a blank"),
            expected: "two tokens and a blank between".into(),
        });
    }
    let add_bos = metadata.get("tokenizer.ggml.add_bos_token", "true or false", |v| v.to_bool().ok())?;
    let post = match (add_bos, bos) {
        (Some(true), Some((id, text))) => json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": text, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": text, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {text: {"id": text, "ids": [id], "tokens": [text]}},
        }),
        _ => Value::Null,
    };
    let llama3 = pre.starts_with("llama");
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": if pre == "qwen2" || pre == "deepseek-r1-qwen" { json!({"type": "NFC"}) } else { Value::Null },
        "pre_tokenizer": pre_tokenizer(&pre, path)?,
        "post_processor": post,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": llama3,
                  "vocab": vocab, "merges": merges},
    });
    let mut config = json!({
        "add_prefix_space": false,
        "clean_up_tokenization_spaces": false,
        "model_max_length": 1_000_000_000_000_000_000u64,
        "tokenizer_class": "PreTrainedTokenizerFast",
    });
    if let Value::Object(object) = &mut config {
        for (key, token) in [
            ("bos_token", bos),
            ("eos_token", eos),
            ("pad_token", pad),
            ("unk_token", unknown),
        ] {
            if let Some((_, text)) = token {
                object.insert(key.into(), json!(text));
            }
        }
        if let Some(template) = metadata.get("tokenizer.chat_template", "a text", text)? {
            object.insert("chat_template".into(), json!(template));
        }
    }
    let (tokenizer, config) = (tokenizer.to_string(), format!("{config:#}\n"));
    let ids = json!({"eos_token_id": eos.map(|t| t.0), "pad_token_id": pad.map(|t| t.0)}).to_string();
    Tokenizer::from_bytes(&TokenizerFiles {
        tokenizer: tokenizer.as_bytes(),
        config: Some(config.as_bytes()),
        template: None,
        model: [Some(ids.as_bytes()), None],
    })
}
