//! Tests of plugins: replay of traces, and properties that every scalarizer and every reward has on every family of
//! inputs.
//! Everything gives an error instead of panicking, so that `plugin check` can use the same properties.
//!
//! ```
//! # use moa_sdk::prelude::*;
//! # #[derive(Serialize, Deserialize)] struct Mine;
//! # #[scalarizer]
//! # impl Scalarizer for Mine {
//! #     const NAME: &str = "mine"; const PAPER: &str = "none"; type Params = ();
//! #     fn new(_: &Setup, (): ()) -> Result<Self> { Ok(Mine) }
//! #     fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
//! #         Ok(Signal::weights(&vec![1.0; batch.m()]))
//! #     }
//! # }
//! # fn main() -> Result<()> {
//! moa_sdk::testing::properties::<Mine>(3, &serde_json::json!({}))?;
//! moa_sdk::testing::examples::<Mine>()
//! # }
//! # use moa_sdk::serde_json;
//! ```

mod completions;
mod limits;
mod rewards;

pub use completions::{CompletionFamily, Text, ordinary};
pub use limits::{at_scales, plain_with_one_objective, reordered};
pub use rewards::reward_properties;

use serde_json::Value;

use crate::replay::{Direct, run_event};
use crate::trace::{BatchEvent, Event, Expect, GradientsEvent, Trace, UpdateEvent, ValidationEvent};
use crate::{Error, Hooks, Needs, Objective, Params, Result, Rng, Scalarizer, Setup};

/// Replays a trace on a scalarizer type and compares what each event expects. Gives the number of events.
/// Error: names the first event and field that differ, or what the plugin said.
pub fn replay<S: Scalarizer>(text: &str) -> Result<usize> {
    let trace = Trace::parse(text)?;
    let header = &trace.header;
    if header.scalarizer != S::NAME {
        return Err(Error::new(format!(
            "the trace is of scalarizer `{}`, expected `{}`",
            header.scalarizer,
            S::NAME
        )));
    }
    replay_events::<S>(&header.setup(), &header.params, &trace.events)
}

/// Executes the examples that a scalarizer carries with it. Error: names the example.
pub fn examples<S: Scalarizer>() -> Result<()> {
    for example in S::examples() {
        let setup = Setup {
            objectives: example.objectives,
            seed: example.seed,
        };
        replay_events::<S>(&setup, &example.params, &example.events)
            .map_err(|error| Error::new(format!("example {:?}: {error}", example.about)))?;
    }
    Ok(())
}

fn replay_events<S: Scalarizer>(setup: &Setup, params: &Value, events: &[Event]) -> Result<usize> {
    let mut hooks = Direct(create::<S>(setup, params)?);
    for (index, event) in events.iter().enumerate() {
        let place = || format!("event {} ({}, step {})", index + 1, event.hook(), event.step());
        let found =
            run_event(&mut hooks, setup.m(), event).map_err(|error| Error::new(format!("{}: {error}", place())))?;
        if let Some(difference) = event.expect().and_then(|e| e.first_difference(&found)) {
            return Err(Error::new(format!(
                "{}: {} is {}, expected {}",
                place(),
                difference.field,
                difference.found,
                difference.expected
            )));
        }
    }
    Ok(events.len())
}

fn create<S: Scalarizer>(setup: &Setup, params: &Value) -> Result<S> {
    S::new(setup, S::Params::from_json(params)?)
}

/// A family of inputs: what a run can give a scalarizer at its edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Normal scores, responses of 1 to 8 tokens, four groups of four.
    Ordinary,
    /// Scores of 0 and 1, as verifiable rewards give them.
    Binary,
    /// All scores equal: no spread in any group.
    Constant,
    /// One objective without spread, the others ordinary.
    OneConstant,
    /// One group.
    OneGroup,
    /// Groups of one completion.
    Singletons,
    /// Scores of ±1e4 and responses whose probability fell by e^-30.
    Large,
}

impl Family {
    /// All families.
    pub const ALL: [Family; 7] = [
        Family::Ordinary,
        Family::Binary,
        Family::Constant,
        Family::OneConstant,
        Family::OneGroup,
        Family::Singletons,
        Family::Large,
    ];

