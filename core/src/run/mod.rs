//! `runs/<name>/` on the disk: the folder with its lines ([`RunFolder`]), and the checkpoints that a run goes on from.

pub mod checkpoint;

mod folder;
mod validation;

pub use folder::{FolderError, RunFolder, Written};
pub use validation::ValidationRecord;
