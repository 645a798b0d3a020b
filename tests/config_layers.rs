//! Layers, messages and explanations of the config, as a user sees them.

use std::path::Path;

use moa_core::config::{
    Config, ConfigError, Kind, Override, Request, Resolved, all_keys, resolve, schema,
};
use moa_core::error::Hint;

struct Typed {
    folder: tempfile::TempDir,
    request: Request,
}

fn typed() -> Typed {
    Typed {
        folder: tempfile::tempdir().expect("a temporary folder"),
        request: Request::default(),
    }
}

impl Typed {
    fn write(self, name: &str, text: &str) -> Typed {
        std::fs::write(self.folder.path().join(name), text).expect("the folder takes files");
        self
    }

    fn file(mut self, text: &str) -> Typed {
        self.request.file = Some(self.folder.path().join("my.toml"));
        self.write("my.toml", text)
    }

    fn env(mut self, name: &str, value: &str) -> Typed {
        self.request
            .environment
            .push((name.to_owned(), value.to_owned()));
        self
    }

    fn set(mut self, text: &str) -> Typed {
        self.request.overrides.push(Override::Set(text.to_owned()));
        self
    }

    fn plugin(mut self, name: &str) -> Typed {
        self.request.plugins.push(name.to_owned());
        self
    }

    fn good(&self) -> Resolved {
        resolve(&self.request).unwrap_or_else(|error| panic!("{error}"))
    }

    fn config(&self) -> Config {
        self.good().config
    }

    fn error(&self) -> ConfigError {
        resolve(&self.request)
            .err()
            .expect("the config should be refused")
    }

    /// The message with the temporary folder's name taken out, and the hint.
    fn message(&self) -> (String, String) {
        let error = self.error();
        let folder = format!("{}/", self.folder.path().display());
        (
            error.to_string().replace(&folder, ""),
            error.hint().unwrap_or_default(),
        )
    }
}

#[test]
fn later_layers_win_and_each_value_knows_where_it_came_from() {
    let typed = typed()
        .file("[train]\nsteps = 1\nseed = 1\n[rollout]\nprompts = 4\n")
        .env("MOA_TRAIN__SEED", "2")
        .env("MOA_ROLLOUT__TOP_K", "5")
        .set("rollout.top_k=6");
    let resolved = typed.good();
    let train = &resolved.config.train;
    assert_eq!(
        (train.steps, train.seed, resolved.config.rollout.top_k),
        (1, 2, 6)
    );
    assert_eq!(resolved.config.rollout.group_size, 8);
    assert!(
        resolved
            .origin("train.steps")
            .to_string()
            .ends_with("my.toml:2")
    );
    assert_eq!(
        resolved.origin("train.seed").to_string(),
        "environment MOA_TRAIN__SEED"
    );
    assert_eq!(
        resolved.origin("rollout.top_k").to_string(),
        "--set rollout.top_k=6"
    );
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
    assert_eq!(
        (config.optimizer.lr, config.optimizer.betas),
        (0.5, [0.5, 0.0])
    );
    assert!(!config.logging.progress);
    assert_eq!(config.train.run_dir.as_deref(), Some(Path::new("123")));
    assert_eq!(
        (
            config.algorithm.kl.estimator.name(),
            config.algorithm.kl.coefficient
        ),
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
        .write(
            "sub/a.toml",
            "include = [\"c.toml\"]\n[train]\nsteps = 10\nseed = 1\n",
        )
        .write("sub/c.toml", "[train]\nsteps = 9\n[rollout]\nprompts = 7\n")
        .write(
            "b.toml",
            "[train]\nseed = 2\n[data]\ntrain = \"rows.jsonl\"\n",
        );
    let resolved = typed.good();
    let config = &resolved.config;
    assert_eq!(
        (
            config.train.steps,
            config.train.seed,
            config.rollout.prompts
        ),
        (10, 3, 7)
    );
    assert_eq!(String::from(config.data.train.clone()), "rows.jsonl"); // not relative to the file
    assert!(
        resolved
            .origin("rollout.prompts")
            .to_string()
            .ends_with("sub/c.toml:4")
    );
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
        (
            scalarizer.name.as_str(),
            serde_json::Value::Object(scalarizer.params)
        ),
        ("from-env", params)
    );
    typed.request.overrides.push(option("typed"));
    let scalarizer = typed.config().scalarizer;
    let params = serde_json::json!({ "deep": { "a": 1, "b": 2 }, "zeta": 1 });
    assert_eq!(
        (
            scalarizer.name.as_str(),
            serde_json::Value::Object(scalarizer.params)
        ),
        ("typed", params)
    );
    assert_eq!(
        typed.good().origin("scalarizer.alpha").to_string(),
        "not set"
    );
}

