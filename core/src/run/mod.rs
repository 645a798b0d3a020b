//! `runs/<name>/` on the disk: the folder with its lines ([`RunFolder`]), and the checkpoints that a run goes on from.

pub mod checkpoint;

mod error;
mod folder;
mod lock;
mod manifest;
mod validation;

pub use error::FolderError;
pub use folder::{RunFolder, Written, check_end, native_call_of};
pub use lock::RunLock;
pub use manifest::{Began, Ended, Manifest, PluginFile, Process, Prompts};
pub use validation::{ResponseRecord, ValidationRecord};
