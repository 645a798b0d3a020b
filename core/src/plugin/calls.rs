//! Which native code is being called. A library can end the process, on purpose or by a crash: then the user learns which
//! one it was, at once where the exit is an orderly one, else from a file that the next process reads.

#![allow(unsafe_code, reason = "asks the system to be told about an exit")]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, TryLockError},
};

use super::shown::shown;

/// Who is told of an exit, what runs, and where it is written down.
struct Calls {
    told: Option<fn(&str)>,
    file: Option<(PathBuf, File)>,
    open: Vec<(u64, String)>,
    next: u64,
}

static CALLS: Mutex<Calls> = Mutex::new(Calls {
    told: None,
    file: None,
    open: Vec::new(),
    next: 0,
});

impl Calls {
    /// Writes down what runs. The file is a help after a crash; a disk that refuses it stops nothing.
    fn write(&self) {
        let Some((_, file)) = &self.file else { return };
        let text: String = self.open.iter().map(|(_, call)| format!("{call}\n")).collect();
        let _ = file
            .set_len(text.len() as u64)
            .and_then(|()| file.write_all_at(text.as_bytes(), 0));
    }
}

/// A call of native code that lasts until this is dropped.
pub(super) struct Call(u64);

/// Notes that `hook` of `library` is called.
pub(super) fn enter(library: &Path, hook: &str) -> Call {
    let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let id = calls.next;
    calls.next += 1;
    if calls.told.is_some() {
        calls.open.push((id, format!("{hook} of {}", shown(library))));
        calls.write();
    }
    Call(id)
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.told.is_some() {
            calls.open.retain(|(id, _)| *id != self.0);
            calls.write();
        }
    }
}

unsafe extern "C" {
    fn atexit(handler: extern "C" fn()) -> std::ffi::c_int;
    fn _exit(code: std::ffi::c_int) -> !;
}

/// Runs when something in this process calls `exit`.
extern "C" fn at_exit() {
    // `exit` may come from any thread, and nothing here may wait.
    let calls = match CALLS.try_lock() {
        Ok(calls) => calls,
        Err(TryLockError::Poisoned(calls)) => calls.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    if let (Some(told), Some((_, call))) = (calls.told, calls.open.first()) {
        told(&format!(
            "error: the process was ended from inside {call}\nhint: a library that calls exit ends the run with it; \
             resume the run with another library"
        ));
        // SAFETY: ends the process without further handlers; files are written and synced by their owners before a call.
        unsafe { _exit(1) }
    }
}

/// From here on, a library that ends the process is named: `told` gets the text if it calls `exit`, which ends the process
/// with 1 then, whatever it said. What is being called is also written to the file `marker`, for a crash.
pub fn name_exits(told: fn(&str), marker: &Path) {
    let file = File::create(marker).ok().map(|file| (marker.to_owned(), file));
    let first = {
        let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
        calls.file = file;
        calls.told.replace(told).is_none()
    };
    if first {
        // SAFETY: the handler is a plain function of this program, which is never unloaded. Without memory for it an exit
        // is not named.
        unsafe { atexit(at_exit) };
    }
}

/// The host itself ends: an exit is no library's doing from here on.
pub fn no_more_calls() {
    let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    calls.told = None;
    if let Some((path, _)) = calls.file.take() {
        let _ = fs::remove_file(path);
    }
}

/// The call that a process which is no more was in, as it wrote it to the file `marker`.
#[must_use]
pub fn last_call(marker: &Path) -> Option<String> {
    let text = fs::read_to_string(marker).ok()?;
    text.lines().next().map(str::to_owned)
}
