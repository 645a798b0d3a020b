//! What can be wrong with the run folders that a report is made of.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::error::{Fault, Report};

/// A report or a comparison cannot be made.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the fields are what the messages show")]
pub enum ReportError {
    /// A folder that no run wrote.
    #[error("{} is not a run folder: it has no config.toml", run.display())]
    NotARun { run: PathBuf },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A line of a file is not what a run writes.
    #[error("{} line {line}: {problem}", path.display())]
    Line {
        path: PathBuf,
        line: usize,
        problem: String,
    },
    /// Nothing was measured yet.
    #[error("{} has no validation yet", run.display())]
    NoValidation { run: PathBuf },
    /// Runs with other objectives cannot stand in one table.
    #[error("{} has the objectives {found}, expected {expected} as in {}", run.display(), first.display())]
    Objectives {
        run: PathBuf,
        found: String,
        expected: String,
        first: PathBuf,
    },
    /// The same run twice would count as two seeds.
    #[error("{} and {} have the same settings and the same seed {seed}", first.display(), second.display())]
    SameSeed { first: PathBuf, second: PathBuf, seed: u64 },
    /// No run is finished.
    #[error("none of the {0} runs is finished")]
    NoneFinished(usize),
}

impl Report for ReportError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotARun { .. } => Some("give the folder that a run has written, such as runs/first".into()),
            Self::Io { .. } => None,
            Self::Line { .. } => Some("the run was damaged after it was written; `train --resume` repairs it".into()),
            Self::NoValidation { .. } => Some("wait until the first validation is done".into()),
            Self::Objectives { .. } => Some("compare runs with the same objectives in the same order".into()),
            Self::SameSeed { .. } => Some("leave one of them out: they are one run, and would count as two".into()),
            Self::NoneFinished(_) => Some("`moa-host train --resume RUN` takes a run to its end".into()),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } => Fault::Run,
            _ => Fault::Usage,
        }
    }
}
