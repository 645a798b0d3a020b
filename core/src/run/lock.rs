//! `.lock`: one process at a time writes to a run folder.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::Path,
};

use super::FolderError;

/// The file in the run folder. It holds the number of the process that has it.
const FILE: &str = ".lock";

/// A run folder that is this process's until this value, or the process, is gone. A file system without locks grants
/// every claim.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Claims the run folder `run`.
    ///
    /// # Errors
    /// Another process has it, or the file cannot be written.
    pub fn take(run: &Path) -> Result<Self, FolderError> {
        let path = run.join(FILE);
        let io = |source: io::Error| FolderError::Io {
            path: path.clone(),
            source,
        };
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                return Err(FolderError::InUse {
                    path: run.to_owned(),
                    process: holder.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io)?;
        Ok(Self { _file: file })
    }
}
