//! How the layers of the config lie above each other, and where each value came from.

use std::path::Path;

use crate::support::config::typed;
use moa_core::config::Override;

#[test]
fn later_layers_win_and_each_value_knows_where_it_came_from() {
    let typed = typed()
        .file("[train]\nsteps = 1\nseed = 1\n[rollout]\nprompts = 4\n")
        .env("MOA_TRAIN__SEED", "2")
        .env("MOA_ROLLOUT__TOP_K", "5")
        .set("rollout.top_k=6");
    let resolved = typed.good();
    let train = &resolved.config.train;
    assert_eq!((train.steps, train.seed, resolved.config.rollout.top_k), (1, 2, 6));
    assert_eq!(resolved.config.rollout.group_size, 8);
    assert!(resolved.origin("train.steps").to_string().ends_with("my.toml:2"));
    assert_eq!(resolved.origin("train.seed").to_string(), "environment MOA_TRAIN__SEED");
    assert_eq!(resolved.origin("rollout.top_k").to_string(), "--set rollout.top_k=6");
    assert!(
        resolved
            .origin("rollout.group_size")
            .to_string()
            .starts_with("default (configs/tiny/default.toml:")
    );
    assert_eq!(resolved.origin("train.run_dir").to_string(), "not set");
    assert!(resolved.is_default("rollout.group_size") && !resolved.is_default("train.seed"));
}

#[test]
fn a_dedicated_option_lies_above_set() {
    let mut typed = typed().set("train.steps=5");
    let value = toml::Value::Integer(6);
    typed.request.overrides.push(Override::Option {
        option: "--steps",
        key: "train.steps",
        value,
    });
    let resolved = typed.good();
    assert_eq!(resolved.config.train.steps, 6);
    assert_eq!(resolved.origin("train.steps").to_string(), "--steps");
}

#[test]
fn values_on_the_command_line_are_toml_or_bare_strings() {
    let config = typed()
        .set("model.path=models/a=b.gguf")
        .set("data.prompt_key=\"quoted\"")
        .set("data.overlong = truncate")
        .set("optimizer.lr=.5")
        .set("optimizer.betas=[0.5, 0]")
        .set("logging.progress=false")
        .set("train.run_dir=123")
        .set("algorithm.kl={estimator=\"k2\", coefficient=1}")
        .set("scalarizer.mode=fast")
        .set("scalarizer.n=3")
        .set("scalarizer.day=2024-01-01")
        .config();
    assert_eq!(String::from(config.model.path), "models/a=b.gguf");
    assert_eq!(config.data.prompt_key, "quoted");
    assert_eq!(config.data.overlong.name(), "truncate");
    assert_eq!((config.optimizer.lr, config.optimizer.betas), (0.5, [0.5, 0.0]));
    assert!(!config.logging.progress);
    assert_eq!(config.train.run_dir.as_deref(), Some(Path::new("123")));
    assert_eq!(
        (config.algorithm.kl.estimator.name(), config.algorithm.kl.coefficient),
        ("k2", 1.0)
    );
    assert_eq!(config.algorithm.kl.placement.name(), "loss");
    let params = serde_json::json!({ "mode": "fast", "n": 3, "day": "2024-01-01" });
    assert_eq!(serde_json::Value::Object(config.scalarizer.params), params);
}

#[test]
fn includes_lie_below_the_file_and_are_relative_to_it() {
    let typed = typed().file("include = [\"sub/a.toml\", \"b.toml\"]\n[train]\nseed = 3\n");
    std::fs::create_dir(typed.folder.path().join("sub")).expect("the folder takes folders");
    let typed = typed
        .write("sub/a.toml", "include = [\"c.toml\"]\n[train]\nsteps = 10\nseed = 1\n")
        .write("sub/c.toml", "[train]\nsteps = 9\n[rollout]\nprompts = 7\n")
        .write("b.toml", "[train]\nseed = 2\n[data]\ntrain = \"rows.jsonl\"\n");
    let resolved = typed.good();
    let config = &resolved.config;
    assert_eq!(
        (config.train.steps, config.train.seed, config.rollout.prompts),
        (10, 3, 7)
    );
    assert_eq!(String::from(config.data.train.clone()), "rows.jsonl"); // not relative to the file
    assert!(resolved.origin("rollout.prompts").to_string().ends_with("sub/c.toml:4"));
}

