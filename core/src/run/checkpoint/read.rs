//! Finds the newest intact checkpoint of a run, and loads parameters and moments from it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    CheckpointError, State, checksum,
    names::{FOLDER, MODEL, MOMENTS, OPTIMIZER, STATE, step_of},
};
use crate::{
    engine::{
        Arena, Layout, Params,
        tensor_file::{self, ReadError},
    },
    update::{AdamW, OptimizerState},
};

/// An intact checkpoint: every file matches its checksum.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    /// Step and parts.
    pub state: State,
}

/// The newest intact checkpoint, and what is wrong with any newer ones.
#[derive(Debug)]
pub struct NewestCheckpoint {
    /// The one to go on from.
    pub checkpoint: Checkpoint,
    /// Newer ones that cannot be used, newest first.
    pub passed_over: Vec<CheckpointError>,
}

/// Looks for the newest whole checkpoint below the run folder `run`.
///
/// # Errors
/// There is none, or none that can be used.
pub fn newest(run: &Path) -> Result<NewestCheckpoint, CheckpointError> {
    let mut steps: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(run.join(FOLDER)).into_iter().flatten().flatten() {
        let step = step_of(&entry.file_name().to_string_lossy());
        steps.extend(step.map(|step| (step, entry.path())));
    }
    steps.sort();
    let mut passed_over = Vec::new();
    for (step, path) in steps.into_iter().rev() {
        match Checkpoint::open(&path, step) {
            Ok(checkpoint) => {
                return Ok(NewestCheckpoint {
                    checkpoint,
                    passed_over,
                });
            }
            Err(error) => passed_over.push(error),
        }
    }
    let (run, count) = (run.to_owned(), passed_over.len());
    Err(match passed_over.into_iter().next() {
        None => CheckpointError::None { run },
        Some(first) => CheckpointError::NoneWhole {
            run,
            count,
            first: Box::new(first),
        },
    })
}

impl Checkpoint {
    /// Checks every file of the folder `path` and reads its state.
    fn open(path: &Path, step: u64) -> Result<Self, CheckpointError> {
        checksum::verify(path)?;
        let file = path.join(STATE);
        let text = fs::read_to_string(&file).map_err(|e| CheckpointError::file(&file, e))?;
        let state: State = serde_json::from_str(&text).map_err(|e| CheckpointError::file(&file, e))?;
        if state.step() != step {
            return Err(CheckpointError::Damaged {
                path: path.to_owned(),
                problem: format!("it is of step {}", state.step()),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            state,
        })
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Loads the parameters that are trained into `params`.
    ///
    /// # Errors
    /// The file cannot be read, or its tensors are not the model's; the model is unchanged then.
    pub fn load_parameters(&self, params: &mut Params) -> Result<(), CheckpointError> {
        let layout = params.trainable().layout().clone();
        let [values] = read_buffers(&self.path.join(MODEL), [("", &layout)])?;
        *params.trainable_mut() = values;
        Ok(())
    }

    /// Loads the moments and the update count into `optimizer`.
    ///
    /// # Errors
    /// The file cannot be read, or its tensors are not the optimizer's; it is unchanged then.
    pub fn load_optimizer(&self, optimizer: &mut AdamW) -> Result<(), CheckpointError> {
        let layout = optimizer.state().moment1.layout().clone();
        let parts = MOMENTS.map(|prefix| (prefix, &layout));
        let [moment1, moment2] = read_buffers(&self.path.join(OPTIMIZER), parts)?;
        Ok(optimizer.load_state(OptimizerState {
            step: self.state.updates(),
            moment1,
            moment2,
        })?)
    }
}

/// Buffers of a file, the names of each after a prefix.
fn read_buffers<const N: usize>(path: &Path, parts: [(&str, &Arc<Layout>); N]) -> Result<[Arena; N], CheckpointError> {
    let layouts = parts.map(|(prefix, layout)| (prefix, &**layout));
    let buffers = tensor_file::read(path, &layouts).map_err(|error| match error {
        ReadError::File(message) => CheckpointError::file(path, message),
        ReadError::Tensor(name, problem) => CheckpointError::Tensor {
            path: path.to_owned(),
            name,
            problem,
        },
    })?;
    let arenas: Result<Vec<Arena>, _> = buffers
        .into_iter()
        .zip(parts)
        .map(|(values, (_, layout))| Arena::new(layout.clone(), values))
        .collect();
    let count = || CheckpointError::file(path, format!("expected {N} buffers"));
    arenas
        .map_err(|e| CheckpointError::file(path, e))?
        .try_into()
        .map_err(|_| count())
}
