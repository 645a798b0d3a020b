//! Prompts: from a file to token ids in a seeded order.
//!
//! ```text
//! .parquet / .jsonl  --read_rows-->  Vec<Row>  --Dataset::new-->  Vec<Prompt>  --Cursor::next-->  P indices a step
//! ```
//! This module stands above `model`, so it knows no tokenizer: whoever builds a [`Dataset`] hands in a closure
//! that renders and encodes one prompt (see [`Encode`]).

mod columns;
pub mod convert;
mod cursor;
mod dataset;
mod draw;
pub mod embedded;
mod error;
mod inspect;
mod jsonl;
mod kind;
mod parquet_read;
mod parquet_write;
mod permutation;
pub mod tiny_math;

use std::fs;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use cursor::Cursor;
pub use dataset::{Dataset, Encode, EncodeError, Encoded, Overlong, Prompt};
pub use error::{DataError, Place};
pub use inspect::{Column, Inspection, Summary, inspect};
pub use jsonl::write_jsonl;
pub use parquet_read::read_parquet_bytes;
pub use parquet_write::{parquet_bytes, write_parquet};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// A prompt as the file has it, before the chat template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PromptText {
    /// Plain text.
    Text(String),
    /// A conversation; the papers' files hold one user message.
    Messages(Vec<Message>),
}

impl PromptText {
    /// Number of characters (Unicode scalar values) of the text, or of all messages' contents.
    pub fn characters(&self) -> usize {
        match self {
            Self::Text(text) => text.chars().count(),
            Self::Messages(messages) => messages.iter().map(|m| m.content.chars().count()).sum(),
        }
    }
}

/// One row of a data file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Position in the file, from 0; blank lines of a JSON lines file are not counted.
    pub index: usize,
    /// The prompt column.
    pub prompt: PromptText,
    /// `reward_model.ground_truth`, or a column `ground_truth`; empty where the file has neither.
    pub ground_truth: String,
    /// Where the problem comes from; empty where the file does not say.
    pub data_source: String,
    /// JSON object of every other column, and of what `reward_model` holds besides the ground truth.
    pub extra: String,
    /// The response to imitate, in files for supervised training.
    pub response: Option<String>,
}

/// Which columns to read, and what must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Column with the prompt.
    pub prompt_key: String,
    /// A row without ground truth is an error. Rewards that compare answers need it; others do not.
    pub require_ground_truth: bool,
    /// A row without a response is an error. Supervised training needs it.
    pub require_response: bool,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            prompt_key: "prompt".to_owned(),
            require_ground_truth: false,
            require_response: false,
        }
    }
}

/// Reads all rows of a `.parquet` file (the papers' layout) or of a JSON lines file (`.jsonl`, `.ndjson`, `.json`
/// with one object a line).
///
/// The columns: `keys.prompt_key` is text or a list of `{role, content}`; the ground truth is
/// `reward_model.ground_truth` or `ground_truth`; `data_source` and `response` are optional; everything else goes
/// to [`Row::extra`].
///
/// # Errors
/// A file that cannot be read, is of no known format, damaged, cut short or without rows; a prompt column that is
/// not there; a cell of the wrong type; a missing ground truth or response that `keys` asks for.
pub fn read_rows(path: &Path, keys: &Keys) -> Result<Vec<Row>, DataError> {
    read_table(path)?.rows(keys)
}

/// The columns of every row of a file, as JSON: what [`read_rows`] and [`inspect()`] start from.
/// Reads JSON lines that are in memory, such as standard input; `name` stands for the path in errors.
///
/// # Errors
/// As [`read_rows`].
pub fn read_jsonl_bytes(name: &Path, bytes: &[u8], keys: &Keys) -> Result<Vec<Row>, DataError> {
    jsonl::read_lines(name, bytes)?.rows(keys)
}

fn read_table(path: &Path) -> Result<columns::Table, DataError> {
    let unreadable = |source| DataError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut magic = Vec::with_capacity(4);
    let file = fs::File::open(path).map_err(unreadable)?;
    (&file).take(4).read_to_end(&mut magic).map_err(unreadable)?;
    let extension = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    match extension.as_str() {
        "parquet" => parquet_read::read_file(path, file),
        _ if magic == parquet_read::MAGIC => parquet_read::read_file(path, file),
        "jsonl" | "ndjson" | "json" => jsonl::read_lines(path, &fs::read(path).map_err(unreadable)?),
        _ => Err(DataError::UnknownFormat { path: path.to_owned() }),
    }
}

/// Writes a finished file, and makes the folders above it.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|source| DataError::Unwritable {
            path: path.to_owned(),
            source,
        })
}
