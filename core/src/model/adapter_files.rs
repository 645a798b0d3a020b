//! Adapters in PEFT's layout: adapter_model.safetensors and adapter_config.json (peft 0.21).

use std::path::{Path, PathBuf};

use safetensors::Dtype;
use serde_json::{Map, Value, json};

use super::error::ModelError;
use super::lora::Lora;
use crate::config::LORA_TARGETS;
use crate::engine::tensor_file::{self, ReadError};
use crate::engine::{Arena, Layout};

/// The file with the values.
pub(super) const WEIGHTS: &str = "adapter_model.safetensors";
const CONFIG: &str = "adapter_config.json";

/// Keys that make something else than plain LoRA, unless they are null, false or empty.
const NOT_PLAIN: [&str; 20] = [
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "exclude_modules",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "layers_pattern",
    "layers_to_transform",
    "lora_bias",
    "megatron_config",
    "modules_to_save",
    "monteclora_config",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "velora_config",
];

/// What adapter_config.json says.
pub(super) struct AdapterConfig {
    pub(super) lora: Lora,
    /// The model that the adapters belong to, as a config names it.
    pub(super) base: String,
}

/// Whether `folder` holds adapters.
pub(super) fn is_adapter(folder: &Path) -> bool {
    folder.join(CONFIG).is_file()
}

/// Reads adapter_config.json. A kind of adapter that is not known is refused by the key that says so.
///
/// # Errors
/// The file cannot be read, lacks a key, or says something else than plain LoRA on the matrices of the layers.
pub(super) fn read_config(folder: &Path) -> Result<AdapterConfig, ModelError> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(|e| ModelError::file(&path, e))?;
    let config: Value = serde_json::from_str(&text).map_err(|e| ModelError::file(&path, e))?;
    let bad = |key: &str, expected: &str| ModelError::BadValue {
        path: path.clone(),
        key: key.into(),
        found: config[key].to_string(),
        expected: expected.into(),
    };
    if config["peft_type"] != "LORA" {
        return Err(bad("peft_type", "\"LORA\""));
    }
    let is_empty = |value: &Value| {
        value.is_null()
            || *value == false
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty)
    };
    if let Some(key) = NOT_PLAIN.iter().find(|key| !is_empty(&config[**key])) {
        return Err(bad(key, "null, false or empty: plain LoRA"));
    }
    if !(config["bias"].is_null() || config["bias"] == "none") {
        return Err(bad("bias", "\"none\""));
    }
    let rank = config["r"].as_u64().and_then(|rank| usize::try_from(rank).ok());
    let rank = rank
        .filter(|rank| *rank > 0)
        .ok_or_else(|| bad("r", "a rank above 0"))?;
    let alpha = config["lora_alpha"]
        .as_f64()
        .ok_or_else(|| bad("lora_alpha", "a number"))?;
    let names = config["target_modules"].as_array();
    let names: Option<Vec<&str>> = names.and_then(|names| names.iter().map(Value::as_str).collect());
    let names = names.filter(|names| !names.is_empty() && names.iter().all(|name| LORA_TARGETS.contains(name)));
    let expected = format!("a list of some of {}", LORA_TARGETS.join(", "));
    let names = names.ok_or_else(|| bad("target_modules", &expected))?;
    let base = config["base_model_name_or_path"]
        .as_str()
        .filter(|base| !base.is_empty());
    let base = base.ok_or_else(|| bad("base_model_name_or_path", "the model that the adapters belong to"))?;
    Ok(AdapterConfig {
        lora: Lora {
            rank,
            alpha,
            rslora: config["use_rslora"] == true,
            targets: LORA_TARGETS.map(|target| names.contains(&target)),
        },
        base: base.into(),
    })
}

/// Reads the adapters with the names and shapes of `layout`, in f32, bf16 or f16.
///
/// # Errors
/// The file cannot be read, or its tensors are not those of the layout.
pub(super) fn read(folder: &Path, layout: Layout) -> Result<Arena, ModelError> {
    let path = folder.join(WEIGHTS);
    let types = [Dtype::F32, Dtype::BF16, Dtype::F16];
    let buffers = tensor_file::read(&path, &[("", &layout)], &types).map_err(|error| match error {
        ReadError::File(message) => ModelError::file(&path, message),
        ReadError::Tensor(name, message) => ModelError::Tensor {
            path: path.clone(),
            name,
            message,
        },
    })?;
    Ok(Arena::new(layout.into(), buffers.concat())?)
}

/// Writes both files into an existing folder. `base` is the place of the model that they belong to.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write(folder: &Path, lora: &Lora, adapters: &Arena, base: &str) -> Result<(), ModelError> {
    let path = folder.join(CONFIG);
    if base.is_empty() {
        return Err(ModelError::BadValue {
            path,
            key: "base_model_name_or_path".into(),
            found: "a model that no file holds".into(),
            expected: "one that was loaded".into(),
        });
    }
    // a folder is found from anywhere
    let base = std::fs::canonicalize(base).unwrap_or_else(|_| PathBuf::from(base));
    // 32 and not 32.0: peft's type is int
    let alpha: Value = serde_json::from_str(&lora.alpha.to_string()).map_err(|e| ModelError::file(&path, e))?;
    let config = json!({
        "alpha_pattern": {},
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": lora.rank,
        "rank_pattern": {},
        "target_modules": lora.target_names(),
        "task_type": "CAUSAL_LM",
        "use_dora": false,
        "use_rslora": lora.rslora,
    });
    std::fs::write(&path, format!("{config:#}\n")).map_err(|e| ModelError::file(&path, e))?;
    let weights = folder.join(WEIGHTS);
    tensor_file::write_weights(&weights, adapters, &path).map_err(|e| ModelError::file(&weights, e))
}
