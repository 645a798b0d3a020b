//! What can be loaded, what is refused and with which words; what a library says of itself.

use std::error::Error;
use std::path::Path;

use crate::support::library;
use moa_core::error::Report;
use moa_core::plugin::{Objective, PluginError, Plugins, Setup, description_json, description_text};
use serde_json::json;

fn setup() -> Setup {
    Setup {
        objectives: vec![Objective::new("accuracy"), Objective::new("brevity")],
        seed: 0,
    }
}

fn load(path: &Path) -> Result<Plugins, PluginError> {
    let mut plugins = Plugins::searching(vec![]);
    plugins.load(&path.to_string_lossy())?;
    Ok(plugins)
}

fn refused(path: &Path) -> PluginError {
    load(path).map(|_| ()).expect_err("must be refused")
}

#[test]
fn a_library_without_handshake_is_not_a_plugin() -> Result<(), Box<dyn Error>> {
    let error = refused(&library::fixture("blank"));
    assert!(matches!(error, PluginError::NotAPlugin { .. }), "{error}");
    assert!(error.to_string().contains("libblank.so is not a moa plugin"));
    assert!(error.hint().is_some_and(|hint| hint.contains("moa_sdk::export!")));

    let folder = tempfile::tempdir()?;
    let text = folder.path().join("libtext.so");
    std::fs::write(&text, "moa_plugin_handshake_text, but no library")?;
    let error = refused(&text);
    assert!(matches!(error, PluginError::Open { .. }), "{error}");
    Ok(())
}

#[test]
fn another_sdk_gets_one_line_with_both_versions() {
    let error = refused(&library::fixture("foreign"));
    assert!(matches!(error, PluginError::Version { .. }), "{error}");
    let line = error.to_string();
    assert_eq!(line.lines().count(), 1);
    assert!(line.contains("plugin interface 99 (moa-sdk 9.9.9)"), "{line}");
    let own = format!("interface 3 (moa-sdk {})", env!("CARGO_PKG_VERSION"));
    assert!(line.contains(&own), "{line}");
    let hint = error.hint().unwrap_or_default();
    assert!(hint.starts_with("the plugin is newer"), "{hint}");
}

#[test]
fn an_older_plugin_runs_the_default_of_the_method_it_lacks() -> Result<(), Box<dyn Error>> {
    let current = load(&library::fixture("layers"))?.scalarizer(None, &setup(), &json!({}))?;
    assert_eq!(current.gradient_layers(), ["mlp", "embed"]);

    let mut older = load(&library::fixture("older"))?.scalarizer(None, &setup(), &json!({}))?;
    assert!(older.gradient_layers().is_empty(), "the default is: all layers");
    // Everything before the missing method is where it was.
    let gram = [1.0, 0.0, 0.0, 1.0];
    older.observe_gradients(1, 1e-6, &gram, &[0.1, 0.2])?;
    assert_eq!(older.save()?, "null");
    Ok(())
}

