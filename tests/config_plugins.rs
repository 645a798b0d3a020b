//! Every config's scalarizer and rewards accept what the config gives them: a misspelt parameter fails here. The
//! layers in configs/with fit the configs that they are for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{self, library};
use moa_core::config::{Config, Request, resolve};
use moa_core::error::Report;
use moa_core::plugin::{Objective, Plugins, Setup};
use serde_json::Value;

/// The TOML files of a folder of configs/ and of those below it.
fn configs(folder: &str) -> Vec<PathBuf> {
    let mut folders = vec![support::root().join("configs").join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("configs/ can be listed") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn resolved(file: &Path) -> Config {
    let request = Request {
        file: Some(file.to_owned()),
        ..Request::default()
    };
    resolve(&request)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        .config
}

/// A file in `folder` that has a config and layers on top of it, resolved.
fn layered(folder: &Path, files: &[&Path]) -> Config {
    let list: Vec<String> = files
        .iter()
        .map(|file| format!("{:?}", file.display().to_string()))
        .collect();
    let file = folder.join("my.toml");
    fs::write(&file, format!("include = [{}]\n", list.join(", "))).expect("the folder takes files");
    resolved(&file)
}

/// Whether plugins/ has a library of that name.
fn is_there(name: &str) -> bool {
    support::library::folder_of(name).is_some()
}

#[test]
fn every_scalarizer_and_reward_takes_its_params() {
    let mut plugins = Plugins::searching(vec![]);
    let mut tried = BTreeSet::new();
    for file in configs("") {
        let config = resolved(&file);
        let name = config.scalarizer.name.as_str();
        let listed = config.plugins.is_empty() || config.plugins == [name];
        assert!(listed, "{} loads {:?} and takes {name}", file.display(), config.plugins);
        let rewards: Vec<&str> = config
            .objectives
            .iter()
            .map(|objective| objective.reward.as_str())
            .collect();
        for library in rewards.into_iter().chain([name]).filter(|library| is_there(library)) {
            plugins
                .load(&library::plugin(library).to_string_lossy())
                .unwrap_or_else(|error| panic!("{error}"));
        }
        for objective in &config.objectives {
            let params = Value::Object(objective.params.clone());
            if let Err(error) = plugins.reward(&objective.reward, &params) {
                panic!("{}: {error}", file.display());
            }
        }
        if is_there(name) {
            let objectives = config
                .objectives
                .iter()
                .map(|objective| Objective::new(&objective.name))
                .collect();
            let setup = Setup {
                objectives,
                seed: config.train.seed,
            };
            assert_eq!(setup.m(), 3, "{}", file.display());
            let params = Value::Object(config.scalarizer.params.clone());
            if let Err(error) = plugins.scalarizer(Some(name), &setup, &params) {
                panic!("{}: {error}; hint: {:?}", file.display(), error.hint());
            }
            tried.insert(name.to_owned());
        }
    }
    let all: BTreeSet<String> = library::scalarizers().into_iter().map(|(_, name)| name).collect();
    assert_eq!(tried, all, "every first-party scalarizer has a config");
}

#[test]
fn the_papers_grids_are_there() {
    for (folder, methods) in [
        (
            "math500",
            &[
                "ctwa",
                "dynamic",
                "gradnorm",
                "lagrangian",
                "linear",
                "mgda",
                "pama",
                "tchebycheff",
            ][..],
        ),
        ("drw/math500", &["gradient", "hypervolume", "linear"]),
        ("drw/math-lighteval", &["gradient", "hypervolume", "linear"]),
    ] {
        let files = configs(folder);
        let names: Vec<_> = files.iter().filter_map(|file| file.file_stem()?.to_str()).collect();
        assert_eq!(names, methods, "{folder}");
        for (file, name) in files.iter().zip(&names) {
            let config = resolved(file);
            assert_eq!(config.scalarizer.name, *name);
            assert_eq!(config.plugins, [*name], "{} runs without --plugin", file.display());
            let (drw, updates) = (
                folder.starts_with("drw"),
                config.rollout.prompts / config.algorithm.minibatch,
            );
            assert_eq!(config.batch_size(), 512, "{}", file.display());
            assert_eq!(updates, 2, "{}", file.display());
            assert_eq!(config.train.steps, if drw { 360 } else { 810 });
            let without_kl = ["gradnorm", "lagrangian", "mgda"].contains(name);
            assert_eq!(config.algorithm.kl.coefficient == 0.0, without_kl, "{}", file.display());
            let unclipped = *name == "gradient" || !drw && ["ctwa", "dynamic", "linear"].contains(name);
            assert_eq!(config.algorithm.clip_high == 100.0, unclipped, "{}", file.display());
            assert_eq!(config.validation.every, if *name == "hypervolume" { 1 } else { 5 });
        }
    }
}

#[test]
fn layers_change_what_they_say_and_leave_the_rest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let with = |name: &str| support::root().join("configs/with").join(name);
    for file in configs("drw") {
        let alone = resolved(&file);
        for (layer, estimator, kl) in [
            ("drw-reinforce++.toml", "reinforce++", Some("k2")),
            ("drw-rloo.toml", "rloo", None),
        ] {
            let config = layered(folder.path(), &[&file, &with(layer), &with("weights-accuracy.toml")]);
            assert_eq!(config.algorithm.estimator.name(), estimator);
            assert_eq!(config.algorithm.kl.coefficient > 0.0, kl.is_some());
            assert!(kl.is_none_or(|kl| config.algorithm.kl.estimator.name() == kl));
            assert_eq!(config.scalarizer.name, alone.scalarizer.name);
            assert_eq!(
                config.scalarizer.params.len(),
                alone.scalarizer.params.len(),
                "{}",
                file.display()
            );
            assert_eq!(
                config.scalarizer.params["weights"],
                serde_json::json!([0.5, 0.25, 0.25])
            );
            assert_eq!((&config.rollout, &config.optimizer), (&alone.rollout, &alone.optimizer));
        }
    }
    for file in configs("math500") {
        let config = layered(folder.path(), &[&file, &with("ctwa-grpo.toml")]);
        assert_eq!(config.algorithm.estimator.name(), "grpo");
        assert_eq!(config.algorithm.clip_high, 0.2);
        assert_eq!(config.scalarizer, resolved(&file).scalarizer);
    }
}

#[test]
fn the_objectives_of_the_readme_take_their_params() {
    let page = fs::read_to_string(support::root().join("configs/README.md")).expect("configs/ has a README");
    let section = page.split("## Objectives").nth(1).expect("the README shows objectives");
    let block = section
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("objectives.toml");
    fs::write(&file, block.expect("the section has a block")).expect("the folder takes files");
    let config = resolved(&file);
    assert!(config.objectives.len() >= 7, "{} objectives", config.objectives.len());
    let mut plugins = Plugins::searching(vec![]);
    for objective in &config.objectives {
        plugins
            .load(&library::plugin(&objective.reward).to_string_lossy())
            .unwrap_or_else(|error| panic!("{error}"));
        let params = Value::Object(objective.params.clone());
        if let Err(error) = plugins.reward(&objective.reward, &params) {
            panic!("{}: {error}; hint: {:?}", objective.name, error.hint());
        }
        assert!(!params.as_object().unwrap().is_empty(), "{}", objective.name);
    }
}