#[test]
fn a_config_that_should_be_complete_and_is_not_is_refused() {
    let typed = typed().file("plugins = []\n");
    let path = typed.request.file.clone().expect("the file was written");
    let error = Config::read(&path).err().expect("most keys are missing");
    assert_eq!(
        error.to_string(),
        format!("{}: `model` is missing", path.display())
    );
    let typed = typed.file("[model]\npath = \"a\"\ndtype = \"f32\"\n");
    let error = Config::read(&path).err().expect("a key is missing");
    assert!(error.to_string().ends_with(" is missing"), "{error}");
    assert!(typed.good().config.model.path == moa_core::config::Source::Path("a".to_owned()));
}

#[test]
fn plugin_options_add_to_the_files_list() {
    let typed = typed().file("plugins = [\"a\"]\n").plugin("b").plugin("c");
    assert_eq!(typed.config().plugins, ["a", "b", "c"]);
    assert_eq!(typed.good().origin("plugins").to_string(), "--plugin");
    assert!(typed.good().is_default("scalarizer.name"));
}

#[test]
fn mistakes_are_named_with_key_place_found_and_expected() {
    let table: &[(&str, &str, &str)] = &[
        (
            "[rollout]\ngroup_sise = 4\n",
            "unknown key `rollout.group_sise` in my.toml:2",
            "did you mean `rollout.group_size`?",
        ),
        (
            "[rolout]\nprompts = 4\n",
            "unknown key `rolout` in my.toml:1",
            "did you mean `rollout`?",
        ),
        (
            "[train]\nlr = 1.0\n",
            "unknown key `train.lr` in my.toml:2",
            "did you mean `optimizer.lr`?",
        ),
        (
            "inclde = []\n",
            "unknown key `inclde` in my.toml:1",
            "did you mean `include`?",
        ),
        (
            "[algorithm.kl]\ncoeficient = 1\n",
            "unknown key `algorithm.kl.coeficient` in my.toml:2",
            "did you mean `algorithm.kl.coefficient`?",
        ),
        (
            "[[objective]]\nname = \"a\"\nreword = \"b\"\n",
            "unknown key `objective[0].reword` in my.toml:3",
            "did you mean `objective.reward`?",
        ),
        (
            "qqqqqqqqqq = 1\n",
            "unknown key `qqqqqqqqqq` in my.toml:1",
            "`moa-host config schema` lists every key",
        ),
        (
            "[train]\nsteps = \"many\"\n",
            "`train.steps` in my.toml:2: found the string \"many\", expected a whole number, 0 or more",
            "`moa-host config explain train.steps` says what it means",
        ),
        (
            "[train]\nsteps = -1\n",
            "`train.steps` in my.toml:2: found -1, expected a whole number, 0 or more",
            "`moa-host config explain train.steps` says what it means",
        ),
        (
            "[optimizer]\nlr = nan\n",
            "`optimizer.lr` in my.toml:2: found nan, expected a finite number",
            "`moa-host config explain optimizer.lr` says what it means",
        ),
        (
            "[optimizer]\nbetas = [0.9]\n",
            "`optimizer.betas` in my.toml:2: found a list of 1, [0.9], expected a list of 2 finite numbers",
            "`moa-host config explain optimizer.betas` says what it means",
        ),
        (
            "\n\nrollout = 3\n",
            "`rollout` in my.toml:3: found 3, expected a table, [rollout]",
            "`moa-host config explain rollout` says what it means",
        ),
        (
            "[data]\noverlong = \"cut\"\n",
            "`data.overlong` in my.toml:2: found the string \"cut\", expected one of \"drop\", \"truncate\", \"error\"",
            "`moa-host config explain data.overlong` says what it means",
        ),
        (
            "[[objective]]\nname = \"a\"\n",
            "`objective[0].reward` is missing in my.toml:1: expected a string",
            "`moa-host config explain objective.reward` says what it means",
        ),
        (
            "[scalarizer]\nday = 2024-01-01\n",
            "`scalarizer.day` in my.toml:2: found 2024-01-01, expected a string, a number, true, false, a list or a table",
            "`moa-host config explain scalarizer.day` says what it means",
        ),
        (
            "[train]\nsteps = 0\n",
            "`train.steps` in my.toml:2: found 0, expected 1 or more",
            "`moa-host config explain train.steps` says what it means",
        ),
        (
            "[rollout]\ntemperature = 0\n",
            "`rollout.temperature` in my.toml:2: found 0, expected a number above 0",
            "`moa-host config explain rollout.temperature` says what it means",
        ),
    ];
    for (text, message, hint) in table {
        let found = typed().file(text).message();
        assert_eq!(
            (found.0.as_str(), found.1.as_str()),
            (*message, *hint),
            "{text}"
        );
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let table = [
        ("rollout.group_size=0", "1 to 65536"),
        ("rollout.prompts=9223372036854775807", "1 to 1048576"),
        ("rollout.top_p=0", "above 0 and at most 1"),
        ("rollout.top_p=1.5", "above 0 and at most 1"),
        ("rollout.max_new_tokens=0", "1 to 1048576"),
        ("data.max_prompt_tokens=0", "1 to 1048576"),
        ("data.train=", "some text"),
        ("objective=[]", "at least one [[objective]] block"),
        (
            "objective=[{name=\"a\", reward=\"r\"}, {name=\"a\", reward=\"s\"}]",
            "a name of its own (objective[0] has this one)",
        ),
        ("algorithm.minibatch=17", "0 to 16"),
        ("algorithm.dual_clip=1", "above 1, or 0 for none"),
        ("algorithm.clip_low=0", "a number above 0"),
        ("algorithm.epochs=0", "1 to 1048576"),
        ("algorithm.micro_batch_tokens=0", "1 or more"),
        ("algorithm.kl.coefficient=-1", "0 or more"),
        ("optimizer.lr=0", "a number above 0"),
        ("optimizer.betas=[0.9, 1]", "two numbers from 0 to below 1"),
        ("optimizer.eps=0", "a number above 0"),
        ("optimizer.weight_decay=-1", "0 or more"),
        ("optimizer.clip_norm=-1", "above 0, or 0 for none"),
        ("optimizer.min_lr_ratio=2", "from 0 to 1"),
        ("optimizer.power=0", "a number above 0"),
        ("train.threads=0", "1 to 4096"),
        ("validation.temperature=-1", "0 (greedy) or more"),
        ("validation.max_new_tokens=0", "1 to 1048576"),
        ("checkpoint.keep=0", "1 or more"),
        ("scalarizer.name=", "some text"),
        ("sft.steps=0", "1 or more"),
        (
            "sft.fresh.width=97",
            "a multiple of twice sft.fresh.heads, 6",
        ),
        ("sft.fresh.kv_heads=2", "a divisor of sft.fresh.heads, 3"),
        ("sft.fresh.heads=0", "1 to 96"),
    ];
    for (set, wanted) in table {
        match typed().set(set).error() {
            ConfigError::OutOfRange {
                expected, origin, ..
            } => {
                assert_eq!(expected, wanted, "{set}");
                assert_eq!(origin.to_string(), format!("--set {set}"), "{set}");
            }
            other => panic!("{set}: {other}"),
        }
    }
}

#[test]
fn bad_toml_is_shown_with_line_column_and_caret() {
    let (message, _) = typed().file("[train]\nsteps = = 3\n").message();
    assert!(
        message.starts_with("my.toml:2: TOML parse error at line 2, column"),
        "{message}"
    );
    assert!(
        message.contains("steps = = 3") && message.contains('^'),
        "{message}"
    );
    let (message, _) = typed().set("optimizer.betas=[1, ").message();
    assert!(
        message.starts_with("--set optimizer.betas=[1, : TOML parse error"),
        "{message}"
    );
    let (message, _) = typed().file("[train]\nsteps = 1\nsteps = 2\n").message();
    assert!(
        message.starts_with("my.toml:3: TOML parse error") && message.contains("duplicate key"),
        "{message}"
    );
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    let mut missing = typed();
    missing.request.file = Some(missing.folder.path().join("none.toml"));
    assert!(
        missing
            .message()
            .0
            .starts_with("cannot read config file none.toml: No such file"),
        "{:?}",
        missing.message()
    );
    let (message, hint) = typed().file("include = [\"gone.toml\"]\n").message();
    assert!(
        message
            .starts_with("cannot read config file gone.toml (included by my.toml): No such file"),
        "{message}"
    );
    assert_eq!(
        hint,
        "an included path is relative to the file that includes it"
    );
    let (message, _) = typed()
        .file("include = [\"a.toml\"]\n")
        .write("a.toml", "include = [\"my.toml\"]\n")
        .message();
    assert!(
        message.contains("includes itself:") && message.ends_with("a.toml -> my.toml"),
        "{message}"
    );
    let mut bytes = typed();
    bytes.request.file = Some(bytes.folder.path().join("b.toml"));
    std::fs::write(bytes.folder.path().join("b.toml"), b"a\xff").expect("the folder takes files");
    assert_eq!(
        bytes.message().0,
        "config file b.toml: found a byte that is not UTF-8 at 1, expected text"
    );
    let mut folder = typed();
    folder.request.file = Some(folder.folder.path().to_owned());
    assert!(matches!(folder.error(), ConfigError::Read { .. }));
}

#[test]
fn includes_that_double_at_each_level_are_stopped() {
    let mut typed = typed().file("include = [\"0.toml\", \"0.toml\"]\n");
    for level in 0..40 {
        let next = level + 1;
        typed = typed.write(
            &format!("{level}.toml"),
            &format!("include = [\"{next}.toml\", \"{next}.toml\"]\n"),
        );
    }
    let typed = typed.write("40.toml", "");
    assert!(matches!(typed.error(), ConfigError::TooManyFiles { .. }));
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
    assert_eq!(
        message,
        "unknown key `train.step` in environment MOA_TRAIN__STEP"
    );
    assert_eq!(hint, "did you mean `train.steps`?");
    let (message, _) = typed().env("MOA_TRAIN_STEPS", "3").message();
    assert_eq!(
        message,
        "unknown key `train_steps` in environment MOA_TRAIN_STEPS"
    );
    let (message, _) = typed().env("MOA_TRAIN__STEPS", "x").message();
    assert!(
        message.contains("found the string \"x\", expected a whole number"),
        "{message}"
    );
}

#[test]
fn odd_set_options_are_refused_without_a_panic() {
    let deep = format!("scalarizer{}=1", ".a".repeat(5000));
    for set in [
        "train.steps",
        "=3",
        "a..b=1",
        ".=",
        "",
        "[]=1",
        "objective[0].name=\"a\"",
        "]x[=1",
        "é[.ü]=ß",
        &deep,
        "sft=1",
    ] {
        let error = typed().set(set).error();
        assert!(error.hint().is_some(), "{set}: {error}");
    }
    let (_, hint) = typed().set("objective.0.name=a").message();
    assert!(hint.starts_with("[[objective]] is a list"), "{hint}");
    assert!(matches!(
        typed().set("include=[\"a\"]").error(),
        ConfigError::IncludeOutsideFile { .. }
    ));
    let nested = format!(
        "scalarizer.x={}{}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(matches!(
        typed().set(&nested).error(),
        ConfigError::Syntax { .. }
    ));
}

