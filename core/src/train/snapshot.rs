//! Stopping without loss: what a run keeps of its last completed step, and how it rolls back a step that failed.
//!
//! A step changes small things (scalarizer, cursor, mean length, lines written) from its beginning, and the parameters
//! and moments in its update. Each completed step commits a copy of the small things; before each update parameters and
//! moments are copied, unless `checkpoint.rollback` is off. After a failure, the checkpoint is the state at the end of the
//! last completed step.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    config::Config,
    data::{Cursor, Dataset},
    engine::{Arena, Params},
    error::Error,
    model::Model,
    plugin::Recorder,
    reward::MeanLength,
    run::{
        RunFolder, Written,
        checkpoint::{Checksum, State, fingerprint},
    },
    update::{AdamW, KlControlState, OptimizerState},
};

/// What the run began with: it resumes with the same, or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    /// The model as it was loaded, which a KL term compares with, and its tokenizer.
    pub(super) model: String,
    /// Training and validation prompts.
    pub(super) prompts: String,
}

impl Fingerprint {
    pub(super) fn of(model: &Model, training: &Dataset, validation: &Dataset) -> Self {
        let mut prompts = Checksum::default();
        let sets = [training, validation];
        sets.iter()
            .flat_map(|set| &set.prompts)
            .for_each(|prompt| prompts.add_prompt(prompt));
        Self {
            model: fingerprint(model),
            prompts: prompts.hex(),
        }
    }
}

/// Everything small that outlives a step. A new piece of state is a field here, filled in `Run::commit` and taken back
/// in `Run::restore`; the compiler asks for both.
#[derive(Serialize, Deserialize)]
pub(super) struct RunState {
    /// The plugin's own text: it reads back exactly what it wrote.
    pub(super) scalarizer: String,
    pub(super) cursor: Cursor,
    pub(super) length_baseline: MeanLength,
    pub(super) kl: KlControlState,
    pub(super) lines: Written,
    pub(super) trace_events: Option<u64>,
}

/// Copies that a run can return to.
pub(super) struct Snapshot {
    pub(super) fingerprint: Fingerprint,
    /// The last completed step; none before the first validation.
    committed: Option<State>,
    /// Parameters and moments before the update under way.
    before_update: Option<(Arena, OptimizerState)>,
}

impl Snapshot {
    pub(super) fn new(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            committed: None,
            before_update: None,
        }
    }

    /// The last completed step's state.
    pub(super) fn committed(&self) -> Option<&State> {
        self.committed.as_ref()
    }

    /// A step is complete.
    pub(super) fn commit(&mut self, state: State) {
        self.committed = Some(state);
        self.before_update = None;
    }

    /// Keeps parameters and moments as they are: they are copied when the update writes them.
    pub(super) fn copy_parameters(&mut self, params: &Params, optimizer: &AdamW) {
        self.before_update = Some((params.trainable().clone(), optimizer.state().clone()));
    }

    /// Returns parameters and moments to the last completed step. False: the step under way had changed them, and there
    /// is no copy.
    pub(super) fn roll_back(&mut self, params: &mut Params, optimizer: &mut AdamW) -> Result<bool, Error> {
        let updates = self.committed.as_ref().map_or(0, State::updates);
        if optimizer.steps() == updates {
            return Ok(true);
        }
        let Some((before, moments)) = self.before_update.take() else {
            return Ok(false);
        };
        params.trainable_mut().set(&before)?;
        optimizer.load_state(moments)?;
        Ok(optimizer.steps() == updates)
    }

    /// Writes a checkpoint of the last completed step and returns its folder; none before the first validation.
    pub(super) fn write(
        &self,
        config: &Config,
        model: &Model,
        optimizer: &AdamW,
        trace: Option<&Recorder>,
        folder: &mut RunFolder,
    ) -> Result<Option<PathBuf>, Error> {
        let Some(mut state) = self.committed.clone() else {
            return Ok(None);
        };
        state.put("moa", &env!("CARGO_PKG_VERSION"))?;
        state.put("config", config)?;
        state.put("began", &self.fingerprint)?;
        // What the checkpoint says was written must be on the disk before it.
        folder.sync()?;
        trace.map_or(Ok(()), Recorder::sync)?;
        Ok(Some(folder.checkpoints.write(&state, model, optimizer)?))
    }
}
