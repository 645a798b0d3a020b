//! `train --resume RUN`: a run that was stopped goes on from its newest whole checkpoint, as if it had not been.
//!
//! RUN/config.toml stands in place of the defaults, a config file and the environment. What decides the numbers of the
//! run must be as it was; where things lie, how much is shown and how many steps there are may change.

use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use super::{run::Run, snapshot::Fingerprint};
use crate::{
    config::{self, Change, Config, Request, ScheduleKind, Source},
    error::{self, Fault, Report},
    plugin::Recorder,
    run::{
        RunFolder,
        checkpoint::{Checkpoint, CheckpointError, NewestCheckpoint, newest},
    },
};

/// Keys, and beginnings of keys, that do not decide what the steps of a run do. Whether a model or data file that
/// moved is still the same is checked by its content.
const MAY_CHANGE: &[&str] = &[
    "train.steps", // not below what it was
    "train.threads",
    "train.run_dir",
    "checkpoint.",
    "logging.progress",
    "logging.samples",
    "plugins",
    "model.path",
    "model.recompute",
    "data.train",
    "data.validation",
    "data.test",
    "sft",
];

/// A run cannot be resumed as it was asked for.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the fields are what the messages show")]
pub enum ResumeError {
    /// A folder that no run wrote.
    #[error("{} is not a run folder: it has no config.toml", run.display())]
    NotARun { run: PathBuf },
    /// Nothing is left to do.
    #[error("{} is finished: all {steps} steps are done and its model is saved", run.display())]
    Finished { run: PathBuf, steps: u64 },
    /// A key has another value than it had.
    #[error("`{}` of a run that is resumed: found {}, expected {} as before", change.key, change.now, change.was)]
    Changed { run: PathBuf, change: Change },
    /// Fewer steps than before.
    #[error("`train.steps` of a run that is resumed: found {now}, expected {was} as before, or more")]
    FewerSteps { was: u64, now: u64 },
    /// The model at model.path has changed since the run began.
    #[error("model {path}: its weights or tokenizer are not those that the run began with")]
    OtherModel { path: String },
    /// The rows have changed since the run began.
    #[error("data.train {train} or data.validation {validation}: the prompts are not those that the run began with")]
    OtherPrompts { train: String, validation: String },
}

impl Report for ResumeError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotARun { .. } => "give the folder that a run has written, such as runs/first".into(),
            Self::Finished { steps, .. } => {
                format!("--set train.steps={} would go on from there", steps.saturating_mul(2))
            }
            Self::Changed { run, change } => format!(
                "a resumed run cannot change it; start a new one: --config {} --set {}=…",
                run.join("config.toml").display(),
                change.key
            ),
            Self::FewerSteps { .. } => "the learning rate follows the number of steps; leave it, or raise it".into(),
            Self::OtherModel { .. } => "if the model moved, give its place with --model".into(),
            Self::OtherPrompts { .. } => "if the files moved, give their places with --set data.train=…".into(),
        })
    }

    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

/// A run that can go on: its config and its newest whole checkpoint. Nothing has been written yet.
#[derive(Debug)]
pub struct Resume {
    run: PathBuf,
    config: Config,
    checkpoint: Checkpoint,
    changed: bool,
    /// What the user should know, a line each: damaged checkpoints, and what was changed.
    pub notes: Vec<String>,
}

