//! What can be wrong with a checkpoint. Each message names the folder or file.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::{
    error::{Fault, Report},
    model::ModelError,
    staged::FileError,
    update::OptimizerError,
};

/// A checkpoint could not be written, or cannot be resumed from.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The system or a parser refused a file.
    #[error("checkpoint {}: {message}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Its words.
        message: String,
    },
    /// A folder without checkpoints.
    #[error("{} has no checkpoint to resume from", run.display())]
    None {
        /// The run folder.
        run: PathBuf,
    },
    /// There is no checkpoint of the step that was asked for.
    #[error("{} has no checkpoint of step {step}, only {}", run.display(), steps(found))]
    NotThere {
        /// The run folder.
        run: PathBuf,
        /// The step.
        step: u64,
        /// The steps of those that are there.
        found: Vec<u64>,
    },
    /// There are checkpoints, but none that can be used.
    #[error("{}: none of its {count} checkpoints is intact; the newest: {first}", run.display())]
    NoneWhole {
        /// The run folder.
        run: PathBuf,
        /// How many were tried.
        count: usize,
        /// What is wrong with the newest.
        first: Box<CheckpointError>,
    },
    /// A file that is not as it was written.
    #[error("checkpoint {} is damaged: {problem}", path.display())]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// Which file, what was found and what was expected.
        problem: String,
    },
    /// Written by a moa with another format.
    #[error("checkpoint {}: found format {found:?}, expected {expected:?}", path.display())]
    Format {
        /// The checkpoint.
        path: PathBuf,
        /// First line of its checksums.txt.
        found: String,
        /// What this moa writes.
        expected: &'static str,
    },
    /// A part of state.json is missing or not what this moa keeps there.
    #[error("checkpoint {}: part `{part}` of state.json {problem}", path.display())]
    Part {
        /// The checkpoint.
        path: PathBuf,
        /// Name of the part.
        part: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The tensors are not those of this model or optimizer.
    #[error("checkpoint {}: tensor `{name}` {problem}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
        /// What was found and expected.
        problem: String,
    },
    /// The model refused its parameters.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The optimizer refused its state.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
}

fn steps(found: &[u64]) -> String {
    match found {
        [] => "none".to_owned(),
        found => found.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

impl CheckpointError {
    /// A file error with the words of its cause.
    pub(crate) fn file(path: &Path, cause: impl std::fmt::Display) -> Self {
        Self::File {
            path: path.to_owned(),
            message: cause.to_string(),
        }
    }
}

impl From<FileError> for CheckpointError {
    fn from(error: FileError) -> Self {
        Self::file(&error.path, error.source)
    }
}

impl Report for CheckpointError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File { .. } => Some("the disk may be full, or the run folder was removed".into()),
            Self::None { run } | Self::NoneWhole { run, .. } => Some(format!(
                "start again with --config {}; checkpoint.every sets how often one is written",
                run.join("config.toml").display()
            )),
            Self::NotThere { .. } => Some("leave --from out to go on from the newest one".into()),
            Self::Damaged { .. } => {
                Some("restore the folder from a copy, or delete it to resume from the one before".into())
            }
            Self::Format { .. } | Self::Part { .. } => Some("resume with the version of moa that wrote it".into()),
            Self::Tensor { .. } => Some("model.path must be the model that the run began with".into()),
            Self::Model(error) => error.hint(),
            Self::Optimizer(error) => error.hint(),
        }
    }

    fn fault(&self) -> Fault {
        Fault::Usage
    }
}