#[test]
fn a_list_of_objectives_replaces_the_lower_one() {
    let resolved = typed()
        .file("[[objective]]\nname = \"a\"\nreward = \"r\"\nparams = { k = [1] }\n\n[[objective]]\nname = \"b\"\nreward = \"r\"\non_error = \"skip\"\n")
        .good();
    let objectives = &resolved.config.objectives;
    assert_eq!(objectives.len(), 2);
    assert_eq!(
        serde_json::Value::Object(objectives[0].params.clone()),
        serde_json::json!({ "k": [1] })
    );
    assert_eq!(
        (objectives[0].on_error.name(), objectives[1].on_error.name()),
        ("stop", "skip")
    );
    assert!(
        resolved
            .origin("objective[1].reward")
            .to_string()
            .ends_with("my.toml:8")
    );
}

#[test]
fn another_scalarizer_forgets_the_lower_ones_parameters() {
    let file = "[scalarizer]\nname = \"one\"\nalpha = 1\n";
    let other = typed()
        .file(file)
        .set("scalarizer.name=two")
        .set("scalarizer.beta=2")
        .config()
        .scalarizer;
    assert_eq!(
        (other.name.as_str(), serde_json::Value::Object(other.params)),
        ("two", serde_json::json!({ "beta": 2 }))
    );
    let same = typed()
        .file(file)
        .set("scalarizer.name=one")
        .set("scalarizer.beta=2")
        .config()
        .scalarizer;
    assert_eq!(
        serde_json::Value::Object(same.params),
        serde_json::json!({ "alpha": 1, "beta": 2 })
    );
}

#[test]
fn the_order_of_a_scalarizers_name_and_parameters_on_one_layer_does_not_matter() {
    let mut typed = typed()
        .set("scalarizer.zeta=1")
        .set("scalarizer.deep.a=1")
        .set("scalarizer.deep.b=2")
        .env("MOA_SCALARIZER__NAME", "from-env")
        .env("MOA_SCALARIZER__ALPHA", "3");
    let option = |value: &str| Override::Option {
        option: "--scalarizer",
        key: "scalarizer.name",
        value: value.into(),
    };
    let scalarizer = typed.config().scalarizer;
    let params = serde_json::json!({ "alpha": 3, "deep": { "a": 1, "b": 2 }, "zeta": 1 });
    assert_eq!(
        (scalarizer.name.as_str(), serde_json::Value::Object(scalarizer.params)),
        ("from-env", params)
    );
    typed.request.overrides.push(option("typed"));
    let scalarizer = typed.config().scalarizer;
    let params = serde_json::json!({ "deep": { "a": 1, "b": 2 }, "zeta": 1 });
    assert_eq!(
        (scalarizer.name.as_str(), serde_json::Value::Object(scalarizer.params)),
        ("typed", params)
    );
    assert_eq!(typed.good().origin("scalarizer.alpha").to_string(), "not set");
}

#[test]
fn plugin_options_add_to_the_files_list() {
    let typed = typed().file("plugins = [\"a\"]\n").plugin("b").plugin("c");
    assert_eq!(typed.config().plugins, ["a", "b", "c"]);
    assert_eq!(typed.good().origin("plugins").to_string(), "--plugin");
    assert!(typed.good().is_default("scalarizer.name"));
}

#[test]
fn environment_variables_are_checked_but_other_programs_are_left_alone() {
    let config = typed()
        .env("MOA_PLUGINS", "[\"a\"]")
        .env("MOA_PLUGIN_PATH", "/x")
        .env("MOA_HOME", "1")
        .env("HOME", "/")
        .config();
    assert_eq!(config.plugins, ["a"]);
    let (message, hint) = typed().env("MOA_TRAIN__STEP", "3").message();
    assert_eq!(message, "unknown key `train.step` in environment MOA_TRAIN__STEP");
    assert_eq!(hint, "did you mean `train.steps`?");
    let (message, _) = typed().env("MOA_TRAIN_STEPS", "3").message();
    assert_eq!(message, "unknown key `train_steps` in environment MOA_TRAIN_STEPS");
    let (message, _) = typed().env("MOA_TRAIN__STEPS", "x").message();
    assert!(
        message.contains("found the string \"x\", expected a whole number"),
        "{message}"
    );
}
