//! What stands in a model folder besides what training changes. It is saved as it was read.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::model::error::ModelError;

/// Files that are copied, by name: of the tokenizer, of templates, of conditions.
const NAMES: [&str; 9] = [
    "added_tokens.json",
    "chat_template.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "USE_POLICY.md",
];
/// How the names of licence files begin.
const LICENCES: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "NOTICE"];
/// Larger files are none of these.
const MOST_BYTES: u64 = 64 << 20;

/// What a model folder had besides weights, tokenizer.json, tokenizer_config.json and chat_template.jinja; nothing for a
/// model that came from no folder.
#[derive(Debug, Clone, Default)]
pub(in crate::model) struct Kept {
    config: Option<Map<String, Value>>,
    /// generation_config.json and what [`NAMES`] and [`LICENCES`] name.
    files: Vec<(String, Vec<u8>)>,
}

impl Kept {
    /// What `folder` has; `config` is its config.json.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub(super) fn of(folder: &Path, config: &str) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let config = serde_json::from_str(config).map_err(|e| ModelError::file(&path, e))?;
        let mut files = Vec::new();
        let entries = std::fs::read_dir(folder).map_err(|e| ModelError::file(folder, e))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_licence = LICENCES.iter().any(|start| name.starts_with(start));
            let wanted = NAMES.contains(&name.as_str()) || is_licence || name == "generation_config.json";
            let path = entry.path();
            let is_small = std::fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= MOST_BYTES);
            if wanted && is_small {
                let bytes = std::fs::read(&path).map_err(|e| ModelError::file(&path, e))?;
                files.push((name, bytes));
            }
        }
        files.sort();
        Ok(Kept {
            config: Some(config),
            files,
        })
    }

    /// config.json with the type of the weights that are saved beside it; none for a model from no folder.
    pub(super) fn config(&self) -> Option<Value> {
        let mut config = self.config.clone()?;
        let key = if config.contains_key("dtype") {
            "dtype"
        } else {
            "torch_dtype"
        };
        config.insert(key.to_owned(), json!("float32"));
        Some(Value::Object(config))
    }

    /// Names in the folder and bytes of all other files.
    pub(super) fn files(&self) -> &[(String, Vec<u8>)] {
        &self.files
    }
}
