//! Derived params: schema, values and errors.

use serde_json::json;

use super::{ParamSpec, Params as _};
use crate::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Default, Choice)]
enum Reference {
    #[default]
    RunningMax,
    BatchMax,
}

#[derive(Debug, PartialEq, Params)]
struct All {
    /// weight of each objective,
    /// in order
    weights: Vec<f32>,
    #[param(default = 0.1)]
    tau: f32,
    #[param(default = [0.1, 0.05])]
    targets: Vec<f32>,
    #[param(default = Reference::BatchMax)]
    reference: Reference,
    fallback: Reference,
    #[param(default = 1)]
    every: u32,
    #[param(default = true)]
    normalize: bool,
    #[param(default = "none")]
    label: String,
    limit: Option<f64>,
}

#[test]
fn defaults_docs_and_kinds_come_from_the_fields() -> Result<()> {
    let all = All::from_json(&json!({}))?;
    assert_eq!(all, All::from_json(&serde_json::Value::Null)?);
    assert_eq!(
        all,
        All {
            weights: vec![],
            tau: 0.1,
            targets: vec![0.1, 0.05],
            reference: Reference::BatchMax,
            fallback: Reference::RunningMax,
            every: 1,
            normalize: true,
            label: "none".to_owned(),
            limit: None,
        }
    );
    let schema = All::schema();
    assert_eq!(
        schema[0],
        ParamSpec {
            name: "weights".to_owned(),
            kind: "list of numbers".to_owned(),
            choices: vec![],
            range: None,
            default: json!([]),
            doc: "weight of each objective, in order".to_owned(),
        }
    );
    assert_eq!(schema[1].default, json!(0.1));
    assert_eq!(schema[3].choices, ["running-max", "batch-max"]);
    assert_eq!(schema[8].kind, "number, or none");
    Ok(())
}

#[test]
fn values_are_read() -> Result<()> {
    let all = All::from_json(&json!({
        "weights": [1, 0.5], "reference": "running-max", "every": 7, "limit": 2, "label": "x", "normalize": false
    }))?;
    assert_eq!(all.weights, [1.0, 0.5]);
    assert_eq!(all.reference, Reference::RunningMax);
    assert_eq!((all.every, all.limit), (7, Some(2.0)));
    assert_eq!((all.label.as_str(), all.normalize), ("x", false));
    Ok(())
}

#[test]
fn errors_name_key_found_expected_and_the_nearest_key() {
    let error = |value| All::from_json(&value).expect_err("must be refused");
    let unknown = error(json!({"weight": [1]}));
    assert!(unknown.message.contains("unknown param `weight`"), "{unknown}");
    assert_eq!(unknown.hint.as_deref(), Some("did you mean `weights`?"));
    assert_eq!(error(json!({"zzzzzzzz": 1})).hint, None);
    assert_eq!(
        error(json!({"weights": "half"})).message,
        "param `weights` is the text \"half\", expected list of numbers"
    );
    assert_eq!(
        error(json!({"every": -1})).message,
        "param `every` is the number -1, expected whole number >= 0"
    );
    let word = error(json!({"reference": "batch_max"}));
    assert_eq!(
        word.message,
        "param `reference` is the text \"batch_max\", expected one of \"running-max\", \"batch-max\""
    );
    assert_eq!(word.hint.as_deref(), Some("did you mean \"batch-max\"?"));
    assert!(error(json!({"tau": 1e300})).message.contains("`tau`"));
    assert!(error(json!([1])).message.contains("expected a table"));
    assert!(<()>::from_json(&json!({"a": 1})).is_err());
}

#[derive(Debug, PartialEq, Params)]
struct Ranges {
    #[param(default = 0.1, above = 0.0, range = ..=1.0)]
    tau: f64,
    #[param(default = 1, range = 1..)]
    every: u32,
    #[param(range = 0.0..1.0)]
    shares: Vec<f64>,
    #[param(above = 0)]
    limit: Option<f64>,
    #[param(choices = ["old", "new"])]
    rule: Option<String>,
}

#[derive(Debug, PartialEq, Params)]
struct More {
    #[param(flatten)]
    ranges: Ranges,
    #[param(default = 2)]
    more: u32,
}

#[test]
fn flattened_params_stand_beside_others() -> Result<()> {
    let names: Vec<String> = More::schema().into_iter().map(|spec| spec.name).collect();
    assert_eq!(names, ["tau", "every", "shares", "limit", "rule", "more"]);
    let read = More::from_json(&json!({"tau": 0.5, "more": 3}))?;
    assert_eq!((read.ranges.tau, read.ranges.every, read.more), (0.5, 1, 3));
    assert!(More::from_json(&json!({"tau": 2})).is_err());
    assert!(More::from_json(&json!({"ranges": {}})).is_err());
    Ok(())
}

