//! A plugin that misbehaves: every fault becomes an error that names plugin, hook and step, and the host lives on.

use std::error::Error;
use std::sync::OnceLock;

use crate::support::library;
use moa_core::error::Report;
use moa_core::plugin::{
    BatchInput, Cause, Completion, Failure, MeanTokens, Objective, Performance, PluginError, Plugins, RewardPlugin,
    ScalarizerPlugin, Score, Setup, SignalKind, UpdateInput, description_text,
};
use serde_json::json;

/// The loaded fixture; tests share it, as a run does.
fn hostile(fault: &str) -> Result<ScalarizerPlugin, PluginError> {
    let setup = Setup {
        objectives: vec![Objective::new("a"), Objective::new("b")],
        seed: 0,
    };
    plugins().scalarizer(Some("hostile"), &setup, &json!({ "fault": fault }))
}

fn plugins() -> Plugins {
    static PATH: OnceLock<String> = OnceLock::new();
    let path = PATH.get_or_init(|| library::fixture("hostile").to_string_lossy().into_owned());
    let mut plugins = Plugins::searching(vec![]);
    plugins.load(path).map(|_| ()).expect("the fixture loads");
    plugins
}

const BATCH: BatchInput<'static> = BatchInput {
    step: 7,
    m: 2,
    scores: &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0],
    groups: &[0, 0, 0],
    lengths: &[1, 2, 3],
    objective_advantages: None,
    old_logprobs: None,
    ref_logprobs: None,
    offsets: &[],
};

const UPDATE: UpdateInput<'static> = UpdateInput {
    step: 8,
    m: 2,
    groups: &[0, 0],
    scores: &[1.0, 0.0, 0.0, 1.0],
    advantages: &[1.0, -1.0],
    old_logprobs: &[-1.0, -2.0, -3.0],
    new_logprobs: &[-1.0, -2.0, -3.0],
    offsets: &[0, 1, 3],
    clip_low: 0.2,
    clip_high: 0.2,
};

/// All hooks in the order of a step, up to the first error.
fn step(plugin: &mut ScalarizerPlugin) -> Result<(), PluginError> {
    plugin.on_validation(6, &[0.1, 0.2])?;
    plugin.observe_gradients(7, 1e-6, &[1.0, 0.0, 0.0, 1.0], &[0.1, 0.2])?;
    plugin.scalarize(&BATCH)?;
    plugin.after_update(&UPDATE)?;
    plugin.weights()?;
    plugin.metrics()?;
    let state = plugin.save()?;
    plugin.load(&state)
}

#[test]
fn without_a_fault_every_hook_runs() -> Result<(), Box<dyn Error>> {
    let mut plugin = hostile("none")?;
    step(&mut plugin)?;
    assert_eq!(plugin.metrics()?[0], ("number".to_owned(), f64::from(0.1_f32)));
    assert_eq!(*plugin.scalarize(&BATCH)?.kind(), SignalKind::Weights(vec![1.0, 1.0]));
    Ok(())
}

#[test]
fn a_panic_becomes_an_error_with_plugin_hook_step_and_place() -> Result<(), Box<dyn Error>> {
    for (fault, place, word) in [
        ("panic-validation", "on_validation at step 6", "PanicValidation"),
        ("panic-observe", "observe_gradients at step 7", "PanicObserve"),
        ("panic-scalarize", "scalarize at step 7", "PanicScalarize"),
        ("panic-update", "after_update at step 8", "PanicUpdate"),
        ("panic-weights", "weights at step 8", "PanicWeights"),
        ("panic-metrics", "metrics at step 8", "PanicMetrics"),
        ("panic-save", "save at step 8", "PanicSave"),
    ] {
        let mut plugin = hostile(fault)?;
        let error = step(&mut plugin).expect_err(fault).to_string();
        let start = format!("plugin hostile, {place}: panicked: told to {word} at ");
        assert!(error.starts_with(&start), "{error}");
        assert!(error.contains("lib.rs:"), "{error}");
        // What it holds may be half changed: it is not asked again.
        let again = plugin.save().expect_err("it has panicked").to_string();
        assert!(again.contains("refuses every call since it panicked"), "{again}");
    }
    let error = hostile("panic-new").err().ok_or("new panics")?;
    assert!(
        error
            .to_string()
            .starts_with("plugin hostile, new: panicked: told to PanicNew at ")
    );
    // Its drop panics: the host goes on.
    drop(hostile("panic-drop")?);
    Ok(())
}

#[test]
fn an_error_keeps_its_hint_and_the_plugin_goes_on() -> Result<(), Box<dyn Error>> {
    let mut plugin = hostile("error-scalarize")?;
    let error = plugin.scalarize(&BATCH).expect_err("told to fail");
    assert_eq!(error.to_string(), "plugin hostile, scalarize at step 7: told to fail");
    assert_eq!(error.hint().as_deref(), Some("tell it something else"));
    plugin.save()?;
    Ok(())
}

