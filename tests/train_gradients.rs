//! What a gradient method answers is what trains: in every step the update's gradient norm is √(wᵀGw) of the Gramian
//! and the weights that the trace has, and metrics.jsonl has the same weights.

use std::collections::BTreeSet;
use std::fs;

use crate::support::host::{Outcome, host};
use crate::support::library;
use moa_core::metrics::definition;
use serde_json::Value;

/// Every gradient method with each of its params off its default.
const RUNS: &[(&str, &[&str])] = &[
    ("mgda", &[]),
    ("mgda", &["scalarizer.normalize=\"norm\""]),
    ("mgda", &["scalarizer.normalize=\"norm-squared\""]),
    ("mgda", &["scalarizer.normalize=\"loss\""]),
    ("mgda", &["scalarizer.compat=\"ctwa-repo\""]),
    (
        "mgda",
        &["scalarizer.normalize=\"norm\"", "scalarizer.compat=\"ctwa-repo\""],
    ),
    ("gradnorm", &[]),
    ("gradnorm", &["scalarizer.alpha=0.5"]),
    ("gradnorm", &["scalarizer.weight_lr=0.5"]),
    ("gradnorm", &["scalarizer.weight_lr=0.5", "scalarizer.weight_floor=0.4"]),
    // The released code's loss ratios turn negative here, and only whole powers of those are numbers.
    ("gradnorm", &["scalarizer.alpha=2.0", "scalarizer.compat=\"ctwa-repo\""]),
    ("upgrad", &[]),
    ("upgrad", &["scalarizer.weights=[0.5, 0.25, 0.25]"]),
    ("upgrad", &["scalarizer.regularization=1e-4"]),
    ("dualproj", &[]),
    ("dualproj", &["scalarizer.weights=[0.5, 0.25, 0.25]"]),
    ("dualproj", &["scalarizer.regularization=1e-4"]),
    ("cagrad", &[]),
    (
        "cagrad",
        &["scalarizer.weights=[0.5, 0.25, 0.25]", "scalarizer.clip=true"],
    ),
    ("cagrad", &["scalarizer.c=0.9", "scalarizer.rescale=\"one-plus-c\""]),
    ("pcgrad", &[]),
    (
        "pcgrad",
        &["scalarizer.weights=[0.5, 0.25, 0.25]", "scalarizer.reduction=\"sum\""],
    ),
    ("pcgrad", &["scalarizer.order=\"random\""]),
    ("nash-mtl", &[]),
    ("nash-mtl", &["scalarizer.scale=\"published\""]),
    ("nash-mtl", &["scalarizer.update_every=2"]),
    ("fairgrad", &[]),
    ("fairgrad", &["scalarizer.alpha=0.5", "scalarizer.scale=\"published\""]),
    ("fairgrad", &["scalarizer.update_every=2"]),
    ("aligned-mtl", &[]),
    (
        "aligned-mtl",
        &["scalarizer.weights=[0.5, 0.25, 0.25]", "scalarizer.scale=\"rmse\""],
    ),
    ("imtl-g", &[]),
    ("config", &[]),
    ("pcd", &[]),
    ("pcd", &["scalarizer.tau=[0.1]", "scalarizer.beta=0.9"]),
];

fn run(name: &str, settings: &[&str]) -> Outcome {
    let mut arguments = vec!["--plugin", name, "--steps", "4", "--run-dir", "run", "--quiet"];
    let small = [
        "validation.rows=4",
        "rollout.prompts=4",
        "rollout.max_new_tokens=48",
        "logging.trace=true",
    ];
    for setting in small.iter().chain(settings) {
        arguments.extend(["--set", setting]);
    }
    host(&arguments)
}

fn lines(outcome: &Outcome, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(outcome.folder.path().join("run").join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    let values = value.as_array().unwrap_or_else(|| panic!("no list: {value}"));
    values.iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn the_weights_that_are_recorded_are_those_that_train() {
    for (name, settings) in RUNS {
        let outcome = run(name, settings);
        assert_eq!(outcome.code, 0, "{name} {settings:?}: {}", outcome.stderr);
        let events = lines(&outcome, "trace.jsonl");
        let objectives: Vec<&str> = events[0]["objectives"]
            .as_array()
            .unwrap()
            .iter()
            .map(|objective| objective["name"].as_str().unwrap())
            .collect();
        let mut compared = 0;
        for step in lines(&outcome, "metrics.jsonl") {
            for key in step.as_object().unwrap().keys() {
                let own = ["step", "time", "first_failure"].contains(&key.as_str());
                assert!(own || definition(key).is_some(), "metric {key} has no definition");
            }
            let event = events
                .iter()
                .find(|event| event["hook"] == "weigh_gradients" && event["step"] == step["step"])
                .unwrap_or_else(|| panic!("{name}: no event of step {}", step["step"]));
            let weights = numbers(&event["expect"]["gradient_weights"]); // [M]
            let gram: Vec<Vec<f64>> = event["gram"].as_array().unwrap().iter().map(numbers).collect(); // [M, M]
            let product = |row: &Vec<f64>| row.iter().zip(&weights).map(|(g, w)| g * w).sum::<f64>();
            let squared: f64 = gram.iter().zip(&weights).map(|(row, w)| w * product(row)).sum();
            let (expected, found) = (squared.max(0.0).sqrt(), step["policy/grad_norm"].as_f64().unwrap());
            assert!(
                (found - expected).abs() <= 1e-4 * expected,
                "{name} {settings:?} step {}: gradient norm {found}, weights {weights:?} make {expected}",
                step["step"]
            );
            for (objective, weight) in objectives.iter().zip(&weights) {
                let recorded = step[format!("weight/{objective}")].as_f64().unwrap();
                assert_eq!(recorded as f32, *weight as f32, "{name} {settings:?} {objective}");
            }
            compared += usize::from(expected > 0.0);
        }
        assert!(compared >= 3, "{name} {settings:?}: {compared} steps had a gradient");
    }
}

/// The list above leaves no method and no param out.
#[test]
fn every_gradient_method_is_covered_with_every_param() {
    let mut methods = BTreeSet::new();
    for plugin in library::first_party() {
        for scalarizer in &plugin.description.scalarizers {
            if !scalarizer.hooks.iter().any(|hook| hook == "weigh_gradients") {
                continue;
            }
            methods.insert(scalarizer.name.as_str());
            for param in &scalarizer.params {
                let key = format!("scalarizer.{}=", param.name);
                let of_this = RUNS.iter().filter(|(name, _)| *name == scalarizer.name);
                let set = of_this.flat_map(|(_, settings)| *settings).any(|s| s.starts_with(&key));
                assert!(set, "{}: no run sets {}", scalarizer.name, param.name);
            }
        }
    }
    assert_eq!(methods, RUNS.iter().map(|(name, _)| *name).collect());
}
