//! Writes a model folder in Hugging Face's layout.

use std::path::Path;

use serde_json::{Value, json};

use super::config_json::{self, eos_value};
use super::kept::Kept;
use crate::checksums::{self, FILE, Unlike};
use crate::engine::{Params, tensor_file};
use crate::model::architecture::Architecture;
use crate::model::error::ModelError;
use crate::model::tokenizer::Tokenizer;
use crate::staged::{FileError, StagedFolder};

/// First line of checksums.txt of a saved model.
const FORMAT: &str = "moa-model 1";

/// Whether `folder` is a model as moa wrote it: every file is there, whole, and no other.
///
/// # Errors
/// It is not; the text says why.
pub(in crate::model) fn check_saved(folder: &Path) -> Result<(), String> {
    checksums::verify(folder, FORMAT).map_err(|unlike| match unlike {
        Unlike::Unreadable(error) if error.kind() == std::io::ErrorKind::NotFound => format!("it has no {FILE}"),
        Unlike::Unreadable(error) => format!("{FILE}: {error}"),
        Unlike::Format(found) => format!("{FILE}: found format {found:?}, expected {FORMAT:?}"),
        Unlike::Files(problem) => problem,
        Unlike::File(error) => format!("{}: {}", error.path.display(), error.source),
    })
}

/// Whether [`save`] may write to `folder`: there is nothing, an empty folder, or a model as moa wrote it, which it
/// replaces. Nothing else is ever removed.
///
/// # Errors
/// Something else is there.
pub(in crate::model) fn check_place(folder: &Path) -> Result<(), ModelError> {
    let occupied = |found: String| ModelError::Occupied {
        path: folder.to_owned(),
        found,
    };
    let mut entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && std::fs::symlink_metadata(folder).is_err() => {
            return Ok(());
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => return Err(occupied("a file".to_owned())),
        entries => entries.map_err(|e| ModelError::file(folder, e))?,
    };
    if entries.next().is_none() {
        return Ok(());
    }
    match check_saved(folder) {
        Ok(()) => Ok(()),
        Err(_) if !folder.join(FILE).exists() => Err(occupied("files that moa did not write".to_owned())),
        Err(problem) => Err(occupied(format!(
            "a model that was changed since moa wrote it ({problem})"
        ))),
    }
}

/// Puts what `write_files` writes, with checksums, at `folder`: the whole folder, or none of it.
pub(in crate::model) fn save(
    folder: &Path,
    write_files: impl FnOnce(&Path) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let file = |error: FileError| ModelError::file(&error.path, error.source);
    check_place(folder)?;
    let staged = StagedFolder::create(folder).map_err(file)?;
    write_files(staged.path())?;
    checksums::seal(staged.path(), FORMAT).map_err(file)?;
    staged.commit().map_err(file)
}

/// Writes config.json, generation_config.json, model.safetensors and the tokenizer's files into an existing folder, one
/// after the other.
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
        put(name, bytes)?;
    }
    for (name, bytes) in tokenizer.files() {
        put(name, bytes)?;
    }
    let (path, like) = (folder.join("model.safetensors"), folder.join("config.json"));
    tensor_file::write_weights(&path, params.all(), &like).map_err(|e| ModelError::file(&path, e))
}
