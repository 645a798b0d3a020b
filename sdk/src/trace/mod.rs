//! Traces: what a run told its scalarizer and what came back, one JSON object a line. The first line is a
//! [`Header`], every other an [`Event`], which may carry what is expected once its hook has returned.
//!
//! Version 2 has the event `observe_gradients` and records what a hook returned (`gradient_weights`, `mixing_weights`)
//! next to the scalarizer's current `weights`. Version 1 is read as well: there `weigh_gradients` without `minibatch` is
//! `observe_gradients`, and what a hook returned was recorded only where the scalarizer named no weights of its own.

mod batch;
mod compare;
mod events;
mod examples;
mod flat;

pub use batch::BatchEvent;
pub use compare::{Difference, Expect, close};
pub use events::{GradientsEvent, UpdateEvent, ValidationEvent};
pub use flat::Flat;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::setup::{Objective, Setup};
use crate::{Error, Result};

/// `"format"` of every header.
pub const FORMAT: &str = "moa-trace";
/// `"version"` of every header that this SDK writes; it reads every version from 1 to this one.
pub const VERSION: u32 = 2;

/// The first line of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Always [`FORMAT`].
    pub format: String,
    /// 1 to [`VERSION`].
    pub version: u32,
    /// Name of the scalarizer.
    pub scalarizer: String,
    /// The M objectives.
    pub objectives: Vec<Objective>,
    /// Params as in the config.
    #[serde(default)]
    pub params: Value,
    /// Seed of the run.
    #[serde(default)]
    pub seed: u64,
}

impl Header {
    /// The header of a run.
    pub fn new(scalarizer: impl Into<String>, setup: &Setup, params: Value) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            scalarizer: scalarizer.into(),
            objectives: setup.objectives.clone(),
            params,
            seed: setup.seed,
        }
    }

    /// Reads the first line. Error: not a header, or of another format or version.
    pub fn parse(line: &str) -> Result<Self> {
        let header: Self =
            serde_json::from_str(line).map_err(|e| Error::new(format!("line 1 is not the header of a trace: {e}")))?;
        if header.format != FORMAT || !(1..=VERSION).contains(&header.version) {
            return Err(Error::new(format!(
                "the trace has format {:?} version {}, expected {FORMAT:?} version 1 to {VERSION}",
                header.format, header.version
            )));
        }
        Ok(header)
    }

    /// What `new` is told.
    pub fn setup(&self) -> Setup {
        Setup {
            objectives: self.objectives.clone(),
            seed: self.seed,
        }
    }
}

/// One hook call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "hook", rename_all = "snake_case")]
pub enum Event {
    /// `on_validation`
    OnValidation(ValidationEvent),
    /// `observe_gradients`
    ObserveGradients(GradientsEvent),
    /// `scalarize`
    Scalarize(BatchEvent),
    /// `weigh_gradients`; without a mini-batch, as version 1 has it, the same as `observe_gradients`.
    WeighGradients(GradientsEvent),
    /// `after_update`
    AfterUpdate(UpdateEvent),
}

/// Events with their expected outcomes, from one fresh scalarizer: a test that a plugin carries with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// What it shows, one sentence.
    pub about: String,
    /// The M objectives.
    pub objectives: Vec<Objective>,
    /// Params as in the config.
    #[serde(default)]
    pub params: Value,
    /// Seed of the run.
    #[serde(default)]
    pub seed: u64,
    /// Hook calls in order.
    pub events: Vec<Event>,
}

/// A whole trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// The first line.
    pub header: Header,
    /// All other lines.
    pub events: Vec<Event>,
}

impl Trace {
    /// Reads a trace; empty lines are passed over. Errors name the line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let Some((_, first)) = lines.next() else {
            return Err(Error::new("the trace is empty, expected a header line"));
        };
        let header = Header::parse(first)?;
        let events = lines
            .map(|(index, line)| Event::parse(line).map_err(|error| Error::new(format!("line {}: {error}", index + 1))))
            .collect::<Result<_>>()?;
        Ok(Self { header, events })
    }
}

impl Event {
    /// Reads one line.
    pub fn parse(line: &str) -> Result<Self> {
        serde_json::from_str(line).map_err(|e| Error::new(format!("not an event of a trace: {e}")))
    }

