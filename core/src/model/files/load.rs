//! Loads a model from wherever it is.

use std::path::Path;

use super::kept::Kept;
use super::parts::Parts;
use super::weights;
use super::{config_json, gguf, hub};
use crate::model::error::ModelError;
use crate::model::tokenizer::{Tokenizer, TokenizerFiles};

/// Loads a folder in Hugging Face's layout, a `.gguf` file, or a hub id `org/name`.
pub(in crate::model) fn load(source: &str) -> Result<Parts, ModelError> {
    let path = Path::new(source);
    if path.is_dir() {
        from_folder(path)
    } else if path.is_file() {
        gguf::load(path)
    } else if hub::is_id(source) {
        from_folder(&hub::fetch(source)?)
    } else {
        Err(ModelError::NotFound {
            source_name: source.to_string(),
        })
    }
}

fn from_folder(folder: &Path) -> Result<Parts, ModelError> {
    let path = folder.join("config.json");
    let config = std::fs::read_to_string(&path).map_err(|e| ModelError::file(&path, e))?;
    let architecture = config_json::read(&config, &path)?;
    let tokenizer = Tokenizer::from_folder(folder)?;
    let params = weights::from_folder(&architecture, folder)?;
    Ok(Parts {
        architecture,
        tokenizer,
        params,
        kept: Kept::of(folder, &config)?,
    })
}

/// The parts in the bytes of config.json, model.safetensors and the tokenizer's files.
pub(in crate::model) fn from_bytes(
    config: &[u8],
    weights: &[u8],
    tokenizer: &TokenizerFiles<'_>,
) -> Result<Parts, ModelError> {
    let path = Path::new("config.json");
    let config = std::str::from_utf8(config).map_err(|e| ModelError::file(path, e))?;
    let architecture = config_json::read(config, path)?;
    let path = Path::new("model.safetensors");
    let params = weights::from_bytes(&architecture, weights, path)?;
    Ok(Parts {
        architecture,
        tokenizer: Tokenizer::from_bytes(tokenizer)?,
        params,
        kept: Kept::default(),
    })
}