    /// The events of `steps` steps for `m` objectives, as a run makes them for a scalarizer with `hooks` and `needs`.
    pub fn events(self, m: usize, hooks: Hooks, needs: Needs, steps: u64, seed: u64) -> Vec<Event> {
        let mut rng = Rng::new(seed);
        let mut events = vec![self.validation(m, 0, &mut rng)];
        for step in 1..=steps {
            let batch = self.batch(m, step, needs, &mut rng);
            if hooks.has(Hooks::OBSERVE_GRADIENTS) {
                let whole = self.gradients(m, step, None, &mut rng);
                events.push(Event::ObserveGradients(whole));
            }
            let update = update_of(&batch, &mut rng, self == Family::Large);
            events.push(Event::Scalarize(BatchEvent {
                old_logprobs: batch.old_logprobs.filter(|_| needs.has(Needs::OLD_LOGPROBS)),
                ..batch
            }));
            if hooks.has(Hooks::WEIGH_GRADIENTS) {
                for minibatch in 0..2 {
                    let part = self.gradients(m, step, Some(minibatch), &mut rng);
                    events.push(Event::WeighGradients(part));
                }
            }
            if hooks.has(Hooks::AFTER_UPDATE) {
                events.push(Event::AfterUpdate(update));
            }
            events.push(self.validation(m, step, &mut rng));
        }
        events
    }

    fn score(self, m: usize, rng: &mut Rng) -> f32 {
        let normal = narrow(rng.normal());
        match self {
            Self::Binary => f32::from(u8::from(normal > 0.0)),
            Self::Constant => 1.0,
            Self::OneConstant if m == 0 => 0.5,
            Self::Large => 1e4 * normal.signum(),
            _ => normal,
        }
    }

    fn batch(self, m: usize, step: u64, needs: Needs, rng: &mut Rng) -> BatchEvent {
        let group = |b: u32| match self {
            Self::OneGroup => 0,
            Self::Singletons => b,
            _ => b / 4,
        };
        let groups: Vec<u32> = (0..16).map(group).collect();
        let lengths: Vec<u32> = (0..16_u32).map(|b| 1 + (b * 5) % 8).collect();
        let rows = |rng: &mut Rng| -> Vec<Vec<f32>> {
            (0..16).map(|_| (0..m).map(|m| self.score(m, rng)).collect()).collect()
        };
        let logprobs = |rng: &mut Rng| -> Vec<Vec<f32>> {
            lengths
                .iter()
                .map(|length| (0..*length).map(|_| -narrow(rng.normal().abs())).collect())
                .collect()
        };
        BatchEvent {
            step,
            scores: rows(rng),
            objective_advantages: needs.has(Needs::OBJECTIVE_ADVANTAGES).then(|| rows(rng)),
            old_logprobs: Some(logprobs(rng)),
            ref_logprobs: needs.has(Needs::REF_LOGPROBS).then(|| logprobs(rng)),
            groups,
            lengths,
            expect: None,
        }
    }

    fn validation(self, m: usize, step: u64, rng: &mut Rng) -> Event {
        let scale = if self == Self::Large { 1e4 } else { 1.0 };
        let mut value = || {
            if self == Self::Constant {
                0.5
            } else {
                scale * rng.uniform()
            }
        };
        Event::OnValidation(ValidationEvent {
            step,
            values: (0..m).map(|_| value()).collect(),
            expect: None,
        })
    }

    /// The Gramian of M random vectors of five numbers; of zeros where nothing has spread.
    fn gradients(self, m: usize, step: u64, minibatch: Option<u32>, rng: &mut Rng) -> GradientsEvent {
        let scale = match self {
            Self::Constant => 0.0,
            Self::Large => 1e4,
            _ => 1.0,
        };
        let jacobian: Vec<Vec<f64>> = (0..m).map(|_| (0..5).map(|_| scale * rng.normal()).collect()).collect();
        let gram = jacobian
            .iter()
            .map(|a| {
                jacobian
                    .iter()
                    .map(|b| a.iter().zip(b).map(|(a, b)| a * b).sum())
                    .collect()
            })
            .collect();
        GradientsEvent {
            step,
            minibatch,
            lr: 1e-6,
            gram,
            losses: (0..m).map(|_| rng.normal()).collect(),
            expect: None,
        }
    }
}

