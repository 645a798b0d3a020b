//! A run that ended before its end: what happened, in which step, and what there is to resume from.

use std::{fmt, path::PathBuf};

use thiserror::Error;

use crate::{
    advantage::AdvantageError,
    error::{self, Fault, Report},
    run::checkpoint::CheckpointError,
};

/// The user asked the run to stop.
#[derive(Debug, Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Report for Interrupted {
    fn fault(&self) -> Fault {
        Fault::Interrupted
    }
}

/// A run ended before its end.
#[derive(Debug, Error)]
#[error("{}{recoverable}", self.what())]
pub struct Stopped {
    pub(super) cause: error::Error,
    /// Completed steps; none if the first validation failed.
    pub(super) completed: Option<u64>,
    pub(super) steps: u64,
    pub(super) run: PathBuf,
    pub(super) recoverable: Recoverable,
}

/// What there is to resume from.
#[derive(Debug)]
pub(super) enum Recoverable {
    /// No step was begun.
    Nothing,
    /// The last completed step.
    All(PathBuf),
    /// An older checkpoint, if there is one, and why.
    Older { newest: Option<PathBuf>, why: String },
}

impl fmt::Display for Recoverable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("; no step was completed"),
            Self::All(path) => write!(f, "; checkpoint {} holds the completed steps", path.display()),
            Self::Older { newest: None, why } => write!(f, "; {why}, and there is no checkpoint yet"),
            Self::Older {
                newest: Some(path),
                why,
            } => {
                write!(f, "; {why}: the newest checkpoint is {}", path.display())
            }
        }
    }
}

impl Stopped {
    /// What happened and when.
    fn what(&self) -> String {
        let cause = &self.cause;
        match self.completed {
            done if cause.fault() == Fault::Interrupted => format!("interrupted after step {}", done.unwrap_or(0)),
            None => format!("the first validation failed: {cause}"),
            Some(done) if cause.downcast_ref::<CheckpointError>().is_some() => format!("after step {done}: {cause}"),
            Some(done) if done >= self.steps => format!("after step {done}, the last: {cause}"),
            Some(done) => format!("step {} failed: {cause}", done + 1),
        }
    }
}

impl Report for Stopped {
    fn hint(&self) -> Option<String> {
        let resume = match &self.recoverable {
            Recoverable::Nothing | Recoverable::Older { newest: None, .. } => None,
            _ if self.cause.fault() == Fault::Interrupted => Some(format!(
                "`moa-host train --resume {}` resumes from there",
                self.run.display()
            )),
            _ => Some(format!(
                "`moa-host train --resume {}` resumes from there; a remedy goes into {} or --set",
                self.run.display(),
                self.run.join("config.toml").display()
            )),
        };
        match (self.cause.hint(), resume) {
            (Some(cause), Some(resume)) => Some(format!("{cause}; {resume}")),
            (cause, resume) => cause.or(resume),
        }
    }

    /// Interrupted where the user stopped the run; usage where its settings turned out not to go together.
    fn fault(&self) -> Fault {
        match self.cause.downcast_ref() {
            Some(AdvantageError::NoReward { .. }) => Fault::Usage,
            _ if self.cause.fault() == Fault::Interrupted => Fault::Interrupted,
            _ => Fault::Run,
        }
    }
}