    /// The event as one line, without its end.
    pub fn to_line(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| Error::new(format!("the event cannot be written: {e}")))
    }

    /// Name of the hook.
    pub fn hook(&self) -> &'static str {
        match self {
            Self::OnValidation(_) => "on_validation",
            Self::ObserveGradients(_) => "observe_gradients",
            Self::WeighGradients(event) if event.minibatch.is_none() => "observe_gradients",
            Self::Scalarize(_) => "scalarize",
            Self::WeighGradients(_) => "weigh_gradients",
            Self::AfterUpdate(_) => "after_update",
        }
    }

    /// Training step.
    pub fn step(&self) -> u64 {
        match self {
            Self::OnValidation(event) => event.step,
            Self::ObserveGradients(event) | Self::WeighGradients(event) => event.step,
            Self::Scalarize(event) => event.step,
            Self::AfterUpdate(event) => event.step,
        }
    }

    /// What is expected.
    pub fn expect(&self) -> Option<&Expect> {
        match self {
            Self::OnValidation(event) => event.expect.as_ref(),
            Self::ObserveGradients(event) | Self::WeighGradients(event) => event.expect.as_ref(),
            Self::Scalarize(event) => event.expect.as_ref(),
            Self::AfterUpdate(event) => event.expect.as_ref(),
        }
    }

    /// The same event with another expectation.
    #[must_use]
    pub fn with_expect(mut self, expect: Expect) -> Self {
        *self.expect_mut() = Some(expect);
        self
    }

    /// The same event without expectation.
    #[must_use]
    pub fn without_expect(mut self) -> Self {
        *self.expect_mut() = None;
        self
    }

    fn expect_mut(&mut self) -> &mut Option<Expect> {
        match self {
            Self::OnValidation(event) => &mut event.expect,
            Self::ObserveGradients(event) | Self::WeighGradients(event) => &mut event.expect,
            Self::Scalarize(event) => &mut event.expect,
            Self::AfterUpdate(event) => &mut event.expect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Flat, Trace};
    use crate::Result;

    const TEXT: &str = r#"{"format":"moa-trace","version":2,"scalarizer":"x","objectives":[{"name":"a","direction":"maximize"},{"name":"b","direction":"minimize"}],"params":{"k":1},"seed":3}
{"hook":"on_validation","step":0,"values":[0.5,12.0]}
{"hook":"weigh_gradients","step":1,"minibatch":0,"lr":1e-6,"gram":[[1.0,0.5],[0.5,2.0]],"losses":[0.1,-0.2],"expect":{"gradient_weights":[0.5,1.5],"weights":[0.6,0.4]}}
{"hook":"scalarize","step":1,"groups":[0],"lengths":[2],"scores":[[0.1,0.2]],"old_logprobs":[[-0.5,-1.5]]}
{"hook":"after_update","step":1,"groups":[0],"scores":[[0.1,0.2]],"advantages":[0.3],"old_logprobs":[[-0.5,-1.5]],"new_logprobs":[[-0.4,-1.25]],"clip_low":0.2,"clip_high":0.28,"expect":{"metrics":{"z":1.0,"a":2.0}}}"#;

    #[test]
    fn a_trace_survives_reading_and_writing() -> Result<()> {
        let trace = Trace::parse(TEXT)?;
        assert_eq!(trace.header.setup().m(), 2);
        let written: Vec<String> = trace.events.iter().map(Event::to_line).collect::<Result<_>>()?;
        for (written, read) in written.iter().zip(TEXT.lines().skip(1)) {
            assert_eq!(*written, read);
        }
        Ok(())
    }

    #[test]
    fn errors_name_the_line() {
        let message = |text: &str| Trace::parse(text).expect_err("must be refused").message;
        assert!(message("").contains("empty"));
        assert!(message("{}").contains("line 1"));
        assert!(message(&TEXT.replacen("\"version\":2", "\"version\":3", 1)).contains("version 3, expected"));
        assert!(message(&TEXT.replace("after_update", "later")).starts_with("line 5"));
        assert!(message(&TEXT.replace("\"losses\"", "\"loss\"")).starts_with("line 3"));
    }

    /// Per batch and per mini-batch were one event, told apart by its number.
    #[test]
    fn version_1_names_its_hooks_as_version_2_does() -> Result<()> {
        let old = TEXT.replacen("\"version\":2", "\"version\":1", 1);
        assert_eq!(Trace::parse(&old)?.events[1].hook(), "weigh_gradients");
        let batch = Trace::parse(&old.replace("\"minibatch\":0,", ""))?;
        assert_eq!(batch.events[1].hook(), "observe_gradients");
        Ok(())
    }

    #[test]
    fn ragged_rows_must_agree() -> Result<()> {
        let Event::AfterUpdate(mut event) = Trace::parse(TEXT)?.events.remove(3) else {
            panic!("the fourth event is after_update");
        };
        assert_eq!(Flat::update(&event)?.update_input(&event, 2).offsets, [0, 2]);
        event.new_logprobs = vec![vec![-0.4]];
        assert!(Flat::update(&event).is_err());
        event.scores.push(vec![]);
        assert!(Flat::update(&event).is_err());
        Ok(())
    }
}
