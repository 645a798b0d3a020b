//! Models by hub id, through hf-hub's cache: files are fetched once.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiRepo};

use super::weights::shards;
use crate::model::error::ModelError;

/// Whether a name looks like `org/name`.
pub(super) fn is_id(name: &str) -> bool {
    let part = |p: &str| {
        !p.is_empty() && !p.starts_with('.') && p.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    match name.split_once('/') {
        Some((org, name)) => part(org) && part(name),
        None => false,
    }
}

fn error(id: &str, file: &str, cause: impl std::fmt::Display) -> ModelError {
    let message: String = cause.to_string().lines().collect::<Vec<_>>().join(" ");
    ModelError::Hub {
        id: id.to_string(),
        file: file.to_string(),
        message,
    }
}

/// Fetches the files of a model folder, and returns the folder in the cache.
pub(super) fn fetch(id: &str) -> Result<PathBuf, ModelError> {
    let api = ApiBuilder::from_env()
        .with_progress(false)
        .build()
        .map_err(|e| error(id, "(client)", e))?;
    let repo = api.model(id.to_string());
    let get = |repo: &ApiRepo, file: &str| repo.get(file).map_err(|e| error(id, file, e));
    let config = get(&repo, "config.json")?;
    get(&repo, "tokenizer.json")?;
    for optional in ["tokenizer_config.json", "chat_template.jinja", "generation_config.json"] {
        // not every model has them; one that cannot be reached now is missing, which loading reports where it matters
        let _ = repo.get(optional);
    }
    if repo.get("model.safetensors").is_err() {
        let index = get(&repo, "model.safetensors.index.json")?;
        let text = std::fs::read_to_string(&index).map_err(|e| ModelError::file(&index, e))?;
        for shard in shards(&text, &index)? {
            get(&repo, &shard)?;
        }
    }
    Ok(config.parent().unwrap_or(Path::new(".")).to_path_buf())
}
