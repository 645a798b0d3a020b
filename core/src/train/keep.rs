//! Stopping without loss: what a session keeps of its last whole step, how it undoes a step that failed half-way, and
//! what it says when it stops.
//!
//! A step changes small things (scalarizer, cursor, running length, lines written) from its beginning, and the
//! parameters and moments in its update. After each whole step a copy of the small things is taken; before each update
//! one of parameters and moments, unless `checkpoint.rollback` is off. A checkpoint after a failure is made of the copies:
//! it is the one that would have been written at the end of the last whole step.

use std::{fmt, path::PathBuf};

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Session, SessionError, resume::ResumeError};
use crate::{
    checkpoint::{Checkpoint, Checksum, State, fingerprint},
    config::Source,
    data::Dataset,
    error::Hint,
    model::{Model, ModelError},
    plugin::Recorder,
    report::RunFolder,
    scalarizer::ScalarizerError,
    update::OptimizerState,
};

/// What the run began with: a run goes on with the same, or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Began {
    /// The model as it was loaded, which a KL term compares with, and its tokenizer.
    model: String,
    /// Training and validation prompts.
    prompts: String,
}

/// Copies that a session can go back to.
pub(super) struct Kept {
    began: Began,
    /// Everything small, at the end of the last whole step; none before the first validation.
    whole: Option<State>,
    /// Parameters and moments before the update that is under way.
    undo: Option<(Vec<Tensor>, OptimizerState)>,
}

impl Kept {
    pub(super) fn new(model: &Model, training: &Dataset, validation: &Dataset) -> Result<Self, SessionError> {
        let mut prompts = Checksum::default();
        let sets = [training, validation];
        sets.iter()
            .flat_map(|set| &set.prompts)
            .for_each(|prompt| prompts.add_prompt(prompt));
        Ok(Self {
            began: Began {
                model: fingerprint(model)?,
                prompts: prompts.hex(),
            },
            whole: None,
            undo: None,
        })
    }
}

impl Session {
    /// Whole steps done so far.
    #[must_use]
    pub fn steps_done(&self) -> u64 {
        self.kept.whole.as_ref().map_or(0, State::step)
    }

    /// Takes note that `step` is whole. Every piece of state that outlives a step has its part here, and is taken back
    /// in [`Session::restore`].
    pub(super) fn step_is_whole(&mut self, step: u64, folder: &RunFolder) -> Result<(), SessionError> {
        let mut state = State::new(step, self.optimizer.steps());
        // As text: the plugin reads back exactly what it wrote.
        state.put("scalarizer", &self.scalarizer.save()?)?;
        state.put("cursor", &self.cursor)?;
        state.put("length_baseline", &self.baseline)?;
        state.put("kl", &self.kl.state())?;
        state.put("lines", &folder.written()?)?;
        state.put("trace_events", &self.scalarizer.trace().map(Recorder::events))?;
        self.kept.whole = Some(state);
        self.kept.undo = None;
        Ok(())
    }

