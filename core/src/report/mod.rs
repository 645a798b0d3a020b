//! Run folders: where a run's files lie, and the table before and after.

mod folder;
mod table;

pub use folder::{FolderError, RunFolder, Written};
pub use table::{ValidationRecord, before_after, one_line};