#[test]
fn the_key_table_has_the_keys_that_are_written() {
    fn leaves(path: &str, value: &toml::Value, found: &mut Vec<String>) {
        match value {
            toml::Value::Table(table) => table
                .iter()
                .for_each(|(name, value)| leaves(&format!("{path}.{name}"), value, found)),
            _ => found.push(path.trim_start_matches('.').to_owned()),
        }
    }
    let config = typed()
        .set("train.threads=2")
        .set("train.run_dir=r")
        .set("validation.max_new_tokens=5")
        .set("sft.steps=1")
        .config();
    let mut written = Vec::new();
    leaves(
        "",
        &toml::Value::try_from(&config).expect("a config is TOML"),
        &mut written,
    );
    let listed = |key: &&moa_core::config::Key| {
        !key.name.contains("[]") && !key.name.ends_with('*') && key.name != "include"
    };
    let mut table: Vec<String> = all_keys()
        .iter()
        .filter(listed)
        .map(|key| key.name.clone())
        .collect();
    written.sort();
    table.sort();
    assert_eq!(written, table);
    for key in all_keys() {
        assert!(
            key.doc.len() > 6 && key.doc.ends_with('.') || key.doc == key.name,
            "{} has no doc: {:?}",
            key.name,
            key.doc
        );
    }
}

