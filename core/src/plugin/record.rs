//! Writes what a run told its scalarizer and what came back, in the format of traces, a line a hook call.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use moa_sdk::trace::{BatchEvent, Event, Expect, GradientsEvent, Header, UpdateEvent, ValidationEvent};
use moa_sdk::views::{BatchInput, GradientsInput, UpdateInput};

use super::error::PluginError;

/// An open trace. Each event is in the file when its hook has returned.
pub struct Recorder {
    path: PathBuf,
    file: File,
    events: u64,
}

impl Recorder {
    /// A new trace with its header. Error: the file cannot be written.
    pub fn create(path: &Path, header: &Header) -> Result<Self, PluginError> {
        let file = File::create(path).map_err(|e| error(path, e))?;
        let mut recorder = Self {
            path: path.to_owned(),
            file,
            events: 0,
        };
        let line = serde_json::to_string(header).map_err(|e| error(path, e))?;
        recorder.write_line(&line)?;
        Ok(recorder)
    }

    /// Goes on with the trace of a run that is resumed: keeps its header and its first `events` events, which is
    /// what the checkpoint had seen, and drops the rest. Error: there are fewer, or the file cannot be written.
    pub fn resume(path: &Path, events: u64) -> Result<Self, PluginError> {
        let open = |path: &Path| OpenOptions::new().read(true).append(true).open(path);
        let file = open(path).map_err(|e| error(path, e))?;
        let mut reader = BufReader::new(&file);
        let mut kept = 0;
        let mut line = Vec::new();
        for index in 0..=events {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(|e| error(path, e))?;
            if line.last() != Some(&b'\n') {
                return Err(PluginError::Trace {
                    path: path.to_owned(),
                    message: format!(
                        "has {} whole events, expected at least {events}",
                        index.saturating_sub(1)
                    ),
                });
            }
            kept += length as u64;
        }
        file.set_len(kept).map_err(|e| error(path, e))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            events,
        })
    }

    /// Events so far; a checkpoint keeps it for [`Recorder::resume`].
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Forces what was written to the disk.
    pub fn sync(&self) -> Result<(), PluginError> {
        self.file.sync_data().map_err(|e| error(&self.path, e))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a call of `on_validation`.
    pub fn on_validation(&mut self, step: u64, values: &[f64], expect: Expect) -> Result<(), PluginError> {
        self.write(Event::OnValidation(ValidationEvent {
            step,
            values: values.to_vec(),
            expect: Some(expect),
        }))
    }

    /// Writes a call of `observe_gradients`.
    pub fn observe_gradients(&mut self, input: &GradientsInput<'_>, expect: Expect) -> Result<(), PluginError> {
        self.write(Event::ObserveGradients(GradientsEvent::of(input, Some(expect))))
    }

    /// Writes a call of `scalarize`.
    pub fn scalarize(&mut self, input: &BatchInput<'_>, expect: Expect) -> Result<(), PluginError> {
        self.write(Event::Scalarize(BatchEvent::of(input, Some(expect))))
    }

    /// Writes a call of `weigh_gradients`.
    pub fn weigh_gradients(&mut self, input: &GradientsInput<'_>, expect: Expect) -> Result<(), PluginError> {
        self.write(Event::WeighGradients(GradientsEvent::of(input, Some(expect))))
    }

    /// Writes a call of `after_update`.
    pub fn after_update(&mut self, input: &UpdateInput<'_>, expect: Expect) -> Result<(), PluginError> {
        self.write(Event::AfterUpdate(UpdateEvent::of(input, Some(expect))))
    }

    fn write(&mut self, mut event: Event) -> Result<(), PluginError> {
        if event.expect() == Some(&Expect::default()) {
            // The plugin has nothing to compare here.
            event = event.without_expect();
        }
        let line = event.to_line().map_err(|e| error(&self.path, e))?;
        self.write_line(&line)?;
        self.events += 1;
        Ok(())
    }

    fn write_line(&mut self, line: &str) -> Result<(), PluginError> {
        // One write for the whole line, so that a run that is killed leaves whole lines.
        self.file
            .write_all(format!("{line}\n").as_bytes())
            .map_err(|e| error(&self.path, e))
    }
}

fn error(path: &Path, error: impl ToString) -> PluginError {
    PluginError::Trace {
        path: path.to_owned(),
        message: error.to_string(),
    }
}
