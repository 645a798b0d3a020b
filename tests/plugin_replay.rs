//! Traces: golden ones replay, differences are named, and what a run records replays exactly.

use std::error::Error;
use std::path::Path;

use crate::support::{self, library};
use moa_core::error::Report;
use moa_core::plugin::{BatchInput, Objective, PluginError, Plugins, Recorder, Setup, UpdateInput, replay};
use moa_sdk::trace::Header;
use serde_json::json;

fn plugins(paths: &[&Path]) -> Result<Plugins, PluginError> {
    let mut plugins = Plugins::searching(vec![]);
    for path in paths {
        plugins.load(&path.to_string_lossy())?;
    }
    Ok(plugins)
}

fn check(plugins: &Plugins, trace: &Path) -> Result<(usize, usize), PluginError> {
    let mut out = Vec::new();
    let replayed = replay(plugins, trace, &serde_json::Map::new(), true, &mut out)?;
    assert!(out.is_empty(), "a check prints nothing");
    Ok((replayed.events, replayed.compared))
}

#[test]
fn the_golden_trace_of_linear_agrees() -> Result<(), Box<dyn Error>> {
    let plugins = plugins(&[&library::plugin("linear")])?;
    let trace = support::golden("linear.jsonl");
    let events = std::fs::read_to_string(&trace)?.lines().count() - 1;
    assert_eq!(check(&plugins, &trace)?, (events, events));
    Ok(())
}