#[test]
fn the_schema_names_type_default_and_meaning_of_every_key() {
    let schema = schema().expect("the built-in files parse");
    let keys = schema["keys"].as_array().expect("a list");
    assert_eq!(keys.len(), all_keys().len());
    let of = |name: &str| {
        keys.iter()
            .find(|key| key["key"] == name)
            .expect("the key is listed")
            .clone()
    };
    assert_eq!(of("rollout.group_size")["default"], 8);
    assert_eq!(of("sft.steps")["default"], 3000);
    assert_eq!(of("algorithm.estimator")["choices"][3], "reinforce++");
    for key in keys {
        let name = key["key"].as_str().unwrap_or_default();
        let optional = key["optional"] == true || name.contains("[]");
        assert!(
            optional || !key["default"].is_null(),
            "{name} has no default"
        );
    }
    assert!(all_keys().iter().any(|key| key.kind == Kind::Tables));
}

#[test]
fn explain_says_value_origin_default_and_meaning() {
    let resolved = typed().set("rollout.group_size=4").good();
    let text = resolved.explain("rollout.group_size").expect("a key")[0].to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "rollout.group_size = 4");
    assert_eq!(lines[1], "  from     --set rollout.group_size=4");
    assert_eq!(lines[2], "  default  8");
    assert_eq!(lines[3], "  expects  a whole number, 0 or more");
    assert_eq!(
        lines[4],
        "  Completions for each prompt, G; a step has P·G completions."
    );
    assert_eq!(resolved.explain("rollout").expect("a table").len(), 6);
    assert_eq!(
        resolved.explain("objective[1].name").expect("an entry")[0]
            .value
            .as_deref(),
        Some("\"conciseness\"")
    );
    assert_eq!(
        resolved.explain("sft.steps").expect("a key")[0]
            .default
            .as_deref(),
        Some("3000")
    );
    assert_eq!(resolved.explain("sft.steps").expect("a key")[0].value, None);
    let rewards = &resolved.explain("objective.reward").expect("a key")[0];
    assert_eq!(
        rewards.value.as_deref(),
        Some(r#"["accuracy", "conciseness", "clarity"]"#)
    );
    assert_eq!(rewards.default, None);
    let error = resolved
        .explain("rollout.groups")
        .err()
        .expect("no such key");
    assert_eq!(error.to_string(), "unknown key `rollout.groups`");
}

#[test]
fn the_report_lists_every_value_with_its_origin() {
    let report = typed()
        .set("scalarizer.alpha=0.5")
        .good()
        .report()
        .expect("a config is TOML");
    let line = |start: &str| {
        report
            .lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        line("train.steps = 60 ").contains("# default (configs/tiny/default.toml:"),
        "{report}"
    );
    assert!(
        line("scalarizer.alpha = 0.5 ").ends_with("# --set scalarizer.alpha=0.5"),
        "{report}"
    );
    assert!(line("objective[2] = ").contains("clarity"), "{report}");
    // What is before the comments can be read back.
    let sets = report
        .lines()
        .filter(|line| !line.starts_with("objective["))
        .map(|line| line.split("  #").next().unwrap_or_default());
    let back = sets.fold(typed(), |typed, set| {
        typed.set(&set.replacen(" = ", "=", 1))
    });
    assert_eq!(back.config(), typed().set("scalarizer.alpha=0.5").config());
}
