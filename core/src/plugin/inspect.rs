//! What `plugin inspect` shows of a library.

use std::fmt::Write;
use std::path::Path;

use moa_sdk::{ParamSpec, Performance, RewardDescription};
use serde_json::{Value, json};

use super::library::Library;
use super::shown::shown;

/// The library as JSON: path, SDK version, and all that it says of itself.
pub fn description_json(library: &Library) -> Value {
    json!({
        "path": library.path(),
        "sdk": library.sdk_version(),
        "scalarizers": library.description().scalarizers,
        "rewards": library.description().rewards,
    })
}

/// The library as text, for people.
pub fn description_text(library: &Library) -> String {
    let mut text = format!("{} (moa-sdk {})\n", shown(library.path()), library.sdk_version());
    for scalarizer in &library.description().scalarizers {
        let needs = if scalarizer.needs.is_empty() {
            "nothing more than scores".to_owned()
        } else {
            scalarizer.needs.join(", ")
        };
        let hooks = scalarizer.hooks.join(", ");
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\nscalarizer {}\n  paper  {}\n  hooks  {hooks}\n  needs  {needs}\n",
            scalarizer.name, scalarizer.paper
        );
        if !scalarizer.examples.is_empty() {
            let _ = writeln!(text, "  examples  {}", scalarizer.examples.len());
        }
        params(&mut text, &scalarizer.params);
    }
    for reward in &library.description().rewards {
        text.push('\n');
        reward_lines(&mut text, reward, None);
    }
    text
}

/// A reward of a library or component as text, for people.
pub(super) fn reward_text(reward: &RewardDescription, path: &Path) -> String {
    let mut text = String::new();
    reward_lines(&mut text, reward, Some(path));
    text
}

fn reward_lines(text: &mut String, reward: &RewardDescription, path: Option<&Path>) {
    let reports = match reward.validation {
        Performance::Score => "mean score",
        Performance::ResponseTokens => "mean response length in tokens, minimized",
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "reward {}", reward.name);
    if let Some(path) = path {
        let _ = writeln!(text, "  file  {}", shown(path));
    }
    let _ = writeln!(text, "  about  {}\n  validation  {reports}", reward.about);
    if reward.needs_means {
        text.push_str("  needs  mean lengths\n");
    }
    params(text, &reward.params);
}

/// A line for each param, its doc below it.
fn params(text: &mut String, params: &[ParamSpec]) {
    if params.is_empty() {
        text.push_str("  params  none\n");
        return;
    }
    text.push_str("  params\n");
    for param in params {
        let default = match &param.default {
            Value::Null => "none".to_owned(),
            other => other.to_string(),
        };
        let _ = writeln!(text, "    {} = {default}  ({})", param.name, param.accepted());
        if !param.doc.is_empty() {
            let _ = writeln!(text, "        {}", param.doc);
        }
    }
}