#[test]
fn several_libraries_keep_apart() -> Result<(), Box<dyn Error>> {
    let mut plugins = Plugins::searching(vec![]);
    for path in [
        library::plugin("linear"),
        library::fixture("layers"),
        library::plugin("linear"),
    ] {
        plugins.load(&path.to_string_lossy())?;
    }
    assert_eq!(plugins.libraries().len(), 2, "the same file is loaded once");
    let linear = plugins.scalarizer(Some("linear"), &setup(), &json!({}))?;
    let layers = plugins.scalarizer(Some("layers"), &setup(), &json!({}))?;
    assert!(linear.library().ends_with("liblinear.so") && linear.gradient_layers().is_empty());
    assert!(layers.library().ends_with("liblayers.so") && !layers.gradient_layers().is_empty());

    let error = plugins.scalarizer(None, &setup(), &json!({})).err();
    assert!(
        matches!(error, Some(PluginError::Ambiguous { name: None, .. })),
        "{error:?}"
    );
    let error = plugins.scalarizer(Some("liner"), &setup(), &json!({})).err();
    let error = error.ok_or("there is no `liner`")?;
    assert_eq!(
        error.to_string(),
        "there is no scalarizer `liner`; loaded are linear, layers"
    );
    assert_eq!(error.hint().as_deref(), Some("did you mean `linear`?"));

    // Two libraries with the same scalarizer.
    plugins.load(&library::fixture("older").to_string_lossy())?;
    let error = plugins.scalarizer(Some("layers"), &setup(), &json!({})).err();
    let error = error.ok_or("two libraries have it")?.to_string();
    assert!(
        error.contains("liblayers.so") && error.contains("libolder.so"),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_plugin_that_is_not_there_lists_where_it_was_looked_for() {
    let folders = vec!["one".into(), "two".into()];
    let error = Plugins::searching(folders)
        .load("nothing")
        .map(|_| ())
        .expect_err("no such plugin");
    assert_eq!(
        error.to_string(),
        "plugin `nothing` was not found; looked at one/libnothing.so, two/libnothing.so"
    );
    assert!(error.hint().is_some_and(|hint| hint.contains("MOA_PLUGIN_PATH")));
}

#[test]
fn a_bare_name_is_found_in_the_search_path_and_so_are_rewards() -> Result<(), Box<dyn Error>> {
    let path = library::fixture("hostile");
    let folder = path.parent().ok_or("a library has a folder")?.to_owned();
    let mut plugins = Plugins::searching(vec![folder]);
    assert_eq!(plugins.load("hostile")?.path(), path.canonicalize()?);

    // Not loaded yet here: found by its name, cut at the last hyphen.
    let folder = path.parent().ok_or("a library has a folder")?.to_owned();
    let mut plugins = Plugins::searching(vec![folder]);
    let reward = plugins.reward("hostile-reward", &json!({}))?;
    assert_eq!(reward.name(), "hostile-reward");
    let error = plugins.reward("nothing", &json!({})).err().ok_or("no such reward")?;
    assert_eq!(
        error.to_string(),
        "there is no reward `nothing`; loaded are hostile-reward"
    );
    Ok(())
}

#[test]
fn params_errors_name_plugin_key_and_expectation() -> Result<(), Box<dyn Error>> {
    let plugins = load(&library::plugin("linear"))?;
    let error = |params| plugins.scalarizer(None, &setup(), &params).err();
    let unknown = error(json!({"wieghts": [0.5, 0.5]})).ok_or("unknown key")?;
    assert_eq!(
        unknown.to_string(),
        "plugin linear, new: unknown param `wieghts`: expected one of weights"
    );
    assert_eq!(unknown.hint().as_deref(), Some("did you mean `weights`?"));
    let sum = error(json!({"weights": [0.5, 0.4]})).ok_or("bad sum")?;
    assert!(sum.to_string().contains("sum to 0.9, expected 1"), "{sum}");
    let count = error(json!({"weights": [1.0]})).ok_or("bad count")?;
    assert!(count.to_string().contains("has 1 values, expected 2"), "{count}");
    Ok(())
}

#[test]
fn inspect_shows_all_that_a_user_needs() -> Result<(), Box<dyn Error>> {
    let plugins = load(&library::plugin("linear"))?;
    let library = &plugins.libraries()[0];
    let text = description_text(library);
    for part in [
        "liblinear.so (moa-sdk ",
        "scalarizer linear\n  paper  ",
        "  hooks  scalarize\n",
        "  needs  nothing more than scores\n",
        "    weights = []  (list of numbers)\n        weight of each objective, in order",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    let json = description_json(library);
    assert_eq!(json["scalarizers"][0]["params"][0]["name"], "weights");

    let plugins = load(&library::fixture("hostile"))?;
    let text = description_text(&plugins.libraries()[0]);
    for part in [
        "hooks  on_validation, observe_gradients, scalarize, after_update\n",
        "fault = \"none\"  (one of \"none\", \"panic-new\"",
        "reward hostile-reward\n",
        "validation  mean response length in tokens, minimized\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    Ok(())
}
