//! A model folder in Hugging Face's layout, written beside its place and then renamed, so that it is whole or not there.

use std::path::{Path, PathBuf};

use candle_core::Var;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::error::ModelError;
use super::ops::with_slice;
use super::spec::{Spec, eos_value};
use super::tokenizer::Tokenizer;

/// Writes config.json, generation_config.json, model.safetensors and the tokenizer's files to `folder`.
pub(crate) fn save(
    spec: &Spec,
    tokenizer: &Tokenizer,
    params: &[(String, Var)],
    folder: &Path,
) -> Result<(), ModelError> {
    let file = |path: &Path, e: std::io::Error| ModelError::file(path, e);
    let name = folder
        .file_name()
        .ok_or_else(|| ModelError::file(folder, "not a folder name"))?;
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    std::fs::create_dir_all(&parent).map_err(|e| file(&parent, e))?;
    let beside = |suffix: &str| {
        let mut other = std::ffi::OsString::from(".");
        other.push(name);
        other.push(suffix);
        parent.join(other)
    };
    let (new, old) = (beside(".new"), beside(".old"));
    for left in [&new, &old] {
        remove(left)?;
    }
    std::fs::create_dir(&new).map_err(|e| file(&new, e))?;
    write_files(spec, tokenizer, params, &new)?;
    // A folder cannot be replaced in one rename: the old one steps aside first.
    if folder.exists() {
        std::fs::rename(folder, &old).map_err(|e| file(folder, e))?;
    }
    std::fs::rename(&new, folder).map_err(|e| file(folder, e))?;
    remove(&old)
}

fn remove(folder: &Path) -> Result<(), ModelError> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(ModelError::file(folder, e)),
        _ => Ok(()),
    }
}

/// Writes the files into a folder that is there, one after the other.
pub(crate) fn write_files(
    spec: &Spec,
    tokenizer: &Tokenizer,
    params: &[(String, Var)],
    folder: &Path,
) -> Result<(), ModelError> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(|e| ModelError::file(&path, e))
    };
    let pretty = |value: &Value| format!("{value:#}\n");
    let (bos, eos, pad) = (tokenizer.bos(), tokenizer.eos_ids(), tokenizer.pad());
    put("config.json", pretty(&spec.to_config(bos, eos, pad)).as_bytes())?;
    let generation = json!({"bos_token_id": bos, "eos_token_id": eos_value(eos), "pad_token_id": pad});
    put("generation_config.json", pretty(&generation).as_bytes())?;
    for (name, bytes) in tokenizer.files() {
        put(name, bytes)?;
    }
    put("model.safetensors", &serialize(params, folder)?)
}

/// The weights as one safetensors file in f32.
pub(crate) fn serialize(params: &[(String, Var)], path: &Path) -> Result<Vec<u8>, ModelError> {
    let mut bytes = Vec::with_capacity(params.len());
    for (_, var) in params {
        let mut data = Vec::with_capacity(var.elem_count() * 4);
        with_slice(var.as_tensor(), |values| {
            values.iter().for_each(|v| data.extend_from_slice(&v.to_le_bytes()));
            Ok(())
        })?;
        bytes.push(data);
    }
    let mut views = Vec::with_capacity(params.len());
    for ((name, var), data) in params.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, var.dims().to_vec(), data).map_err(|e| ModelError::file(path, e))?;
        views.push((name.clone(), view));
    }
    let metadata = Some([("format".to_string(), "pt".to_string())].into());
    safetensors::serialize(views, metadata).map_err(|e| ModelError::file(path, e))
}