    /// Goes back to what a checkpoint holds.
    pub(super) fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), SessionError> {
        let state = &checkpoint.state;
        let began: Began = state.part("began")?;
        if began.model != self.kept.began.model {
            return Err(ResumeError::OtherModel {
                path: self.config.model.path.clone().into(),
            }
            .into());
        }
        if began.prompts != self.kept.began.prompts {
            let named = |source: &Source| String::from(source.clone());
            return Err(ResumeError::OtherPrompts {
                train: named(&self.config.data.train),
                validation: named(&self.config.data.validation),
            }
            .into());
        }
        checkpoint.load_parameters(self.policy.model())?;
        checkpoint.load_optimizer(&mut self.optimizer)?;
        self.scalarizer.load(&state.part::<String>("scalarizer")?)?;
        self.cursor = state.part("cursor")?;
        self.baseline = state.part("length_baseline")?;
        self.kl.load_state(state.part("kl")?);
        if let Some(penalty) = &mut self.update.loss.kl {
            penalty.coefficient = self.kl.coefficient();
        }
        self.kept.whole = Some(state.clone());
        Ok(())
    }

    /// Writes a checkpoint of the last whole step and gives its folder; none before the first validation.
    pub(super) fn checkpoint(&self, folder: &mut RunFolder) -> Result<Option<PathBuf>, SessionError> {
        let Some(mut state) = self.kept.whole.clone() else {
            return Ok(None);
        };
        state.put("moa", &env!("CARGO_PKG_VERSION"))?;
        state.put("config", &self.config)?;
        state.put("began", &self.kept.began)?;
        // What the checkpoint says was written must be on the disk before it.
        folder.sync()?;
        self.scalarizer.trace().map_or(Ok(()), Recorder::sync)?;
        let path = folder.checkpoints.write(&state, self.policy.model(), &self.optimizer)?;
        Ok(Some(path))
    }

    /// Copies parameters and moments before an update, where the config wants failed steps undone.
    pub(super) fn remember_parameters(&mut self) -> Result<(), SessionError> {
        if self.config.checkpoint.rollback {
            let params = self.policy.model().params().iter();
            let params = params.map(|(_, var)| var.as_tensor().copy()).collect::<Result<_, _>>();
            let params = params.map_err(ModelError::from)?;
            self.kept.undo = Some((params, self.optimizer.state()?));
        }
        Ok(())
    }

    /// Puts parameters and moments back to the last whole step. False: the step under way had changed them, and there
    /// is no copy.
    fn undo(&mut self, whole: &State) -> Result<bool, SessionError> {
        if self.optimizer.steps() == whole.updates() {
            return Ok(true);
        }
        let Some((params, optimizer)) = self.kept.undo.take() else {
            return Ok(false);
        };
        self.policy.model().set_params(&params)?;
        self.optimizer.load_state(optimizer)?;
        Ok(self.optimizer.steps() == whole.updates())
    }

    /// Ends the run because of `cause`, with a checkpoint of the last whole step.
    pub(super) fn stopped(&mut self, cause: SessionError, folder: &mut RunFolder) -> Stopped {
        let whole = self.kept.whole.clone();
        let older = |folder: &RunFolder, why: String| Remains::Older {
            newest: folder.checkpoints.newest(),
            why,
        };
        let remains = match &whole {
            None => Remains::Nothing,
            Some(_) if matches!(cause, SessionError::Checkpoint(_)) => older(folder, "it was not written".into()),
            Some(state) => match self.undo(state) {
                Ok(true) => match self.checkpoint(folder) {
                    Ok(Some(path)) => Remains::All(path),
                    Ok(None) => Remains::Nothing,
                    Err(error) => older(folder, format!("no checkpoint could be written ({error})")),
                },
                Ok(false) => older(
                    folder,
                    "the parameters had changed and checkpoint.rollback is off".into(),
                ),
                Err(error) => older(folder, format!("the step could not be undone ({error})")),
            },
        };
        Stopped {
            cause: Box::new(cause),
            done: whole.map(|state| state.step()),
            steps: self.config.train.steps,
            run: folder.path().to_owned(),
            remains,
        }
    }
}

/// A run ended before its end.
#[derive(Debug, Error)]
#[error("{}{}", self.what(), self.remains)]
pub struct Stopped {
    cause: Box<SessionError>,
    /// Whole steps; none if the first validation did not come to its end.
    done: Option<u64>,
    steps: u64,
    run: PathBuf,
    remains: Remains,
}

/// What there is to go on from.
#[derive(Debug)]
enum Remains {
    /// No step was begun.
    Nothing,
    /// The last whole step.
    All(PathBuf),
    /// An older checkpoint, if there is one, and why.
    Older { newest: Option<PathBuf>, why: String },
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("; no step was done yet"),
            Self::All(path) => write!(f, "; the steps done are in checkpoint {}", path.display()),
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
    /// 130 where the user stopped the run, 2 where its settings turned out not to go together, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match *self.cause {
            SessionError::Interrupted => 130,
            SessionError::Scalarizer(ScalarizerError::NoReward { .. }) => 2,
            _ => 1,
        }
    }

    /// Whether the user stopped the run.
    #[must_use]
    pub fn was_interrupted(&self) -> bool {
        matches!(*self.cause, SessionError::Interrupted)
    }

    /// What happened and when.
    fn what(&self) -> String {
        let cause = &self.cause;
        match (&**cause, self.done) {
            (SessionError::Interrupted, done) => format!("interrupted after step {}", done.unwrap_or(0)),
            (_, None) => format!("the first validation failed: {cause}"),
            (SessionError::Checkpoint(_), Some(done)) => format!("after step {done}: {cause}"),
            (_, Some(done)) if done >= self.steps => format!("after step {done}, the last: {cause}"),
            (_, Some(done)) => format!("step {} failed: {cause}", done + 1),
        }
    }
}

impl Hint for Stopped {
    fn hint(&self) -> Option<String> {
        let resume = match &self.remains {
            Remains::Nothing | Remains::Older { newest: None, .. } => None,
            _ => Some(format!(
                "`moa-host train --resume {}` goes on from there",
                self.run.display()
            )),
        };
        match (self.cause.hint(), resume) {
            (Some(cause), Some(resume)) => Some(format!("{cause}; {resume}")),
            (cause, resume) => cause.or(resume),
        }
    }
}