fn update_of(batch: &BatchEvent, rng: &mut Rng, far: bool) -> UpdateEvent {
    let old_logprobs = batch.old_logprobs.clone().unwrap_or_default();
    let shift = if far { -30.0 } else { 0.0 };
    let new_logprobs = old_logprobs
        .iter()
        .map(|row| {
            row.iter()
                .map(|old| (old + shift + 0.1 * narrow(rng.normal())).min(0.0))
                .collect()
        })
        .collect();
    UpdateEvent {
        step: batch.step,
        groups: batch.groups.clone(),
        scores: batch.scores.clone(),
        advantages: batch.groups.iter().map(|_| narrow(rng.normal())).collect(),
        old_logprobs,
        new_logprobs,
        clip_low: 0.2,
        clip_high: 0.2,
        expect: None,
    }
}

#[allow(clippy::cast_possible_truncation, reason = "made-up inputs")]
fn narrow(x: f64) -> f32 {
    x as f32
}

/// On every family of inputs: all outputs have their length and are finite; the same inputs give the same
/// outputs; a scalarizer that was saved and read back goes on with the same bytes. Error: names the family and
/// the event.
pub fn properties<S: Scalarizer>(m: usize, params: &Value) -> Result<()> {
    let setup = Setup {
        objectives: (0..m).map(|m| Objective::new(format!("objective{m}"))).collect(),
        seed: 11,
    };
    for family in Family::ALL {
        let events = family.events(m, S::HOOKS, S::NEEDS, 4, 5);
        properties_of::<S>(&setup, params, &events)
            .map_err(|error| Error::new(format!("{family:?} inputs: {error}")))?;
    }
    Ok(())
}

fn properties_of<S: Scalarizer>(setup: &Setup, params: &Value, events: &[Event]) -> Result<()> {
    let mut first = Direct(create::<S>(setup, params)?);
    let mut second = Direct(create::<S>(setup, params)?);
    for (index, event) in events.iter().enumerate() {
        let fail = |what: String| {
            let (hook, step) = (event.hook(), event.step());
            Error::new(format!("event {} ({hook}, step {step}): {what}", index + 1))
        };
        let found = run_event(&mut first, setup.m(), event).map_err(|e| fail(e.message))?;
        well_formed(&found, event, setup.m()).map_err(|e| fail(e.message))?;
        let again = run_event(&mut second, setup.m(), event).map_err(|e| fail(e.message))?;
        if found != again {
            return Err(fail(
                "two runs differ: is there a clock, an unordered map or an own source of randomness?".to_owned(),
            ));
        }
        // The second scalarizer goes on from its saved state from here: a lost field shows at the next event.
        let saved = state(&second.0)?;
        second = Direct(serde_json::from_str(&saved).map_err(|e| fail(format!("its state cannot be read back: {e}")))?);
        if state(&second.0)? != saved || state(&first.0)? != saved {
            return Err(fail("its state changes when it is saved and read back".to_owned()));
        }
    }
    Ok(())
}

fn state<S: Scalarizer>(scalarizer: &S) -> Result<String> {
    crate::abi::finite::check(scalarizer)?;
    serde_json::to_string(scalarizer).map_err(|e| Error::new(format!("its state cannot be written: {e}")))
}

