//! What can be wrong with a model, its files or a batch.

use std::path::{Path, PathBuf};

use crate::engine::EngineError;
use crate::error::{Fault, Report};

/// Errors of the model module; each names the file, key or tensor.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Neither a folder, a `.gguf` file nor a hub id.
    #[error("model `{source_name}`: no such folder or file, and not a hub id of the form org/name")]
    NotFound {
        /// As typed.
        source_name: String,
    },
    /// A file could not be read or written.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's or the parser's message.
        message: String,
    },
    /// A model would be written to a place where something else is.
    #[error("{}: found {found}, expected nothing, an empty folder, or a model as moa wrote it", path.display())]
    Occupied {
        /// The place.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// A required key is missing.
    #[error("{}: key `{key}` is missing; expected {expected}", path.display())]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it should hold.
        expected: String,
    },
    /// A key has a value that is not allowed.
    #[error("{}: key `{key}` is {found}; expected {expected}", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it holds.
        found: String,
        /// What should.
        expected: String,
    },
    /// A model family that is not implemented.
    #[error("{}: architecture `{found}` is not known; known are {known}", path.display())]
    Architecture {
        /// The file.
        path: PathBuf,
        /// What the file names.
        found: String,
        /// What would work.
        known: String,
    },
    /// A weight of the architecture is missing.
    #[error("{}: tensor `{name}` is missing; expected it with shape {expected:?}", path.display())]
    MissingTensor {
        /// File or folder.
        path: PathBuf,
        /// Its Hugging Face name.
        name: String,
        /// Its shape.
        expected: Vec<usize>,
    },
    /// Weights that the architecture does not have.
    #[error("{}: {count} tensors that this architecture does not have, the first is `{name}`", path.display())]
    ExtraTensors {
        /// File or folder.
        path: PathBuf,
        /// How many.
        count: usize,
        /// The first in alphabetical order.
        name: String,
    },
    /// A weight of another shape.
    #[error("{}: tensor `{name}` has shape {found:?}; expected {expected:?}", path.display())]
    TensorShape {
        /// File or folder.
        path: PathBuf,
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// What config.json implies.
        expected: Vec<usize>,
    },
    /// A weight whose values cannot be read.
    #[error("{}: tensor `{name}`: {message}", path.display())]
    Tensor {
        /// File or folder.
        path: PathBuf,
        /// Its name.
        name: String,
        /// What went wrong.
        message: String,
    },
    /// A folder without tokenizer.json.
    #[error("{}: no tokenizer.json in the model folder", path.display())]
    NoTokenizer {
        /// The folder.
        path: PathBuf,
    },
    /// The tokenizer is broken, or cannot take a text.
    #[error("tokenizer: {message}")]
    Tokenizer {
        /// What went wrong.
        message: String,
    },
    /// The chat template failed.
    #[error("chat template: {message}")]
    Template {
        /// The template engine's message.
        message: String,
    },
    /// A chat template or a tokenizer that takes more time or memory than any text needs.
    #[error("chat template and tokenizer: {message}")]
    Runaway {
        /// What it took.
        message: String,
    },
    /// The hub could not be reached, or has no such file.
    #[error("hub model `{id}`, file {file}: {message}")]
    Hub {
        /// org/name
        id: String,
        /// The file asked for.
        file: String,
        /// The client's message.
        message: String,
    },
    /// Adapters on a folder of adapters.
    #[error("{}: the base {base} is itself a folder of adapters; expected a whole model", path.display())]
    AdapterOfAdapter {
        /// The adapters, or the key that asks for some.
        path: PathBuf,
        /// Their base.
        base: String,
    },
    /// A batch that does not fit together.
    #[error("{what}: found {found}, expected {expected}")]
    Batch {
        /// Which part.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Buffers that do not fit together.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl ModelError {
    /// A file error with the message of its cause.
    pub(crate) fn file(path: &Path, cause: impl std::fmt::Display) -> Self {
        ModelError::File {
            path: path.to_path_buf(),
            message: cause.to_string(),
        }
    }
}

impl Report for ModelError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            ModelError::NotFound { .. } => {
                "name a folder with config.json, tokenizer.json and *.safetensors, or a .gguf file".to_string()
            }
            ModelError::Architecture { .. } => "convert the model, or use one of the known families".to_string(),
            ModelError::MissingTensor { .. } | ModelError::TensorShape { .. } | ModelError::ExtraTensors { .. } => {
                "config.json and the weights must be of the same model; fetch the folder again".to_string()
            }
            ModelError::NoTokenizer { .. } => {
                "save the tokenizer beside the weights (AutoTokenizer.from_pretrained(…).save_pretrained(folder))"
                    .to_string()
            }
            ModelError::File { path, message }
                if path.extension().is_some_and(|e| e == "gguf") && message.contains("tensor type") =>
            {
                "convert it with llama.cpp's llama-quantize to Q8_0 or F16".to_string()
            }
            ModelError::BadValue { path, .. } | ModelError::MissingKey { path, .. }
                if path.extension().is_some_and(|e| e == "gguf") =>
            {
                "use another .gguf of the model, or its folder with config.json, tokenizer.json and *.safetensors"
                    .to_string()
            }
            ModelError::File { path, .. } if path.extension().is_some_and(|e| e == "gguf") => {
                "the file may be cut short: compare its size with the original, and fetch it again".to_string()
            }
            ModelError::File { path, .. } if path.ends_with("adapter_config.json") => {
                "a folder of adapters holds adapter_config.json and adapter_model.safetensors, as PEFT writes them"
                    .to_string()
            }
            ModelError::File { .. } | ModelError::MissingKey { .. } | ModelError::BadValue { .. } => {
                "a model folder holds config.json, tokenizer.json and *.safetensors, as save_pretrained writes them"
                    .to_string()
            }
            ModelError::Runaway { .. } => {
                "look at the row and at the model's chat template: one of them is not what it should be".to_string()
            }
            ModelError::AdapterOfAdapter { base, .. } => {
                format!("`moa-host model merge {base} --out MERGED` writes a whole model")
            }
            ModelError::Occupied { .. } => "name a new folder, or move away what is there".to_string(),
            ModelError::Tensor { .. } => "the file may be damaged: fetch it again".to_string(),
            ModelError::Hub { .. } => {
                "check the network and the name, set HF_TOKEN for a gated model, or fetch the folder beforehand and \
                 use its path"
                    .to_string()
            }
            _ => return None,
        };
        Some(hint)
    }

    fn fault(&self) -> Fault {
        match self {
            ModelError::Occupied { .. } => Fault::Usage,
            _ => Fault::Run,
        }
    }
}