#[test]
fn the_first_difference_is_named() -> Result<(), Box<dyn Error>> {
    let plugins = plugins(&[&library::plugin("linear")])?;
    let folder = tempfile::tempdir()?;
    let changed = folder.path().join("changed.jsonl");
    let text = std::fs::read_to_string(support::golden("linear.jsonl"))?;
    assert!(text.contains("0.677628398"));
    std::fs::write(&changed, text.replace("0.677628398", "0.678628398"))?;
    let error = check(&plugins, &changed).expect_err("one reward is another");
    assert!(matches!(error, PluginError::Difference { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains("event 2 (scalarize, step 2): rewards[1] is 0.677628"),
        "{message}"
    );

    std::fs::write(
        &changed,
        text.replace("\"scalarizer\":\"linear\"", "\"scalarizer\":\"linaer\""),
    )?;
    let error = check(&plugins, &changed).expect_err("no such scalarizer");
    assert_eq!(error.hint().as_deref(), Some("did you mean `linear`?"));
    std::fs::write(&changed, text.replacen("\"lengths\"", "\"length\"", 1))?;
    let error = check(&plugins, &changed).expect_err("an unknown key");
    assert!(error.to_string().contains("changed.jsonl: line 2:"), "{error}");
    std::fs::write(&changed, text.replacen("[0.0,1.0,1.0]", "[0.0,1.0]", 1))?;
    let error = check(&plugins, &changed).expect_err("a short row");
    assert!(
        error
            .to_string()
            .contains("event 1 (scalarize, step 1): row 1 of scores"),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_replay_without_check_fills_in_what_it_would_check() -> Result<(), Box<dyn Error>> {
    let plugins = plugins(&[&library::plugin("linear")])?;
    let text = std::fs::read_to_string(support::golden("linear.jsonl"))?;
    let folder = tempfile::tempdir()?;
    // The inputs alone, then filled in, then checked.
    let inputs: String = text
        .lines()
        .map(|line| match line.find(",\"expect\"") {
            Some(end) => format!("{}}}\n", &line[..end]),
            None => format!("{line}\n"),
        })
        .collect();
    let bare = folder.path().join("bare.jsonl");
    std::fs::write(&bare, &inputs)?;
    assert_eq!(check(&plugins, &bare)?.1, 0, "nothing to compare");
    let mut out = Vec::new();
    replay(&plugins, &bare, &serde_json::Map::new(), false, &mut out)?;
    let filled = String::from_utf8(out)?;
    assert!(
        filled.contains("\"expect\":{\"mixing_weights\":[0.5,0.25,0.25],\"weights\":[0.5,0.25,0.25],\"rewards\":[0.5,"),
        "{filled}"
    );
    let filled_path = folder.path().join("filled.jsonl");
    std::fs::write(&filled_path, &filled)?;
    let events = text.lines().count() - 1;
    assert_eq!(check(&plugins, &filled_path)?, (events, events));

    // Other params: the header says them, the answers are theirs, and a check finds the difference.
    let other = json!({"weights": [0.25, 0.5, 0.25]});
    let other = other.as_object().ok_or("an object")?;
    let mut out = Vec::new();
    replay(&plugins, &bare, other, false, &mut out)?;
    let out = String::from_utf8(out)?;
    assert!(
        out.lines()
            .next()
            .is_some_and(|header| header.contains("[0.25,0.5,0.25]")),
        "{out}"
    );
    assert!(out.contains("\"mixing_weights\":[0.25,0.5,0.25]"), "{out}");
    let differs = replay(&plugins, &filled_path, other, true, &mut Vec::new());
    assert!(differs.is_err_and(|error| matches!(error, PluginError::Difference { .. })));
    Ok(())
}

/// A run of `steps` steps with every hook, recorded.
fn record(
    plugins: &Plugins,
    path: &Path,
    steps: std::ops::RangeInclusive<u64>,
    resume: Option<u64>,
) -> Result<u64, Box<dyn Error>> {
    let setup = Setup {
        objectives: vec![Objective::new("a"), Objective::new("b")],
        seed: 3,
    };
    let params = json!({});
    let mut plugin = plugins.scalarizer(Some("hostile"), &setup, &params)?;
    plugin.record_to(match resume {
        None => Recorder::create(path, &Header::new("hostile", &setup, params))?,
        Some(events) => Recorder::resume(path, events)?,
    });
    for step in steps {
        #[allow(clippy::cast_precision_loss, reason = "a small number")]
        let x = 0.1 * step as f32;
        plugin.on_validation(step - 1, &[f64::from(x), 1.0 / 3.0])?;
        plugin.observe_gradients(step, 1e-6, &[1.0, 0.5, 0.5, 2.0], &[0.1, -0.2])?;
        let offsets = [0, 1, 3];
        let logprobs = [-0.1 - x, -1.0 / 3.0, -2.7];
        plugin.scalarize(&BatchInput {
            step,
            m: 2,
            scores: &[x, 1.0, 0.7, -x],
            groups: &[0, 0],
            lengths: &[1, 2],
            old_logprobs: Some(&logprobs),
            offsets: &offsets,
            ..BatchInput::default()
        })?;
        plugin.after_update(&UpdateInput {
            step,
            m: 2,
            groups: &[0, 0],
            scores: &[x, 1.0, 0.7, -x],
            advantages: &[0.5, -0.5],
            old_logprobs: &logprobs,
            new_logprobs: &logprobs,
            offsets: &offsets,
            clip_low: 0.2,
            clip_high: 0.28,
        })?;
    }
    Ok(plugin.recorder().ok_or("it records")?.events())
}

#[test]
fn a_recorded_run_replays_exactly() -> Result<(), Box<dyn Error>> {
    let plugins = plugins(&[&library::fixture("hostile")])?;
    let folder = tempfile::tempdir()?;
    let whole = folder.path().join("whole.jsonl");
    assert_eq!(record(&plugins, &whole, 1..=3, None)?, 12);
    assert_eq!(check(&plugins, &whole)?, (12, 12));
    let recorded = std::fs::read_to_string(&whole)?;
    let mut again = Vec::new();
    replay(&plugins, &whole, &serde_json::Map::new(), false, &mut again)?;
    assert_eq!(String::from_utf8(again)?, recorded, "to the last byte");

    // A run that was cut off after its checkpoint: what came later is written again.
    let resumed = folder.path().join("resumed.jsonl");
    assert_eq!(record(&plugins, &resumed, 1..=2, None)?, 8);
    assert_eq!(record(&plugins, &resumed, 2..=3, Some(4))?, 12);
    assert_eq!(std::fs::read_to_string(&resumed)?, recorded);
    let error = Recorder::resume(&resumed, 13).map(|_| ()).expect_err("there are 12");
    assert!(
        error.to_string().contains("has 12 whole events, expected at least 13"),
        "{error}"
    );
    Ok(())
}
