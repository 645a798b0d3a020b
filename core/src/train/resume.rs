//! `train --resume RUN`: a run that was stopped goes on from its newest whole checkpoint, as if it had not been.
//!
//! The settings are those of the checkpoint; what RUN/config.toml and the command line say differently stands above them.
//! What decides the numbers of the run must be as it was; where things lie, how much is shown and how many steps there are
//! may change. So may what a failed run needs to go on; changes.jsonl keeps it. A run that was stopped before its first
//! checkpoint begins anew.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use thiserror::Error;

use super::{run::Run, setup, snapshot::Fingerprint};
use crate::{
    config::{self, Change, Config, Request, ScheduleKind, Source},
    error::{self, Fault, Report},
    plugin::{self, Recorder},
    run::{
        RunFolder, RunLock, check_end,
        checkpoint::{Checkpoint, CheckpointError, Checkpoints, NewestCheckpoint, newest, of_step},
        native_call_of,
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

/// Keys that a run which failed may need to change: the steps from here on are not those of an undisturbed run.
const REMEDIES: &[&str] = &[
    "optimizer.lr",
    "optimizer.clip_norm",
    "objective[].on_error",
    "objective[].limits",
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
    /// There is neither a checkpoint nor a config to begin anew with.
    #[error("{}: {problem}, and there is no checkpoint", run.display())]
    NoSettings { run: PathBuf, problem: String },
    /// Without a checkpoint, what is there of the end cannot be mended.
    #[error("{} has no checkpoint, and its end is damaged: {problem}", run.display())]
    DamagedEnd { run: PathBuf, problem: String },
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
            Self::NoSettings { run, .. } => format!("move {} away and start the run again", run.display()),
            Self::DamagedEnd { run, .. } => format!(
                "start it again in another folder: --config {}",
                run.join("config.toml").display()
            ),
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
        match self {
            Self::Finished { .. } => Fault::Nothing,
            _ => Fault::Usage,
        }
    }
}

/// A run that can go on: its config and its newest whole checkpoint. Nothing has been written yet.
#[derive(Debug)]
pub struct Resume {
    run: PathBuf,
    lock: RunLock,
    config: Config,
    /// None in a run that begins anew.
    checkpoint: Option<Checkpoint>,
    changes: Vec<Change>,
    /// Whether config.toml is written anew.
    rewrite: bool,
    /// What the user should know, a line each: damaged checkpoints, and what was changed.
    pub notes: Vec<String>,
}

impl Resume {
    /// Looks at the run folder `run`, at the checkpoint of step `from` or else the newest whole one. `request` has what was
    /// typed beside.
    ///
    /// # Errors
    /// It is no run, another process writes to it, it is finished, it has no whole checkpoint though it had one, or
    /// something was typed that would change what the run does.
    pub fn find(run: &Path, from: Option<u64>, mut request: Request) -> Result<Self, error::Error> {
        let run = run.to_owned();
        let file = run.join("config.toml");
        if !file.is_file() && !run.join("checkpoints").exists() {
            return Err(ResumeError::NotARun { run }.into());
        }
        let lock = RunLock::take(&run)?;
        let mut notes = Vec::new();
        if let Some(call) = plugin::last_call(&native_call_of(&run)) {
            notes.push(format!("warning: the process before was ended from inside {call}"));
        }
        let checkpoint = match from {
            Some(step) => Some(of_step(&run, step)?),
            None => match newest(&run) {
                Ok(NewestCheckpoint {
                    checkpoint,
                    passed_over,
                }) => {
                    notes.extend(passed_over.iter().map(|error| format!("warning: {error}")));
                    Some(checkpoint)
                }
                Err(CheckpointError::None { .. }) => None,
                Err(error) => return Err(error.into()),
            },
        };
        let settings = match fs::read(&file) {
            Ok(bytes) if bytes.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace()) => {
                Err("config.toml is empty")
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err("config.toml is missing"),
            _ => Ok(()), // what else is wrong with it is an error when it is read
        };
        let rewrite = settings.is_err();
        request.file = Some(file.clone()).filter(|_| settings.is_ok());
        request.environment.clear();
        let Some(checkpoint) = checkpoint else {
            return Self::anew(run, lock, &request, settings, notes);
        };
        if let Err(problem) = settings {
            notes.push(format!(
                "warning: {problem}; it is written anew, with the settings of the checkpoint"
            ));
        }
        let then = checkpoint.state.part::<Value>("config")?;
        request.base = Some(Config::base(&then)?);
        let config = config::resolve(&request)?.config;
        let written_by: String = checkpoint.state.part("moa")?;
        if written_by != env!("CARGO_PKG_VERSION") {
            let this = env!("CARGO_PKG_VERSION");
            notes.push(format!(
                "warning: the steps so far were done by moa {written_by}, the rest by {this}: results may differ in the \
                 last digits from a run by one of them"
            ));
        }
        let changes = config.changes_since(&then)?;
        check_changes(&run, &config, &changes, &mut notes)?;
        if checkpoint.state.step() >= config.train.steps && check_end(&run, setup::has_test(&config)).is_ok() {
            Checkpoints::new(&run, config.checkpoint.keep, Some(checkpoint.state.step())).tidy()?;
            let steps = config.train.steps;
            return Err(ResumeError::Finished { run, steps }.into());
        }
        Ok(Self {
            run,
            lock,
            config,
            checkpoint: Some(checkpoint),
            rewrite: rewrite || !changes.is_empty(),
            changes,
            notes,
        })
    }

    /// A run without a checkpoint: it was stopped before its first one, and begins anew, or it is finished.
    fn anew(
        run: PathBuf,
        lock: RunLock,
        request: &Request,
        settings: Result<(), &str>,
        mut notes: Vec<String>,
    ) -> Result<Self, error::Error> {
        if let Err(problem) = settings {
            let problem = problem.to_owned();
            return Err(ResumeError::NoSettings { run, problem }.into());
        }
        let file = run.join("config.toml");
        let config = Config::read(&file)?; // a file that was cut short lacks keys, which defaults must not fill in
        let steps = config.train.steps;
        if run.join("model").exists() {
            return Err(match check_end(&run, setup::has_test(&config)) {
                Ok(()) => ResumeError::Finished { run, steps },
                Err(problem) => ResumeError::DamagedEnd { run, problem },
            }
            .into());
        }
        // Lines of steps after which there was a checkpoint: it was lost, and the lines are worth more than a new start.
        let lines = fs::read(run.join("metrics.jsonl")).unwrap_or_default();
        let done = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        let every = config.checkpoint.every;
        if every > 0 && done >= every.min(steps) && done > 0 {
            return Err(CheckpointError::None { run }.into());
        }
        notes.push(format!(
            "{} was stopped before its first checkpoint: it begins anew",
            run.display()
        ));
        Ok(Self {
            config: config::resolve(request)?.config,
            notes,
            run,
            lock,
            checkpoint: None,
            changes: Vec::new(),
            rewrite: true,
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
    /// As [`Run::open`]; model or data have changed.
    pub fn open(self) -> Result<(Run, RunFolder), error::Error> {
        let mut run = Run::open(self.config, false)?;
        let text = run.setup.config.to_toml()?;
        let keep = run.setup.config.checkpoint.keep;
        let Some(checkpoint) = self.checkpoint else {
            let folder = RunFolder::restart(&self.run, self.lock, &text, keep)?;
            if run.setup.config.logging.trace {
                run.record_trace(&folder.trace())?;
            }
            return Ok((run, folder));
        };
        let state = &checkpoint.state;
        check_fingerprint(&run, &state.part("began")?)?;
        run.restore(&checkpoint)?;
        let text = self.rewrite.then_some(text);
        let written = state.part("lines")?;
        let folder = RunFolder::resume(&self.run, self.lock, &written, state.step(), text.as_deref(), keep)?;
        folder.write_changes(state.step(), &self.changes)?;
        folder.checkpoints.tidy()?;
        if let Some(events) = state.part::<Option<u64>>("trace_events")? {
            run.scalarizer.record_to(Recorder::resume(&folder.trace(), events)?);
        }
        Ok((run, folder))
    }
}

/// Whether a resumed run may have other values of these keys, with a line about each.
fn check_changes(run: &Path, config: &Config, changes: &[Change], notes: &mut Vec<String>) -> Result<(), ResumeError> {
    for change in changes {
        let Change { key, was, now } = change;
        let any_entry = without_index(key);
        if REMEDIES.iter().any(|remedy| is_below(&any_entry, remedy)) {
            notes.push(format!(
                "warning: {key}: {was} -> {now}: from here on this is another run than the one that began"
            ));
        } else if MAY_CHANGE.iter().any(|free| is_below(key, free)) {
            notes.push(format!("{key}: {was} -> {now}"));
        } else {
            return Err(ResumeError::Changed {
                run: run.to_owned(),
                change: change.clone(),
            });
        }
    }
    if let Some(change) = changes.iter().find(|change| change.key == "train.steps") {
        let (was, now) = (change.was.parse().unwrap_or(u64::MAX), config.train.steps);
        if now < was {
            return Err(ResumeError::FewerSteps { was, now });
        }
        if config.optimizer.schedule != ScheduleKind::Constant {
            let schedule = config.optimizer.schedule;
            notes.push(format!(
                "the {schedule} schedule now ends at step {now}: the learning rate jumps"
            ));
        }
    }
    Ok(())
}

/// A key with the numbers of list entries left out: `objective[].reward`.
fn without_index(key: &str) -> String {
    let mut out = String::new();
    for part in key.split_inclusive(['[', ']']) {
        match part.strip_suffix(']') {
            Some(_) => out.push(']'),
            None => out.push_str(part),
        }
    }
    out
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
        assert_eq!(without_index("objective[12].on_error"), "objective[].on_error");
        assert_eq!(without_index("train.steps"), "train.steps");
        assert!(!is_below("train.steps_per_day", "train.steps") && !is_below("train.seed", "train.steps"));
    }
}
