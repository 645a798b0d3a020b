//! Seconds of the phases of a step.

use std::time::Instant;

use serde_json::{Map, Value};

use crate::metrics::Progress;

/// Times the phases of one step and names them on the progress bar.
pub(super) struct Clock<'a> {
    progress: &'a Progress,
    start: Instant,
    last: Instant,
    open: Option<&'static str>,
    laps: Vec<(&'static str, f64)>,
}

impl<'a> Clock<'a> {
    pub(super) fn start(progress: &'a Progress) -> Self {
        let now = Instant::now();
        Self {
            progress,
            start: now,
            last: now,
            open: None,
            laps: Vec::new(),
        }
    }

    /// Ends the phase under way and begins the next.
    pub(super) fn phase(&mut self, name: &'static str) {
        self.end_phase();
        self.open = Some(name);
        self.progress.phase(name);
    }

    /// Ends the phase under way.
    pub(super) fn end_phase(&mut self) {
        let now = Instant::now();
        if let Some(name) = self.open.take() {
            self.laps.push((name, (now - self.last).as_secs_f64()));
        }
        self.last = now;
    }

    /// Seconds from the step's beginning to the end of its last phase.
    pub(super) fn total(&self) -> f64 {
        (self.last - self.start).as_secs_f64()
    }

    /// The phases in seconds, their sum, and response tokens per second.
    pub(super) fn to_json(&self, tokens: usize) -> Value {
        let mut laps: Map<String, Value> = self
            .laps
            .iter()
            .map(|&(name, seconds)| (name.to_owned(), Value::from(seconds)))
            .collect();
        laps.insert("step".into(), self.total().into());
        laps.insert(
            "tokens_per_second".into(),
            (tokens as f64 / self.total().max(1e-9)).into(),
        );
        Value::Object(laps)
    }
}
