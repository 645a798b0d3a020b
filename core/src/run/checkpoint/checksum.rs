//! Checksums of a checkpoint's files, and of what a run began with.

use std::path::Path;

use super::CheckpointError;
pub use crate::checksums::Checksum;
use crate::{
    checksums::{self, FILE, PIECE, Unlike},
    data::Prompt,
    model::Model,
};

/// First line of checksums.txt. The number goes up when a checkpoint's layout changes.
const FORMAT: &str = "moa-checkpoint 1";

impl Checksum {
    /// Adds what a run takes from a prompt: its tokens, and what rewards see.
    pub fn add_prompt(&mut self, prompt: &Prompt) {
        self.add(&(prompt.tokens.len() as u64).to_le_bytes());
        for token in &prompt.tokens {
            self.add(&token.to_le_bytes());
        }
        for text in [&prompt.text, &prompt.ground_truth, &prompt.data_source, &prompt.extra] {
            self.add_text(text);
        }
    }
}

/// The checksum of a model's parameters and tokenizer.
#[must_use]
pub fn fingerprint(model: &Model) -> String {
    let mut sum = Checksum::default();
    let mut bytes = Vec::new();
    for (slot, values) in model.params().all().iter() {
        sum.add_text(&slot.name);
        for values in values.chunks(PIECE / 4) {
            bytes.clear();
            bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            sum.add(&bytes);
        }
    }
    for (name, bytes) in model.tokenizer.files() {
        sum.add_text(name);
        sum.add(bytes);
    }
    sum.hex()
}

/// Forces every file of a finished checkpoint to the disk and writes its checksums.txt, the last file.
pub(super) fn seal(folder: &Path) -> Result<(), CheckpointError> {
    Ok(checksums::seal(folder, FORMAT)?)
}

/// Checks every file of a checkpoint.
pub(super) fn verify(folder: &Path) -> Result<(), CheckpointError> {
    let damaged = |problem: String| CheckpointError::Damaged {
        path: folder.to_owned(),
        problem,
    };
    checksums::verify(folder, FORMAT).map_err(|unlike| match unlike {
        Unlike::Unreadable(error) => damaged(format!("{FILE}: {error}")),
        Unlike::Files(problem) => damaged(problem),
        Unlike::File(error) => error.into(),
        Unlike::Format(found) => CheckpointError::Format {
            path: folder.to_owned(),
            found,
            expected: FORMAT,
        },
    })
}
