//! `runs/<name>/` on the disk: the folder with its lines ([`RunFolder`]), and the checkpoints that a run goes on from.

pub mod checkpoint;

mod folder;
mod manifest;
mod validation;

pub use folder::{FolderError, RunFolder, Written};
pub use manifest::{Began, Ended, Manifest, PluginFile, Process, Prompts};
pub use validation::{ResponseRecord, ValidationRecord};
