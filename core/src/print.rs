//! The one place that prints. A reader of stdout or stderr that has gone (`| head`) ends nothing; a full disk behind stdout
//! is an error of its own, and what a run has done stays done. Text from outside cannot steer the terminal.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the one place that prints")]

use std::io::{self, Write};

use moa_core::{
    error::{Error, Report},
    terminal,
};

/// Stdout could not be written.
#[derive(Debug, thiserror::Error)]
#[error("stdout: {0}")]
struct OutputError(io::Error);

impl Report for OutputError {
    fn hint(&self) -> Option<String> {
        Some("what was to be printed is lost; files and run folders are complete".into())
    }
}

/// A line on stderr.
pub(crate) fn note(text: &str) {
    // Nobody can be told that stderr is gone.
    let _ = writeln!(io::stderr(), "{}", terminal::message(text));
}

/// An error and its hint on stderr.
pub(crate) fn error(error: &Error, prefix: &str) {
    note(&format!("{prefix}{error}"));
    if let Some(hint) = error.hint() {
        note(&format!("hint: {hint}"));
    }
}

/// Text for people on stdout. A reader that has gone has seen enough.
pub(crate) fn text(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(terminal::escaped(text).as_bytes())
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(OutputError(error).into()),
        _ => Ok(()),
    }
}

/// Stdout for data: bytes go out as they are, and an error says that it was stdout.
pub(crate) struct Out(io::StdoutLock<'static>);

/// Stdout for data.
pub(crate) fn out() -> Out {
    Out(io::stdout().lock())
}

fn named(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("stdout: {error}"))
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(named)
    }
}

/// Writes out what stdout still holds: at the end of the program nobody would see the error.
pub(crate) fn finish() -> Result<(), Error> {
    match io::stdout().flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(OutputError(error).into()),
        _ => Ok(()),
    }
}
