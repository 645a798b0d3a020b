//! What examples/ promises: the guide works block by block, from an empty folder to a trained model; the example is
//! the guide's code, builds outside the workspace and is loaded by name; the template makes a plugin that works.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::support::{self, library};
use moa_core::plugin::{BatchInput, Completion, NewPlugin, Objective, Plugins, Setup};
use serde_json::json;

/// Guide and example make a library of the same name in the same target folder.
static LAGGARD: Mutex<()> = Mutex::new(());

/// A fenced block: what follows the fence, the text, and its line in the page.
struct Block {
    label: String,
    text: String,
    line: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in page.lines().enumerate() {
        if let Some(label) = line.strip_prefix("```") {
            open = !open;
            if open {
                blocks.push(Block {
                    label: label.to_owned(),
                    text: String::new(),
                    line: number + 1,
                });
            }
        } else if let (true, Some(block)) = (open, blocks.last_mut()) {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    assert!(!open, "a block of the guide does not end");
    blocks
}

/// Whether `line` is what `pattern` says, where `…` stands for anything.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.trim_end().split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.trim_end().is_empty() || pattern.trim_end().ends_with('…')
}

/// Runs a block with the exports of those before it; gives what it wrote.
fn shell(block: &Block, exports: &str, folder: &Path) -> String {
    let host = Path::new(env!("CARGO_BIN_EXE_moa-host"))
        .parent()
        .expect("the binary stands in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("bash")
        .args(["-eu", "-c", &format!("exec 2>&1\n{exports}{}", block.text)])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", host.display()))
        .env("MOA", support::root())
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("MOA_PLUGIN_PATH")
        .output()
        .expect("bash runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "the block at line {} failed:\n{}\n{text}",
        block.line,
        block.text
    );
    text
}

#[test]
fn the_guide_leads_from_an_empty_folder_to_a_trained_model() {
    let _one = LAGGARD.lock().unwrap_or_else(PoisonError::into_inner);
    for reward in ["accuracy", "conciseness", "clarity"] {
        library::plugin(reward); // beside the host in a finished build; here in the folder that the guide builds into
    }
    let page = fs::read_to_string(support::root().join("examples/first-scalarizer.md")).expect("the guide");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path();
    std::os::unix::fs::symlink(library::target_folder().join("fixtures"), here.join("target")).expect("a link");

    let (mut exports, mut output, mut compared) = (String::new(), String::new(), 0);
    for block in blocks(&page) {
        let file = |name: &str| {
            let path = here.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            path
        };
        match block.label.split_once(' ') {
            Some((_, target)) => match target.strip_prefix(">> ") {
                Some(name) => {
                    let path = file(name);
                    let before = fs::read_to_string(&path).expect("a file to add to");
                    fs::write(path, before + &block.text).expect("a file");
                }
                None => fs::write(file(target), &block.text).expect("a file"),
            },
            None if block.label == "sh" => {
                if here.join("Cargo.toml").is_file() && !here.join("Cargo.lock").is_file() {
                    library::lock(&here.join("Cargo.toml")); // the versions that are there; a reader looks them up
                }
                output = shell(&block, &exports, here);
                for line in block.text.lines().filter(|line| line.starts_with("export ")) {
                    exports.push_str(line);
                    exports.push('\n');
                }
            }
            None if block.label == "text" => {
                for pattern in block.text.lines() {
                    let there = output.lines().any(|line| matches(pattern, line));
                    assert!(there, "line {}: no line {pattern:?} in\n{output}", block.line);
                    compared += 1;
                }
            }
            None => panic!("line {}: nobody runs a block of {:?}", block.line, block.label),
        }
    }
    assert!(compared > 10, "only {compared} lines of output were compared");

    let example = fs::read_to_string(support::root().join("examples/scalarizer/src/lib.rs")).expect("the example");
    assert!(
        fs::read_to_string(here.join("src/lib.rs")).is_ok_and(|code| code == example),
        "the example differs"
    );
    let run = here.join("runs/first");
    assert!(run.join("model/model.safetensors").is_file(), "no model was written");
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    assert_eq!(metrics.lines().count(), 2, "two steps were trained");
}

/// Loads `library` by its bare name from the folder it was built into; the weights of the scalarizer `name` on equal scores.
fn load(library: &Path, bare: &str, name: &str, params: &serde_json::Value) -> Vec<f32> {
    let folder = library.parent().map(Path::to_owned).expect("a folder");
    let mut plugins = Plugins::searching(vec![folder]);
    plugins.load(bare).unwrap_or_else(|error| panic!("{error}"));
    let setup = Setup {
        objectives: ["a", "b", "c"].map(Objective::new).to_vec(),
        seed: 0,
    };
    let mut scalarizer = plugins
        .scalarizer(Some(name), &setup, params)
        .unwrap_or_else(|error| panic!("{error}"));
    let signal = scalarizer
        .scalarize(&BatchInput {
            step: 1,
            m: 3,
            scores: &[0.5; 3],
            groups: &[0],
            lengths: &[1],
            ..BatchInput::default()
        })
        .unwrap_or_else(|error| panic!("{error}"));
    signal.mixing_weights().expect("it has weights").to_vec()
}

#[test]
fn the_example_builds_outside_the_workspace_and_loads_by_name() {
    let _one = LAGGARD.lock().unwrap_or_else(PoisonError::into_inner);
    let manifest = support::root().join("examples/scalarizer/Cargo.toml");
    library::lock(&manifest);
    let library = library::build(&manifest, "laggard", "laggard");
    let weights = load(&library, "laggard", "laggard", &json!({ "rate": 0.2 }));
    assert_eq!(weights, [1.0 / 3.0; 3]);

    let workspace: toml::Table =
        toml::from_str(&fs::read_to_string(support::root().join("Cargo.toml")).expect("Cargo.toml")).expect("TOML");
    let members = workspace["workspace"]["members"].as_array().expect("a list");
    assert!(
        members
            .iter()
            .all(|member| !member.as_str().is_some_and(|name| name.starts_with("examples")))
    );
}

/// Copies the template with every placeholder filled in, as `cargo generate` does.
fn instantiate(from: &Path, to: &Path, values: &[(&str, &str)]) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the template can be listed") {
        let path: PathBuf = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_owned();
        if path.is_dir() {
            instantiate(&path, &to.join(name), values);
        } else if name != "cargo-generate.toml" {
            let mut text = fs::read_to_string(&path).expect("text");
            for (placeholder, value) in values {
                text = text.replace(&format!("{{{{{placeholder}}}}}"), value);
            }
            assert!(!text.contains("{{"), "{}: a placeholder is left", path.display());
            fs::write(to.join(name), text).expect("the folder takes files");
        }
    }
}