impl Resume {
    /// Looks at the run folder `run`. `request` names its config.toml as the file, and what was typed beside.
    ///
    /// # Errors
    /// It is no run, has no whole checkpoint, or something was typed that would change what the run does.
    pub fn find(run: &Path, request: &Request) -> Result<Self, error::Error> {
        let run = run.to_owned();
        if !run.join("config.toml").is_file() {
            return Err(ResumeError::NotARun { run }.into());
        }
        let config = config::resolve(request)?.config;
        let NewestCheckpoint {
            checkpoint,
            passed_over,
        } = match newest(&run) {
            // With checkpoint.every = 0 a finished run has none.
            Err(CheckpointError::None { .. }) if run.join("model").exists() => {
                let steps = config.train.steps;
                return Err(ResumeError::Finished { run, steps }.into());
            }
            found => found?,
        };
        let mut notes: Vec<String> = passed_over.iter().map(|error| format!("warning: {error}")).collect();
        let written_by: String = checkpoint.state.part("moa")?;
        if written_by != env!("CARGO_PKG_VERSION") {
            let this = env!("CARGO_PKG_VERSION");
            notes.push(format!(
                "warning: the steps so far were done by moa {written_by}, the rest by {this}: results may differ in the \
                 last digits from a run by one of them"
            ));
        }
        let changes = config.changes_since(&checkpoint.state.part::<Value>("config")?)?;
        for change in &changes {
            if !MAY_CHANGE.iter().any(|key| is_below(&change.key, key)) {
                let change = change.clone();
                return Err(ResumeError::Changed { run, change }.into());
            }
            notes.push(format!("{}: {} -> {}", change.key, change.was, change.now));
        }
        if let Some(change) = changes.iter().find(|change| change.key == "train.steps") {
            let (was, now) = (change.was.parse().unwrap_or(u64::MAX), config.train.steps);
            if now < was {
                return Err(ResumeError::FewerSteps { was, now }.into());
            }
            if config.optimizer.schedule != ScheduleKind::Constant {
                let schedule = config.optimizer.schedule;
                notes.push(format!(
                    "the {schedule} schedule now ends at step {now}: the learning rate jumps"
                ));
            }
        }
        Ok(Self {
            run,
            config,
            checkpoint,
            changed: !changes.is_empty(),
            notes,
        })
    }

    /// What runs.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Loads everything, then opens the folder: from here on it is written to.
    ///
    /// # Errors
    /// As [`Run::open`]; model or data have changed, the run is finished, or another process has its folder.
    pub fn open(self) -> Result<(Run, RunFolder), error::Error> {
        let state = &self.checkpoint.state;
        let mut run = Run::open(self.config, false)?;
        check_fingerprint(&run, &state.part("began")?)?;
        run.restore(&self.checkpoint)?;
        let config = &run.setup.config;
        let tested = run.setup.test.is_none() || self.run.join("test.json").exists();
        if state.step() >= config.train.steps && self.run.join("model").exists() && tested {
            let steps = config.train.steps;
            return Err(ResumeError::Finished { run: self.run, steps }.into());
        }
        let text = if self.changed { Some(config.to_toml()?) } else { None };
        let keep = config.checkpoint.keep;
        let written = state.part("lines")?;
        let folder = RunFolder::resume(&self.run, &written, state.step(), text.as_deref(), keep)?;
        if let Some(events) = state.part::<Option<u64>>("trace_events")? {
            run.scalarizer.record_to(Recorder::resume(&folder.trace(), events)?);
        }
        Ok((run, folder))
    }
}

/// Model, tokenizer and prompts must be those that the run began with.
fn check_fingerprint(run: &Run, began: &Fingerprint) -> Result<(), ResumeError> {
    let (config, now) = (&run.setup.config, &run.snapshot.fingerprint);
    let named = |source: &Source| String::from(source.clone());
    if began.model != now.model {
        let path = named(&config.model.path);
        return Err(ResumeError::OtherModel { path });
    }
    if began.prompts != now.prompts {
        return Err(ResumeError::OtherPrompts {
            train: named(&config.data.train),
            validation: named(&config.data.validation),
        });
    }
    Ok(())
}

/// Whether `key` is `above`, or one of its keys.
fn is_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || above.ends_with('.') || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_below_a_table_or_itself_and_not_below_a_longer_word() {
        assert!(is_below("checkpoint.every", "checkpoint.") && is_below("train.steps", "train.steps"));
        assert!(is_below("sft.fresh.width", "sft") && is_below("sft", "sft"));
        assert!(!is_below("train.steps_per_day", "train.steps") && !is_below("train.seed", "train.steps"));
    }
}
