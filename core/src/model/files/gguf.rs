//! GGUF files: architecture and tokenizer from the metadata, weights dequantised to f32 under Hugging Face's names.

use std::io::BufReader;
use std::path::Path;

use candle_core::Device;
use candle_core::quantized::gguf_file::Content;

use super::config_json::family_named;
use super::gguf_metadata::{Metadata, count, number, text};
use super::gguf_tokenizer;
use super::kept::Kept;
use super::parts::Parts;
use super::weights::{Collector, Shapes, brief};
use crate::caught::quietly;
use crate::model::architecture::{Architecture, Family, RopeScaling};
use crate::model::error::ModelError;
use crate::model::ops::rope::inverse_frequencies;
use crate::num::to_f32;

/// Decimal value of an f32 as people write it: 1e-5 and not 9.99999974e-6.
fn decimal(value: f64) -> f64 {
    to_f32(value).to_string().parse().unwrap_or(value)
}

fn architecture(metadata: &Metadata<'_>, content: &Content) -> Result<Architecture, ModelError> {
    let name = metadata.need("general.architecture", "a name", text)?;
    let family = family_named(&name, metadata.path)?;
    let key = |key: &str| format!("{name}.{key}");
    let size = |name: &str| metadata.need(&key(name), "a whole number above 0", count);
    let (hidden, heads) = (size("embedding_length")?, size("attention.head_count")?);
    let kv_heads = metadata
        .get(&key("attention.head_count_kv"), "a whole number above 0", count)?
        .unwrap_or(heads);
    let head_dim = match metadata.get(&key("attention.key_length"), "a whole number above 0", count)? {
        Some(dim) => dim,
        None => hidden / heads,
    };
    for (name, value, whole) in [
        ("attention.head_count_kv", kv_heads, heads),
        ("attention.key_length", head_dim, head_dim & !1),
    ] {
        if value == 0 || whole == 0 || whole % value != 0 {
            return Err(ModelError::BadValue {
                path: metadata.path.to_path_buf(),
                key: key(name),
                found: value.to_string(),
                expected: "a divisor of head_count, and an even head size".into(),
            });
        }
    }
    let embedding = content.tensor_infos.get("token_embd.weight");
    let Some(vocab) = embedding.and_then(|info| info.shape.dims().first().copied()) else {
        return Err(ModelError::MissingTensor {
            path: metadata.path.to_path_buf(),
            name: "token_embd.weight".into(),
            expected: vec![0, hidden],
        });
    };
    let scaling = metadata.get(&key("rope.scaling.type"), "a name", text)?;
    let rope_scaling = match scaling.as_deref() {
        None | Some("none") => None,
        Some("linear") => {
            let factor = metadata.need(&key("rope.scaling.factor"), "a number", number)?;
            Some(RopeScaling::Linear { factor })
        }
        Some(other) => {
            return Err(ModelError::BadValue {
                path: metadata.path.to_path_buf(),
                key: key("rope.scaling.type"),
                found: other.to_string(),
                expected: "none or linear".into(),
            });
        }
    };
    Ok(Architecture {
        family,
        vocab,
        hidden,
        layers: size("block_count")?,
        heads,
        kv_heads,
        head_dim,
        intermediate: size("feed_forward_length")?,
        rope_theta: metadata
            .get(&key("rope.freq_base"), "a number", number)?
            .map_or(10_000.0, decimal),
        rope_scaling,
        rms_eps: decimal(metadata.need(&key("attention.layer_norm_rms_epsilon"), "a number", number)?),
        tied: !content.tensor_infos.contains_key("output.weight"),
        qkv_bias: family == Family::Qwen2,
        qk_norm: family == Family::Qwen3,
        max_positions: size("context_length")?,
    })
}

