//! The checks of a scalarizer type of this program: traces, examples, and every property on every family.

use serde_json::Value;

use super::inputs::{self, FAMILIES, Family, ORDINARY, SCALES};
use super::properties::Property;
use super::subject::{Failure, OfType, Subject};
use crate::replay::{Direct, run_event};
use crate::trace::{Event, Example, Trace};
use crate::views::{Gradients, GradientsInput};
use crate::{Error, Objective, Result, Scalarizer, Setup};

/// Replays a trace on a scalarizer type and compares what each event expects. Returns the number of events.
///
/// # Errors
/// Names the first event and field that differ, or what the plugin said.
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
    replay_events(&OfType::<S>::default(), &header.setup(), &header.params, &trace.events)
        .map_err(Failure::into_error)?;
    Ok(trace.events.len())
}

/// Executes the examples that a scalarizer carries with it, and returns how many there are.
///
/// # Errors
/// Names the example that cannot be read, expects nothing, or does not hold.
pub fn check_examples<S: Scalarizer>() -> Result<usize> {
    let examples = S::examples()?;
    for example in &examples {
        let at = |error: Error| error.at(format!("example {:?}", example.about));
        if !expects_something(example) {
            return Err(at(Error::new("it expects nothing")));
        }
        check_example(&OfType::<S>::default(), example).map_err(|failure| at(failure.into_error()))?;
    }
    Ok(examples.len())
}

/// Whether any event of the example expects anything.
pub fn expects_something(example: &Example) -> bool {
    example.events.iter().any(|event| event.expect().is_some())
}

/// Executes one example.
///
/// # Errors
/// What the scalarizer said, or the first event and field that differ.
pub fn check_example<S: Subject>(subject: &S, example: &Example) -> Result<(), Failure<S::Error>> {
    let setup = Setup {
        objectives: example.objectives.clone(),
        seed: example.seed,
    };
    replay_events(subject, &setup, &example.params, &example.events)
}

fn replay_events<S: Subject>(
    subject: &S,
    setup: &Setup,
    params: &Value,
    events: &[Event],
) -> Result<(), Failure<S::Error>> {
    let mut calls = subject.create(setup, params)?;
    for (index, event) in events.iter().enumerate() {
        let found = run_event(&mut calls, setup.m(), event).map_err(|error| Failure::from(error).at(event))?;
        if let Some(difference) = event.expect().and_then(|e| e.first_difference(&found)) {
            return Err(Failure::property(format!(
                "event {} ({}, step {}): {} is {}, expected {}",
                index + 1,
                event.hook(),
                event.step(),
                difference.field,
                difference.found,
                difference.expected
            )));
        }
    }
    Ok(())
}

/// A new scalarizer for `m` maximised objectives, seed 0: what the unit tests of a method start from.
///
/// # Errors
/// The params or `new` refuse.
pub fn scalarizer<S: Scalarizer>(m: usize, params: &Value) -> Result<S> {
    let objectives = (0..m).map(|m| Objective::new(format!("objective{m}"))).collect();
    Direct::new(&Setup { objectives, seed: 0 }, params).map(|direct| direct.scalarizer)
}

/// The gradients of step 1, mini-batch 0, at learning rate `lr`: their Gramian `[M, M]`, row-major, and losses `[M]`.
///
/// # Errors
/// The lengths do not agree.
pub fn gradients<'a>(lr: f64, gram: &'a [f64], losses: &'a [f64]) -> Result<Gradients<'a>> {
    Gradients::new(GradientsInput {
        step: 1,
        minibatch: Some(0),
        lr,
        gram,
        losses,
    })
}

/// Every [`Property`] on the families of [`FAMILIES`] for `m` objectives: lengths, finite numbers, determinism, and a
/// state that survives. Threads and the many steps of the longest family are tried where M is at most 3.
///
/// # Errors
/// Names the family, the event and what does not hold.
pub fn check_properties<S: Scalarizer>(m: usize, params: &Value) -> Result<()> {
    for family in FAMILIES.iter().filter(|family| m <= 3 || !family.is_long()) {
        let threads = family.name == ORDINARY.name && m <= 3;
        let once = |property: &Property| match property {
            Property::Finite => true,
            Property::SmallStack | Property::MovedBetweenThreads => threads,
            _ => !family.is_long(),
        };
        check_family::<S>(family, m, params, once)?;
    }
    Ok(())
}

/// Finite outputs, determinism and a state that survives on the families of [`SCALES`]: all scores, advantages, losses,
/// validation values and gradients multiplied by 1e-10 to 1e10, all alike or growing from one objective to the next.
///
/// # Errors
/// Names the family, the event and what does not hold.
pub fn check_scales<S: Scalarizer>(m: usize, params: &Value) -> Result<()> {
    let without_threads =
        |property: &Property| !matches!(property, Property::SmallStack | Property::MovedBetweenThreads);
    SCALES
        .iter()
        .try_for_each(|family| check_family::<S>(family, m, params, without_threads))
}

fn check_family<S: Scalarizer>(
    family: &Family,
    m: usize,
    params: &Value,
    which: impl Fn(&Property) -> bool,
) -> Result<()> {
    let (setup, events) = (inputs::setup(m), family.events(m, S::HOOKS, S::NEEDS));
    for property in Property::ALL.iter().filter(|property| which(property)) {
        property
            .check(&OfType::<S>::default(), &setup, params, &events)
            .map_err(|failure| failure.into_error().at(format!("{} inputs, M = {m}", family.name)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::faulty::Faulty;
    use crate::Result;

    fn message(fault: &str) -> String {
        super::check_properties::<Faulty>(3, &json!({ "fault": fault }))
            .expect_err("the fault must be found")
            .message
    }

    #[test]
    fn each_fault_is_found_and_named() -> Result<()> {
        super::check_properties::<Faulty>(3, &json!({}))?;
        let nan = message("nan-on-constant");
        assert!(
            nan.starts_with("equal-scores inputs, M = 3: scalarize at step 1") && nan.contains("rewards[0] is NaN"),
            "{nan}"
        );
        assert!(message("length").contains("rewards has 15 values, expected 16"));
        assert!(message("random").contains("in two instances with the same inputs"));
        assert!(message("forgets").contains("a state that was loaded"));
        Ok(())
    }

    #[test]
    fn replay_names_the_event_and_the_field() {
        let text = r#"{"format":"moa-trace","version":1,"scalarizer":"faulty","objectives":[{"name":"a"}]}
{"hook":"scalarize","step":1,"groups":[0],"lengths":[1],"scores":[[1.0]],"expect":{"rewards":[1.0]}}
{"hook":"scalarize","step":2,"groups":[0],"lengths":[1],"scores":[[1.0]],"expect":{"rewards":[0.5]}}"#;
        let error = super::replay::<Faulty>(text).expect_err("1 is not 0.5");
        assert_eq!(
            error.message,
            "event 2 (scalarize, step 2): rewards[0] is 1, expected 0.5"
        );
        assert!(super::replay::<Faulty>(&text.replace("faulty", "other")).is_err());
        assert_eq!(super::replay::<Faulty>(&text.replace("0.5", "1.0")), Ok(2));
    }
}