#[test]
fn the_template_makes_a_plugin_that_loads() {
    let template = support::root().join("examples/template");
    let asked: toml::Table =
        toml::from_str(&fs::read_to_string(template.join("cargo-generate.toml")).expect("a file")).expect("TOML");
    let asked: Vec<&str> = asked["placeholders"]
        .as_table()
        .expect("a table")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(asked, ["paper", "sdk"], "project-name is built in");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let sdk = format!("{{ path = \"{}/sdk\" }}", support::root().display());
    let values = [
        ("project-name", "my-method"),
        ("sdk", sdk.as_str()),
        ("paper", "Nobody, Nowhere, arXiv 0000.00000"),
    ];
    instantiate(&template, folder.path(), &values);
    let manifest = folder.path().join("Cargo.toml");
    library::lock(&manifest);
    let library = library::build(&manifest, "my-method", "my_method");
    let weights = load(
        &library,
        "my-method",
        "my-method",
        &json!({ "weights": [0.6, 0.3, 0.1] }),
    );
    assert_eq!(weights, [0.6, 0.3, 0.1]);
}

/// `plugin new` writes the template's crate with nothing left to fill in; the reward's builds and scores.
#[test]
fn plugin_new_writes_a_crate_that_builds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path();
    let sdk = support::root().join("sdk");
    let method = NewPlugin::Scalarizer
        .write(here, "my-rule", Some(&sdk))
        .unwrap_or_else(|e| panic!("{e}"));
    let source = fs::read_to_string(method.join("src/lib.rs")).expect("a source");
    assert!(
        source.contains("const NAME: &str = \"my-rule\"") && !source.contains("{{"),
        "{source}"
    );

    let reward = NewPlugin::Reward
        .write(here, "my-reward", Some(&sdk))
        .unwrap_or_else(|e| panic!("{e}"));
    for file in ["Cargo.toml", "src/lib.rs", "README.md"] {
        let text = fs::read_to_string(reward.join(file)).expect("a file of the template");
        assert!(!text.contains("{{"), "{file}: a placeholder is left");
    }
    let manifest = reward.join("Cargo.toml");
    library::lock(&manifest);
    let library = library::build(&manifest, "my-reward", "my_reward");
    let mut plugins = Plugins::searching(vec![library.parent().map(Path::to_owned).expect("a folder")]);
    let reward = plugins
        .reward("my-reward", &json!({ "characters": 10 }))
        .unwrap_or_else(|e| panic!("{e}"));
    let completion = Completion {
        response: "five ",
        ..Completion::default()
    };
    let scores = reward.score_all(&[completion]).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(scores.as_slice(), [Ok(score)] if *score == 0.5));
}

#[test]
fn plugin_new_refuses_what_it_cannot_write() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refused = |name: &str, sdk: Option<&Path>| {
        let error = NewPlugin::Reward
            .write(folder.path(), name, sdk)
            .expect_err("must be refused");
        assert!(
            fs::read_dir(folder.path()).expect("a folder").count() <= 1,
            "{name}: something was written"
        );
        error.to_string()
    };
    fs::create_dir(folder.path().join("there")).expect("a folder");
    assert!(refused("there", None).contains("it is there already"));
    for name in ["My", "../out", "a b", "", "3d", "a-"] {
        assert!(refused(name, None).contains("expected small letters"), "{name}");
    }
    assert!(refused("new", Some(folder.path())).contains("expected a folder with a Cargo.toml"));
}
