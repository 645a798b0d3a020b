//! Every config in configs/ resolves, says what it is, and survives being written and read back.

use std::path::{Path, PathBuf};

use moa_core::config::{Config, Estimator, Purpose, Request, Source, resolve};

fn configs() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("configs/ can be listed") {
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

#[test]
fn every_config_resolves_and_starts_with_a_comment() {
    let files = configs();
    assert!(!files.is_empty());
    for file in files {
        let request = Request {
            file: Some(file.clone()),
            ..Request::default()
        };
        if let Err(error) = resolve(&request) {
            panic!("{error}");
        }
        let text = std::fs::read_to_string(&file).expect("the file was just read");
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("# ") && first.len() > 20,
            "{}: first line {first:?} says nothing",
            file.display()
        );
    }
}

/// A file that named its scalarizer, if only through another file, would train that one whatever library is loaded.
#[test]
fn the_conflict_set_up_leaves_the_scalarizer_to_the_library() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/tiny/conflict.toml");
    let request = Request {
        file: Some(file),
        ..Request::default()
    };
    let resolved = resolve(&request).expect("it resolves");
    assert!(resolved.is_default("scalarizer.name"));
    assert_eq!(
        resolved.config.scalarizer.params["weights"],
        serde_json::json!([0.25, 0.5, 0.25])
    );
}

#[test]
fn a_written_config_reads_back_the_same_with_and_without_the_layers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in configs() {
        for purpose in [Purpose::Train, Purpose::Sft] {
            let sets = [
                "train.run_dir=runs/a",
                "scalarizer.deep={a=[1, 2.5, true], b=\"x\"}",
                "rollout.top_p=0.1",
            ];
            let overrides = sets
                .iter()
                .map(|set| moa_core::config::Override::Set((*set).to_owned()))
                .collect();
            let request = Request {
                purpose,
                file: Some(file.clone()),
                overrides,
                ..Request::default()
            };
            let config = resolve(&request).unwrap_or_else(|error| panic!("{error}")).config;
            let written = folder.path().join("config.toml");
            std::fs::write(&written, config.to_toml().expect("a config is TOML")).expect("the folder takes files");
            assert_eq!(Config::read(&written).unwrap_or_else(|error| panic!("{error}")), config);
            let request = Request {
                purpose,
                file: Some(written),
                ..Request::default()
            };
            assert_eq!(
                resolve(&request).unwrap_or_else(|error| panic!("{error}")).config,
                config
            );
        }
    }
}

/// Compares each value of the TOML file at `path`, from the repository's root, with what `config` has there. Returns how
/// many there are.
fn agree(path: &str, config: &Config) -> usize {
    fn compare(key: &str, written: &toml::Value, runs: Option<&toml::Value>) -> usize {
        match written {
            toml::Value::Table(table) => table
                .iter()
                .map(|(name, value)| compare(&format!("{key}.{name}"), value, runs.and_then(|runs| runs.get(name))))
                .sum(),
            toml::Value::Array(list) if list.iter().all(toml::Value::is_table) => list
                .iter()
                .enumerate()
                .map(|(at, value)| compare(&format!("{key}[{at}]"), value, runs.and_then(|runs| runs.get(at))))
                .sum(),
            written => {
                assert_eq!(Some(written), runs, "{key}");
                1
            }
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let text = std::fs::read_to_string(file).expect("the repository has the file");
    let runs = toml::Value::try_from(config).expect("a config is TOML");
    compare("", &toml::from_str(&text).expect("it is TOML"), Some(&runs))
}

/// The built-in file says what the embedded run has; another model has the defaults alone.
#[test]
fn the_embedded_runs_file_agrees_with_what_runs() {
    let resolved = resolve(&Request::default()).expect("it resolves");
    let count = agree("configs/tiny/default.toml", &resolved.config);
    assert!(count >= 20, "only {count} values are written");
    let origin = resolved.origin("train.steps").to_string();
    assert!(origin.starts_with("default (configs/tiny/default.toml:"), "{origin}");

    let other = Request {
        overrides: vec![moa_core::config::Override::Set("model.path=other".into())],
        ..Request::default()
    };
    let resolved = resolve(&other).expect("it resolves");
    assert_eq!(resolved.origin("train.steps").to_string(), "default");
}

/// Results are compared across versions: no default may move by accident. A new key need not stand in the file.
#[test]
fn the_defaults_have_not_moved() {
    let config = resolve(&Request::default()).expect("it resolves").config;
    assert!(agree("tests/golden/default_config.toml", &config) >= 60);
}

#[test]
fn the_default_run_is_the_recipe() {
    let config = resolve(&Request::default())
        .unwrap_or_else(|error| panic!("{error}"))
        .config;
    assert_eq!(config.model.path, Source::Embedded);
    assert_eq!(
        (
            config.rollout.prompts,
            config.rollout.group_size,
            config.rollout.max_new_tokens
        ),
        (16, 8, 96)
    );
    assert_eq!(config.algorithm.estimator, Estimator::Grpo);
    assert_eq!(
        (config.optimizer.lr, config.optimizer.betas, config.optimizer.clip_norm),
        (3e-4, [0.9, 0.999], 1.0)
    );
    assert_eq!(
        (config.train.steps, config.validation.every, config.validation.rows),
        (60, 20, 200)
    );
    let names: Vec<&str> = config
        .objectives
        .iter()
        .map(|objective| objective.name.as_str())
        .collect();
    assert_eq!(names, ["accuracy", "conciseness", "clarity"]);
    assert!(config.sft.is_none());
}