/// Hugging Face's name of a GGUF tensor.
fn hf_name(name: &str) -> Option<String> {
    let fixed = match name {
        "token_embd.weight" => Some("model.embed_tokens.weight"),
        "output_norm.weight" => Some("model.norm.weight"),
        "output.weight" => Some("lm_head.weight"),
        _ => None,
    };
    if let Some(fixed) = fixed {
        return Some(fixed.to_string());
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (stem, kind) = rest.rsplit_once('.')?;
    let stem = match stem {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "attn_output" => "self_attn.o_proj",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    };
    Some(format!("model.layers.{layer}.{stem}.{kind}"))
}

/// Undoes llama.cpp's order of the rows of a query or key matrix: there, the two halves of a head alternate.
fn unpermute(values: &[f32], heads: usize, head_dim: usize) -> Vec<f32> {
    let width = values.len() / (heads * head_dim);
    let half = head_dim / 2;
    let mut out = vec![0f32; values.len()];
    for (row, to) in out.chunks_exact_mut(width).enumerate() {
        let (head, at) = (row / head_dim, row % head_dim);
        let from = head * head_dim + (at % half) * 2 + at / half;
        to.copy_from_slice(&values[from * width..(from + 1) * width]);
    }
    out
}

/// Llama 3 keeps its frequency factors in a tensor: finds the scaling that they come from.
fn llama3_scaling(architecture: &mut Architecture, factors: &[f32], path: &Path) -> Result<(), ModelError> {
    let plain = inverse_frequencies(architecture);
    let factor = factors.iter().copied().fold(1f32, f32::max);
    // what Llama 3.1 and 3.2 were released with
    architecture.rope_scaling = Some(RopeScaling::Llama3 {
        factor: f64::from(factor),
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_positions: 8192,
    });
    let scaled = inverse_frequencies(architecture);
    let close = plain.len() == factors.len()
        && plain
            .iter()
            .zip(&scaled)
            .zip(factors)
            .all(|((p, s), f)| (p / f - s).abs() <= 1e-4 * s.abs());
    if close {
        return Ok(());
    }
    Err(ModelError::Tensor {
        path: path.to_path_buf(),
        name: "rope_freqs.weight".into(),
        message: "frequency factors that are not those of Llama 3.1 or 3.2".into(),
    })
}

/// Loads a `.gguf` file.
pub(super) fn load(path: &Path) -> Result<Parts, ModelError> {
    let file = std::fs::File::open(path).map_err(|e| ModelError::file(path, e))?;
    let mut reader = BufReader::new(file);
    // an alignment of 0 and other damage panics inside
    let content = quietly(|| Content::read(&mut reader))
        .map_err(|panic| ModelError::file(path, format!("the header is damaged: {panic}")))?
        .map_err(|e| ModelError::file(path, type_named(&brief(&e))))?;
    let metadata = Metadata {
        path,
        values: &content.metadata,
    };
    let mut architecture = architecture(&metadata, &content)?;
    let tokenizer = gguf_tokenizer::build(&metadata)?;
    let dequantise = |reader: &mut BufReader<std::fs::File>, name: &str| -> Result<Vec<f32>, String> {
        let words = |e: candle_core::Error| brief(&e);
        let tensor = quietly(|| content.tensor(reader, name, &Device::Cpu))?.map_err(words)?;
        let tensor = quietly(|| tensor.dequantize(&Device::Cpu))?.map_err(words)?;
        tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(words)
    };
    let shapes: Shapes = content
        .tensor_infos
        .iter()
        .map(|(name, info)| {
            (
                hf_name(name).unwrap_or_else(|| name.clone()),
                info.shape.dims().to_vec(),
            )
        })
        .collect();
    let mut collector = Collector::new(&architecture, path, &shapes)?;
    let mut names: Vec<&String> = content.tensor_infos.keys().collect();
    names.sort();
    for name in names {
        if name == "rope_freqs.weight" {
            let factors = dequantise(&mut reader, name).map_err(|message| ModelError::Tensor {
                path: path.to_path_buf(),
                name: name.clone(),
                message,
            })?;
            llama3_scaling(&mut architecture, &factors, path)?;
            continue;
        }
        let shape = content.tensor_infos[name].shape.dims().to_vec();
        let hf = hf_name(name).unwrap_or_else(|| name.clone());
        let heads = match (architecture.family, name.rsplit('.').nth(1)) {
            (Family::Llama, Some("attn_q")) => architecture.heads,
            (Family::Llama, Some("attn_k")) => architecture.kv_heads,
            _ => 0,
        };
        collector.add(&hf, &shape, || {
            let values = dequantise(&mut reader, name)?;
            Ok(if heads > 0 {
                unpermute(&values, heads, architecture.head_dim)
            } else {
                values
            })
        })?;
    }
    Ok(Parts {
        params: collector.finish()?,
        architecture,
        tokenizer,
        kept: Kept::default(),
    })
}

/// ggml's tensor types that cannot be read, by number (ggml.h).
const UNREAD_TYPES: [(&str, &str); 13] = [
    ("16", "IQ2_XXS"),
    ("17", "IQ2_XS"),
    ("18", "IQ3_XXS"),
    ("19", "IQ1_S"),
    ("20", "IQ4_NL"),
    ("21", "IQ3_S"),
    ("22", "IQ2_S"),
    ("23", "IQ4_XS"),
    ("29", "IQ1_M"),
    ("34", "TQ1_0"),
    ("35", "TQ2_0"),
    ("39", "MXFP4"),
    ("40", "NVFP4"),
];

/// The message for a tensor type, with its name and what is known; other messages as they are.
fn type_named(message: &str) -> String {
    let Some((_, number)) = message.split_once("unknown dtype for tensor ") else {
        return message.to_owned();
    };
    let name = UNREAD_TYPES.iter().find(|(known, _)| *known == number.trim());
    let name = name.map_or_else(|| format!("number {number}"), |(_, name)| (*name).to_owned());
    format!(
        "tensor type {name} is not known; known are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K and Q6_K"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpermute_inverts_the_converters_permutation() {
        // convert_hf_to_gguf.py: reshape(heads, 2, dim / 2, width).swapaxes(1, 2)
        let (heads, dim, width) = (3, 4, 2);
        let hf: Vec<f32> = (0..heads * dim * width).map(|i| i as f32).collect();
        let mut gguf = Vec::new();
        for head in 0..heads {
            for i in 0..dim / 2 {
                for half in 0..2 {
                    let row = head * dim + half * dim / 2 + i;
                    gguf.extend_from_slice(&hf[row * width..(row + 1) * width]);
                }
            }
        }
        assert_eq!(unpermute(&gguf, heads, dim), hf);
    }
}
