//! The key table, `config explain`, `config check` and `config schema`.

use crate::support::config::typed;
use moa_core::config::{Kind, all_keys, schema};

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
        .set("data.ground_truth_key=k")
        .set("data.chat_date=2026-11-24")
        .set("validation.max_new_tokens=5")
        .set("model.lora.rank=4")
        .set("sft.steps=1")
        .config();
    let mut written = Vec::new();
    leaves(
        "",
        &toml::Value::try_from(&config).expect("a config is TOML"),
        &mut written,
    );
    let listed =
        |key: &&moa_core::config::Key| !key.name.contains("[]") && !key.name.ends_with('*') && key.name != "include";
    let mut table: Vec<String> = all_keys().iter().filter(listed).map(|key| key.name.clone()).collect();
    written.sort();
    table.sort();
    assert_eq!(written, table);
    for key in all_keys() {
        assert!(
            key.doc.len() > 6 && key.doc.ends_with('.'),
            "{} has no doc: {:?}",
            key.name,
            key.doc
        );
        for sentence in key.doc.split(". ") {
            let words = sentence.split_whitespace().count();
            assert!(words <= 25, "{}: {words} words in {sentence:?}", key.name);
        }
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
    assert_eq!(of("optimizer.min_lr_ratio")["range"], "from 0 to 1");
    assert_eq!(of("rollout.top_k")["range"], serde_json::Value::Null);
    assert_eq!(of("sft.steps")["default"], 3000);
    assert_eq!(of("algorithm.estimator")["choices"][3], "reinforce++");
    for key in keys {
        let name = key["key"].as_str().unwrap_or_default();
        let optional = key["optional"] == true || name.contains("[]");
        assert!(optional || !key["default"].is_null(), "{name} has no default");
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
    assert_eq!(lines[3], "  expects  a whole number from 1 to 1048576");
    assert_eq!(lines[4], "  Completions per prompt, G; a step has P·G completions.");
    assert_eq!(resolved.explain("rollout").expect("a table").len(), 6);
    assert_eq!(
        resolved.explain("objective[1].name").expect("an entry")[0]
            .value
            .as_deref(),
        Some("\"conciseness\"")
    );
    assert_eq!(
        resolved.explain("sft.steps").expect("a key")[0].default.as_deref(),
        Some("3000")
    );
    assert_eq!(resolved.explain("sft.steps").expect("a key")[0].value, None);
    let rewards = &resolved.explain("objective.reward").expect("a key")[0];
    assert_eq!(
        rewards.value.as_deref(),
        Some(r#"["accuracy", "conciseness", "clarity"]"#)
    );
    assert_eq!(rewards.default, None);
    let error = resolved.explain("rollout.groups").expect_err("no such key");
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
    let back = sets.fold(typed(), |typed, set| typed.set(&set.replacen(" = ", "=", 1)));
    assert_eq!(back.config(), typed().set("scalarizer.alpha=0.5").config());
}
