//! Writes a model folder in Hugging Face's layout.

use std::path::Path;

use serde_json::{Value, json};

use super::config_json::{self, eos_value};
use super::kept::Kept;
use crate::engine::{Params, tensor_file};
use crate::model::architecture::Architecture;
use crate::model::error::ModelError;
use crate::model::tokenizer::Tokenizer;
use crate::staged::{FileError, StagedFolder};

/// Writes config.json, generation_config.json, model.safetensors, the tokenizer's files and what else was read to `folder`:
/// the whole folder, or none of it.
pub(in crate::model) fn save(
    architecture: &Architecture,
    tokenizer: &Tokenizer,
    params: &Params,
    kept: &Kept,
    folder: &Path,
) -> Result<(), ModelError> {
    let file = |error: FileError| ModelError::file(&error.path, error.source);
    let staged = StagedFolder::create(folder).map_err(file)?;
    write(architecture, tokenizer, params, kept, staged.path())?;
    staged.commit().map_err(file)
}

/// Writes the files into an existing folder, one after the other.
pub(in crate::model) fn write(
    architecture: &Architecture,
    tokenizer: &Tokenizer,
    params: &Params,
    kept: &Kept,
    folder: &Path,
) -> Result<(), ModelError> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(|e| ModelError::file(&path, e))
    };
    let pretty = |value: &Value| format!("{value:#}\n");
    let (bos, eos, pad) = (tokenizer.bos(), tokenizer.eos_ids(), tokenizer.pad());
    let config = kept
        .config()
        .unwrap_or_else(|| config_json::write(architecture, bos, eos, pad));
    put("config.json", pretty(&config).as_bytes())?;
    let generation = json!({"bos_token_id": bos, "eos_token_id": eos_value(eos), "pad_token_id": pad});
    put("generation_config.json", pretty(&generation).as_bytes())?;
    for (name, bytes) in kept.files() {
        if let Some((inner, _)) = name.split_once('/') {
            let inner = folder.join(inner);
            std::fs::create_dir_all(&inner).map_err(|e| ModelError::file(&inner, e))?;
        }
        put(name, bytes)?;
    }
    for (name, bytes) in tokenizer.files() {
        put(name, bytes)?;
    }
    let (path, like) = (folder.join("model.safetensors"), folder.join("config.json"));
    tensor_file::write_weights(&path, params.all(), &like).map_err(|e| ModelError::file(&path, e))
}
