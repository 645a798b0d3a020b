//! Why a run folder cannot be made, claimed or written.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{
    error::{Fault, Report},
    staged::FileError,
};

/// A run folder could not be made or written.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The folder already holds something.
    #[error("run folder {path} is not empty")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Another process writes to it.
    #[error("run folder {path} is in use by {}", process.map_or("another process".to_owned(), |id| format!("process {id}")))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its number, where it is known.
        process: Option<u32>,
    },
    /// A file has lost lines that the checkpoint had seen, or holds something else.
    #[error("{path}: {problem}")]
    Lines {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        problem: String,
    },
    /// The system refused.
    #[error("run folder {path}: {source}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl From<FileError> for FolderError {
    fn from(error: FileError) -> Self {
        Self::Io {
            path: error.path,
            source: error.source,
        }
    }
}

impl Report for FolderError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotEmpty { .. } => {
                Some("pick another with --run-dir, or leave the option out to get a numbered folder".into())
            }
            Self::InUse { .. } => Some("wait until that run has ended, or stop it".into()),
            Self::Lines { .. } => {
                Some("restore the file from a copy of the run folder; the run cannot be resumed without it".into())
            }
            Self::Io { .. } => Some("pick a writable folder with --run-dir".into()),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::NotEmpty { .. } | Self::InUse { .. } | Self::Lines { .. } => Fault::Usage,
            Self::Io { .. } => Fault::Run,
        }
    }
}
