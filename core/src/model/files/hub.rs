//! Models by hub id, through hf-hub's cache: files are fetched once. `HF_HUB_CACHE`, `HF_HOME` and `HF_HUB_OFFLINE` mean what
//! they mean to huggingface_hub.

use std::path::{Path, PathBuf};

use hf_hub::Cache;
use hf_hub::api::sync::{ApiBuilder, ApiRepo};

use super::weights::shards;
use crate::caught::quietly;
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

/// What a model folder may have; one that cannot be reached now is missing, which loading reports where it matters.
const OPTIONAL: [&str; 3] = ["tokenizer_config.json", "chat_template.jinja", "generation_config.json"];

/// Whether a variable of the environment says yes, as huggingface_hub reads it.
fn is_on(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
}

/// Fetches the files of a model folder, and returns the folder in the cache.
pub(super) fn fetch(id: &str) -> Result<PathBuf, ModelError> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let cache = match var("HF_HUB_CACHE").or_else(|| var("HUGGINGFACE_HUB_CACHE")) {
        Some(path) => Cache::new(path.into()),
        None => Cache::from_env(),
    };
    if var("HF_HUB_OFFLINE").is_some_and(|value| is_on(&value)) {
        return cached(&cache, id);
    }
    let token = var("HF_TOKEN").or_else(|| Cache::from_env().token());
    // the client trusts what the server answers, and panics on some of it
    quietly(|| download(cache, token, id)).map_err(|panic| error(id, "(client)", panic))?
}

/// The folder in the cache, without a question to the network.
fn cached(cache: &Cache, id: &str) -> Result<PathBuf, ModelError> {
    let repo = cache.model(id.to_string());
    let find = |file: &str| {
        let missing = "not in the cache, and HF_HUB_OFFLINE forbids to fetch it";
        repo.get(file).ok_or_else(|| error(id, file, missing))
    };
    let config = find("config.json")?;
    find("tokenizer.json")?;
    Ok(config.parent().unwrap_or(Path::new(".")).to_path_buf())
}

fn download(cache: Cache, token: Option<String>, id: &str) -> Result<PathBuf, ModelError> {
    let api = ApiBuilder::from_env()
        .with_cache_dir(cache.path().clone())
        .with_token(token)
        .with_progress(false)
        .build()
        .map_err(|e| error(id, "(client)", e))?;
    let repo = api.model(id.to_string());
    let get = |repo: &ApiRepo, file: &str| repo.get(file).map_err(|e| error(id, file, e));
    let config = get(&repo, "config.json")?;
    get(&repo, "tokenizer.json")?;
    for optional in OPTIONAL {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_in_the_cache_is_found_without_the_network() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path().to_path_buf());
        let error = cached(&cache, "a/b").expect_err("not there").to_string();
        assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
        let model = folder.path().join("models--a--b");
        let snapshot = model.join("snapshots/0123");
        std::fs::create_dir_all(&snapshot).expect("made");
        std::fs::create_dir_all(model.join("refs")).expect("made");
        std::fs::write(model.join("refs/main"), "0123").expect("written");
        for name in ["config.json", "tokenizer.json"] {
            std::fs::write(snapshot.join(name), "{}").expect("written");
        }
        assert_eq!(cached(&cache, "a/b").expect("there"), snapshot);
        assert!(is_on("1") && is_on("True") && !is_on("0"));
    }
}
