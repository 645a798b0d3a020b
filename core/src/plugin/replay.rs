//! Feeds a trace to a plugin, without any model: prints what the plugin gives, or compares it.

use std::io::Write;
use std::path::Path;

use moa_sdk::replay::run_event;
use moa_sdk::trace::{Expect, Trace};
use serde_json::{Map, Value};

use super::Plugins;
use super::error::PluginError;

/// What a replay has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Hook calls.
    pub events: usize,
    /// Of those, calls whose outcome was compared; 0 without `check`.
    pub compared: usize,
}

/// Replays the trace at `path` on the scalarizer that its header names, which must be loaded, with the trace's params and
/// those of `params` in place of them. Without `check`
/// every event is written to `out` with `expect` filled in by the plugin; with it nothing is written, and what
/// the trace expects is compared. Errors: an unreadable trace, what the plugin said, or with `check` the first
/// difference.
pub fn replay(
    plugins: &Plugins,
    path: &Path,
    params: &Map<String, Value>,
    check: bool,
    out: &mut dyn Write,
) -> Result<Replayed, PluginError> {
    let trace_error = |message: String| PluginError::Trace {
        path: path.to_owned(),
        message,
    };
    let text = std::fs::read_to_string(path).map_err(|e| trace_error(e.to_string()))?;
    let Trace { mut header, events } = Trace::parse(&text).map_err(|error| trace_error(error.message))?;
    if !params.is_empty() {
        let mut all = header.params.as_object().cloned().unwrap_or_default();
        all.extend(params.clone());
        header.params = Value::Object(all);
    }
    let setup = header.setup();
    let mut plugin = plugins.scalarizer(Some(&header.scalarizer), &setup, &header.params)?;
    let mut replayed = Replayed { events: 0, compared: 0 };
    if !check {
        let line = serde_json::to_string(&header).map_err(|e| trace_error(e.to_string()))?;
        writeln!(out, "{line}").map_err(|e| trace_error(e.to_string()))?;
    }
    for event in events {
        replayed.events += 1;
        let place = replayed.events;
        let found = run_event(&mut plugin, setup.m(), &event).map_err(|error| match error {
            PluginError::Event(message) => trace_error(format!(
                "event {place} ({}, step {}): {message}",
                event.hook(),
                event.step()
            )),
            other => other,
        })?;
        if !check {
            let event = if found == Expect::default() {
                event.without_expect()
            } else {
                event.with_expect(found)
            };
            let line = event.to_line().map_err(|e| trace_error(e.message))?;
            writeln!(out, "{line}").map_err(|e| trace_error(e.to_string()))?;
        } else if let Some(expect) = event.expect() {
            replayed.compared += 1;
            if let Some(difference) = expect.first_difference(&found) {
                return Err(PluginError::Difference {
                    path: path.to_owned(),
                    event: place,
                    hook: event.hook(),
                    step: event.step(),
                    field: difference.field,
                    found: difference.found,
                    expected: difference.expected,
                });
            }
        }
    }
    Ok(replayed)
}