#[test]
fn ranges_are_checked_and_shown() -> Result<()> {
    let read = Ranges::from_json(&json!({"tau": 1.0, "every": 1, "shares": [0, 0.5], "limit": 2, "rule": "old"}))?;
    assert_eq!((read.tau, read.every, read.limit), (1.0, 1, Some(2.0)));
    assert_eq!((read.shares, read.rule.as_deref()), (vec![0.0, 0.5], Some("old")));
    let shown: Vec<String> = Ranges::schema().iter().map(ParamSpec::accepted).collect();
    assert_eq!(
        shown,
        [
            "number > 0 and <= 1",
            "whole number >= 1",
            "list of numbers >= 0 and < 1",
            "number > 0, or none",
            "one of \"old\", \"new\", or none"
        ]
    );
    for (value, message, hint) in [
        (
            json!({"tau": 0}),
            "param `tau` is the number 0, expected number > 0 and <= 1",
            "its default is 0.1",
        ),
        (
            json!({"every": 0}),
            "param `every` is the number 0, expected whole number >= 1",
            "its default is 1",
        ),
        (
            json!({"shares": [0.5, 1.0]}),
            "param `shares` is the list [0.5,1.0], expected list of numbers >= 0 and < 1",
            "its default is []",
        ),
        (
            json!({"limit": -1.5}),
            "param `limit` is the number -1.5, expected number > 0, or none",
            "leave it out for none",
        ),
        (
            json!({"rule": "olt"}),
            "param `rule` is the text \"olt\", expected one of \"old\", \"new\", or none",
            "did you mean \"old\"?",
        ),
    ] {
        let error = Ranges::from_json(&value).expect_err("must be refused");
        assert_eq!((error.message.as_str(), error.hint.as_deref()), (message, Some(hint)));
    }
    Ok(())
}

#[derive(Debug, PartialEq, Params)]
struct Free {
    schema: serde_json::Map<String, serde_json::Value>,
}

#[test]
fn a_table_is_taken_as_it_is_or_as_json() -> Result<()> {
    let expected = json!({ "a": { "b": [1, null] } });
    for schema in [expected.clone(), json!(expected.to_string())] {
        let read = Free::from_json(&json!({ "schema": schema }))?;
        assert_eq!(serde_json::Value::Object(read.schema), expected);
    }
    for schema in [json!("a"), json!("[1]"), json!([1]), json!(1), json!(null)] {
        let error = Free::from_json(&json!({ "schema": schema })).expect_err("no table");
        assert!(error.message.starts_with("param `schema` is "), "{error}");
    }
    assert_eq!(Free::schema()[0].default, json!({}));
    Ok(())
}

/// Params and state of a method, with and without what depends on the run.
#[derive(Debug, PartialEq, Params)]
struct Method {
    #[param(weights)]
    weights: Vec<f64>,
    /// one for each, or one for all
    #[param(per_objective, default = [0.9])]
    targets: Vec<f64>,
    #[param(per_objective = setup.m() - 1)]
    limits: Option<Vec<f64>>,
    #[state(init = targets.iter().map(|target| 2.0 * target).collect())]
    doubled: Vec<f64>,
    #[state]
    steps: u32,
}

#[derive(Debug, PartialEq, Params)]
struct Outer {
    #[param(flatten)]
    method: Method,
}

fn run(m: usize) -> Setup {
    Setup {
        objectives: vec![Objective::new("a"); m],
        seed: 0,
    }
}

#[test]
fn state_and_numbers_of_objectives_come_with_the_run() -> Result<()> {
    let read = Outer::for_run(&json!({"limits": [1, 2]}), &run(3))?.method;
    assert_eq!(read.weights, [f64::from(1.0_f32 / 3.0); 3]);
    assert_eq!((read.targets, read.doubled), (vec![0.9; 3], vec![1.8; 3]));
    assert_eq!((read.limits, read.steps), (Some(vec![1.0, 2.0]), 0));
    // A weight is the f32 that the user typed, whatever the type that keeps it.
    let given = Outer::for_run(&json!({"weights": [0.3, 0.7]}), &run(2))?;
    assert_eq!(given.method.weights, [f64::from(0.3_f32), f64::from(0.7_f32)]);

    let names: Vec<String> = Outer::schema().into_iter().map(|spec| spec.name).collect();
    assert_eq!(names, ["weights", "targets", "limits"], "state is no param");
    assert!(Outer::schema()[0].doc.starts_with("weight of each objective"));
    Ok(())
}

#[test]
fn what_does_not_fit_the_run_is_refused() {
    let refused = |value| Outer::for_run(&value, &run(3)).expect_err("must be refused").message;
    assert!(refused(json!({"weights": [0.5, 0.5]})).contains("weights has 2 values, expected 3"));
    assert!(refused(json!({"targets": [1, 2]})).contains("targets has 2 values, expected 3"));
    assert!(refused(json!({"limits": [1, 2, 3]})).contains("limits has 3 values, expected 2"));
    assert!(refused(json!({"steps": 3})).contains("unknown param `steps`"));
    let error = Outer::from_json(&json!({})).expect_err("there is no run");
    assert!(error.message.contains("depend on the run"), "{error}");
    const { assert!(Outer::NEEDS_SETUP && !Ranges::NEEDS_SETUP && !More::NEEDS_SETUP) };
}