/// Lengths and finite numbers of an outcome.
fn well_formed(found: &Expect, event: &Event, m: usize) -> Result<()> {
    let (b, n) = match event {
        Event::Scalarize(event) => (
            event.groups.len(),
            event.lengths.iter().map(|length| *length as usize).sum(),
        ),
        _ => (0, 0),
    };
    let lists = [
        ("weights", &found.weights, [m, m]),
        ("gradient_weights", &found.gradient_weights, [m, m]),
        ("mixing_weights", &found.mixing_weights, [m, m]),
        ("rewards", &found.rewards, [b, b]),
        ("advantages", &found.advantages, [b, n]),
    ];
    for (what, values, lengths) in lists {
        let Some(values) = values else { continue };
        if !lengths.contains(&values.len()) {
            let [expected, _] = lengths;
            return Err(Error::new(format!(
                "{what} has {} values, expected {expected}",
                values.len()
            )));
        }
        if let Some((index, value)) = values.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(Error::new(format!("{what}[{index}] is {value}")));
        }
    }
    if let Some(scale) = found.advantage_scale.filter(|scale| !scale.is_finite()) {
        return Err(Error::new(format!("advantage_scale is {scale}")));
    }
    match found
        .metrics
        .iter()
        .flat_map(crate::Metrics::iter)
        .find(|(_, v)| !v.is_finite())
    {
        Some((name, value)) => Err(Error::new(format!("metric {name} is {value}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;

    use crate::prelude::*;

    /// What the scalarizer under test does wrong.
    #[derive(Debug, Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
    enum Fault {
        #[default]
        None,
        NanOnConstant,
        Length,
        Random,
        Forgets,
    }

    #[derive(Params)]
    struct FaultyParams {
        fault: Fault,
    }

    #[derive(Serialize, Deserialize)]
    struct Faulty {
        fault: Fault,
        steps: f32,
        #[serde(skip)]
        forgotten: f32,
    }

    static CALLS: AtomicU32 = AtomicU32::new(0);

    #[scalarizer]
    impl Scalarizer for Faulty {
        const NAME: &str = "faulty";
        const PAPER: &str = "none";
        type Params = FaultyParams;
        fn new(_: &Setup, params: FaultyParams) -> Result<Self> {
            Ok(Self {
                fault: params.fault,
                steps: 0.0,
                forgotten: 0.0,
            })
        }
        fn observe_gradients(&mut self, _: &Gradients<'_>) -> Result<()> {
            Ok(())
        }
        fn after_update(&mut self, _: &Update<'_>) -> Result<()> {
            self.steps += 1.0;
            self.forgotten += 1.0;
            Ok(())
        }
        fn scalarize(&mut self, batch: &Batch<'_>) -> Result<Signal> {
            let first: Vec<f32> = batch.scores().column(0).collect();
            let spread = first.iter().any(|score| *score != first[0]);
            let reward = match self.fault {
                Fault::NanOnConstant if !spread => f32::NAN,
                #[allow(clippy::cast_precision_loss, reason = "any changing number does")]
                Fault::Random => CALLS.fetch_add(1, Ordering::Relaxed) as f32,
                Fault::Forgets => self.forgotten,
                _ => self.steps,
            };
            let length = batch.len() - usize::from(self.fault == Fault::Length);
            Ok(Signal::rewards(vec![reward; length]))
        }
    }

    fn message(fault: &str) -> String {
        super::properties::<Faulty>(3, &json!({ "fault": fault }))
            .expect_err("the fault must be found")
            .message
    }

    #[test]
    fn each_fault_is_found_and_named() -> Result<()> {
        super::properties::<Faulty>(3, &json!({}))?;
        let nan = message("nan-on-constant");
        assert!(
            nan.starts_with("Constant inputs: event") && nan.contains("rewards[0] is NaN"),
            "{nan}"
        );
        assert!(message("length").contains("rewards has 15 values, expected 16"));
        assert!(message("random").contains("two runs differ"));
        assert!(message("forgets").contains("two runs differ"));
        Ok(())
    }

    #[test]
    fn replay_names_the_event_and_the_field() {
        let text = r#"{"format":"moa-trace","version":1,"scalarizer":"faulty","objectives":[{"name":"a"}]}
{"hook":"scalarize","step":1,"groups":[0],"lengths":[1],"scores":[[1.0]],"expect":{"rewards":[0.0]}}
{"hook":"scalarize","step":2,"groups":[0],"lengths":[1],"scores":[[1.0]],"expect":{"rewards":[0.5]}}"#;
        let error = super::replay::<Faulty>(text).expect_err("0 is not 0.5");
        assert_eq!(
            error.message,
            "event 2 (scalarize, step 2): rewards[0] is 0, expected 0.5"
        );
        assert!(super::replay::<Faulty>(&text.replace("faulty", "other")).is_err());
        assert_eq!(super::replay::<Faulty>(&text.replace("0.5", "0.0")), Ok(2));
    }
}
