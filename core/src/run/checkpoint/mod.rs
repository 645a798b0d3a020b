//! Checkpoints: everything that a run needs to resume bit for bit, in one folder that is complete or absent.
//!
//! ```text
//! checkpoints/step-000040/
//!   config.json  tokenizer.json  …   the model in the Hugging Face layout, so that it opens as one
//!   model.safetensors                parameters, f32 as in memory
//!   optimizer.safetensors            moments, and master copies where there are any
//!   state.json                       step, optimizer updates, and named parts: whatever else the run keeps
//!   checksums.txt                    format, then XXH64, size and name of each file above
//! ```
//! A checkpoint is written beside its place, forced to the disk and renamed, so a kill at any moment leaves the one
//! before it. A file that was cut or changed later fails its checksum, and the run resumes from the newest intact
//! checkpoint. This module knows files; `train` decides what goes into the parts.

mod checksum;
mod error;
mod names;
mod read;
mod state;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use checksum::{Checksum, fingerprint};
pub use error::CheckpointError;
pub use read::{Checkpoint, NewestCheckpoint, newest, of_step};
pub use state::State;

use names::{FOLDER, MOMENTS, OPTIMIZER, STATE, name, step_of};

use crate::{
    engine::tensor_file,
    model::Model,
    staged::{remove_folder, sync_folder},
    update::{AdamW, OptimizerState},
};

/// The checkpoints of a run: writes new ones and removes those that are no longer needed.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
    newest: Option<u64>,
}

impl Checkpoints {
    /// The checkpoints below the folder `run`, of which the newest `keep` ≥ 1 stay. `newest` is the step of the one
    /// that the run goes on from. Nothing is written or read.
    #[must_use]
    pub fn new(run: &Path, keep: usize, newest: Option<u64>) -> Self {
        Self {
            folder: run.join(FOLDER),
            keep: keep.max(1),
            newest,
        }
    }

    /// The newest one that this run wrote or goes on from, if there is one.
    #[must_use]
    pub fn newest(&self) -> Option<PathBuf> {
        self.newest.map(|step| self.folder.join(name(step)))
    }

    /// Writes a checkpoint, then removes those that it supersedes: all but the newest `keep`, and any of later steps,
    /// which were damaged, or the run would have resumed from them. Returns its folder. If the newest one is of this step
    /// already, it stays as it is.
    ///
    /// # Errors
    /// A file cannot be written; the checkpoints before it are untouched then.
    pub fn write(&mut self, state: &State, model: &Model, optimizer: &AdamW) -> Result<PathBuf, CheckpointError> {
        let place = self.folder.join(name(state.step()));
        if self.newest == Some(state.step()) {
            return Ok(place);
        }
        self.make_folder()?;
        let new = self.folder.join(format!(".{}.new", name(state.step())));
        let old = self.folder.join(format!(".{}.old", name(state.step())));
        remove_folder(&new)?;
        remove_folder(&old)?;
        let written = write_new(&new, state, model, optimizer);
        if written.is_err() {
            let _ = remove_folder(&new); // what stopped the writing is the error to show
        }
        written?;
        if place.exists() {
            rename(&place, &old)?; // a damaged one: a whole one of this step would have been gone on from
        }
        rename(&new, &place)?;
        sync_folder(&self.folder)?;
        self.newest = Some(state.step());
        self.prune(state.step())?;
        Ok(place)
    }

    /// Makes the folder of the checkpoints, and forces it to the disk.
    fn make_folder(&self) -> Result<(), CheckpointError> {
        if self.folder.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder).map_err(|e| CheckpointError::file(&self.folder, e))?;
        Ok(self.folder.parent().map_or(Ok(()), sync_folder)?)
    }

    /// Removes what a kill left: half-written checkpoints, and all but the newest `keep`. Those of later steps than the
    /// one that the run goes on from stay until the next is written.
    ///
    /// # Errors
    /// A folder cannot be read or removed.
    pub fn tidy(&self) -> Result<(), CheckpointError> {
        self.newest.map_or(Ok(()), |step| self.remove_surplus(step, false))
    }

    /// Removes what the checkpoint of `step` supersedes, and what a kill left half-written.
    fn prune(&self, step: u64) -> Result<(), CheckpointError> {
        self.remove_surplus(step, true)
    }

    fn remove_surplus(&self, step: u64, later: bool) -> Result<(), CheckpointError> {
        let (mut earlier, mut gone) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder).map_err(|e| CheckpointError::file(&self.folder, e))? {
            let entry = entry.map_err(|e| CheckpointError::file(&self.folder, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            match step_of(&name) {
                Some(found) if found <= step => earlier.push((found, entry.path())),
                Some(_) if later => gone.push(entry.path()),
                Some(_) => {}
                None if name.starts_with(".step-") => gone.push(entry.path()),
                None => {} // not ours
            }
        }
        earlier.sort();
        let surplus = earlier.len().saturating_sub(self.keep);
        gone.extend(earlier.drain(..surplus).map(|(_, path)| path));
        gone.iter().try_for_each(|path| Ok(remove_folder(path)?))
    }
}

/// Writes the files of a checkpoint into the folder `new`, and forces them to the disk.
fn write_new(new: &Path, state: &State, model: &Model, optimizer: &AdamW) -> Result<(), CheckpointError> {
    fs::create_dir(new).map_err(|e| CheckpointError::file(new, e))?;
    model.write_files(new).map_err(|e| CheckpointError::file(new, e))?;
    let (file, like) = (new.join(OPTIMIZER), new.join(model.weights_file()));
    write_moments(&file, optimizer.state(), &like).map_err(|e| CheckpointError::file(&file, e))?;
    let file = new.join(STATE);
    fs::write(&file, state.to_json()?).map_err(|e| CheckpointError::file(&file, e))?;
    checksum::seal(new)
}

/// Writes the moments, with the permissions of the file `like`.
fn write_moments(path: &Path, state: &OptimizerState, like: &Path) -> io::Result<()> {
    let [first, second] = MOMENTS;
    tensor_file::write(path, &[(first, &state.moment1), (second, &state.moment2)], like)
}

fn rename(from: &Path, to: &Path) -> Result<(), CheckpointError> {
    fs::rename(from, to).map_err(|e| CheckpointError::file(to, e))
}

#[cfg(test)]
mod tests;
