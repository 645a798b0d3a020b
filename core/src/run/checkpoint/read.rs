//! Finds the newest intact checkpoint of a run, and loads parameters and moments from it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    CheckpointError, State, checksum,
    names::{FOLDER, MOMENTS, OPTIMIZER, STATE, step_of},
};
use crate::{
    engine::{
        Arena, Layout,
        tensor_file::{self, ReadError},
    },
    model::Model,
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
/// There is none, or none that can be used; the folder of the checkpoints cannot be read.
pub fn newest(run: &Path) -> Result<NewestCheckpoint, CheckpointError> {
    let steps = all(run)?;
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

/// The whole checkpoint of `step` below the run folder `run`.
///
/// # Errors
/// It is not there, or damaged; the folder of the checkpoints cannot be read.
pub fn of_step(run: &Path, step: u64) -> Result<Checkpoint, CheckpointError> {
    let steps = all(run)?;
    match steps.iter().find(|(found, _)| *found == step) {
        Some((_, path)) => Checkpoint::open(path, step),
        None => Err(CheckpointError::NotThere {
            run: run.to_owned(),
            step,
            found: steps.iter().map(|(step, _)| *step).collect(),
        }),
    }
}

/// Step and folder of every checkpoint below the run folder `run`, whole or not, in the order of the steps.
fn all(run: &Path) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
    let folder = run.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| CheckpointError::file(&folder, e))?,
    };
    let mut steps = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| CheckpointError::file(&folder, e))?;
        let step = step_of(&entry.file_name().to_string_lossy());
        steps.extend(step.map(|step| (step, entry.path())));
    }
    steps.sort();
    Ok(steps)
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

    /// Loads the parameters that are trained into `model`.
    ///
    /// # Errors
    /// The file cannot be read, or its tensors are not the model's; the model is unchanged then.
    pub fn load_parameters(&self, model: &mut Model) -> Result<(), CheckpointError> {
        let layout = model.params().trainable().layout().clone();
        let [values] = read_buffers(&self.path.join(model.weights_file()), [("", &layout)])?;
        *model.params_mut().trainable_mut() = values;
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
    let buffers = tensor_file::read(path, &layouts, &[safetensors::Dtype::F32]).map_err(|error| match error {
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