#[test]
fn outputs_of_the_wrong_length_or_not_finite_are_refused() -> Result<(), Box<dyn Error>> {
    for (fault, message) in [
        (
            "weights-length",
            "scalarize at step 7: weights has 3 values, expected 2, one for each objective",
        ),
        (
            "weights-nan",
            "scalarize at step 7: weights[0] is NaN, expected a finite number",
        ),
        (
            "rewards-length",
            "scalarize at step 7: rewards has 2 values, expected 3, one for each completion",
        ),
        (
            "rewards-infinite",
            "scalarize at step 7: rewards[0] is inf, expected a finite number",
        ),
        (
            "token-length",
            "scalarize at step 7: token advantages has 3 values, expected 6, one for each token",
        ),
        (
            "scale-nan",
            "scalarize at step 7: advantage_scale[0] is NaN, expected a finite number",
        ),
        (
            "current-weights-length",
            "weights at step 8: weights has 1 values, expected 2, one for each objective",
        ),
        (
            "metric-nan",
            "metrics at step 8: metric number is NaN, expected a finite number",
        ),
    ] {
        let error = step(&mut hostile(fault)?).expect_err(fault);
        assert!(matches!(error, PluginError::Output { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("plugin hostile, {message}"));
    }
    let error = hostile("state-nan")?.save().expect_err("JSON has no NaN");
    assert_eq!(
        error.to_string(),
        "plugin hostile, save: the state cannot be saved: number is NaN"
    );
    Ok(())
}

#[test]
fn inputs_that_do_not_fit_are_the_hosts_fault() -> Result<(), Box<dyn Error>> {
    let mut plugin = hostile("none")?;
    let short = BatchInput { lengths: &[1], ..BATCH };
    let error = plugin.scalarize(&short).expect_err("one length for three completions");
    assert!(matches!(error, PluginError::Input { .. }), "{error:?}");
    assert!(
        error.to_string().ends_with("lengths has 1 values, expected 3"),
        "{error}"
    );
    assert!(plugin.on_validation(0, &[0.5]).is_err());
    assert!(plugin.observe_gradients(1, 0.1, &[1.0], &[0.1, 0.2]).is_err());
    assert!(plugin.weigh_gradients(1, 0, 0.1, &[1.0], &[0.1, 0.2]).is_err());
    Ok(())
}

#[test]
fn state_goes_from_one_object_to_another_to_the_last_byte() -> Result<(), Box<dyn Error>> {
    let from = hostile("none")?;
    let state = from.save()?;
    let mut to = hostile("error-scalarize")?;
    to.load(&state)?;
    assert_eq!(to.save()?, state);
    to.scalarize(&BATCH)?; // the fault came with the state: none
    let error = to.load("{\"fault\":\"none\"}").expect_err("half a state");
    assert!(
        error
            .to_string()
            .starts_with("plugin hostile, load at step 7: the state does not fit")
    );
    assert_eq!(to.save()?, state, "a state that does not fit changes nothing");
    Ok(())
}

fn reward(fault: &str) -> Result<RewardPlugin, PluginError> {
    plugins().reward("hostile-reward", &json!({ "fault": fault }))
}

fn failure(cause: Cause, message: &str) -> Score {
    let message = message.to_owned();
    Err(Failure { cause, message })
}

#[test]
fn rewards_are_checked_one_by_one_and_as_a_whole() -> Result<(), Box<dyn Error>> {
    let completions = ["four", ""].map(|response| Completion {
        response,
        ..Completion::default()
    });
    let fine = reward("none")?;
    assert_eq!(fine.performance(), Performance::ResponseTokens);
    assert_eq!(fine.score_all(&completions)?, [Ok(4.0), Ok(0.0)]);
    let one = reward("error-on-empty")?.score_all(&completions)?;
    assert_eq!(one, [Ok(4.0), failure(Cause::Refused, "the response is empty")]);
    let nan = reward("nan")?.score_all(&completions)?;
    assert_eq!(
        nan[0],
        failure(Cause::NotFinite, "the score is NaN, expected a finite number")
    );
    let length = reward("length")?.score_all(&completions).expect_err("one is missing");
    assert_eq!(
        length.to_string(),
        "plugin hostile-reward, score_all: 1 scores, expected 2"
    );
    let panics = reward("panic-score")?;
    for start in [
        "panicked: told to at ",
        "refuses every call since it panicked: told to at ",
    ] {
        let error = panics.score_all(&completions).expect_err("it panics").to_string();
        assert!(
            error.starts_with(&format!("plugin hostile-reward, score_all: {start}")),
            "{error}"
        );
    }
    assert!(reward("panic-new").is_err());
    Ok(())
}

#[test]
fn mean_lengths_reach_the_rewards_that_ask_for_them_and_no_other() -> Result<(), Box<dyn Error>> {
    let completion = Completion {
        response_tokens: 3,
        means: Some(MeanTokens {
            running: 4.0,
            batch: 3.0,
            group: 2.0,
        }),
        ..Completion::default()
    };
    let mut plugins = Plugins::searching(vec![]);
    plugins.load(&library::plugin("conciseness").to_string_lossy())?;
    for (baseline, expected) in [("running", 1.0), ("batch", 0.0), ("group", 0.0)] {
        let asks = plugins.reward("conciseness", &json!({ "baseline": baseline }))?;
        assert!(asks.needs_means());
        assert_eq!(asks.score_all(&[completion])?, [Ok(expected)], "{baseline}");
    }
    assert!(description_text(&plugins.libraries()[0]).contains("  needs  mean lengths\n"));
    let unasked = reward("unasked-means")?;
    assert!(!unasked.needs_means());
    let none = unasked.score_all(&[completion])?;
    assert_eq!(none, [failure(Cause::Refused, "`means` was not asked for")]);
    Ok(())
}
