//! Runs that differ in the seed alone are one group; what else differs gives a group its name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{error::ReportError, runs::RunData};

/// Keys, and beginnings of keys, that two runs of one group may differ in: they decide nothing that is measured.
const SAME_GROUP: &[&str] = &[
    "train.seed",
    "train.run_dir",
    "train.threads",
    "checkpoint.",
    "logging.",
    "plugins",
    "sft",
];

/// Runs with the same settings, by seed.
#[derive(Debug)]
pub struct Group<'a> {
    /// What the group is called: the values of the keys in which groups differ.
    pub label: String,
    /// The keys in which groups differ, with this group's values.
    pub settings: Vec<(String, String)>,
    /// One run a seed, ascending.
    pub runs: BTreeMap<u64, &'a RunData>,
}

/// Puts runs into groups, in the order in which their first run stands.
///
/// # Errors
/// Two runs of one group have the same seed.
pub fn group(runs: &[RunData]) -> Result<Vec<Group<'_>>, ReportError> {
    let mut groups: Vec<(BTreeMap<String, String>, Group<'_>)> = Vec::new();
    for run in runs {
        let settings = settings(run);
        let place = groups.iter().position(|(of, _)| *of == settings).unwrap_or_else(|| {
            let group = Group {
                label: String::new(),
                settings: Vec::new(),
                runs: BTreeMap::new(),
            };
            groups.push((settings, group));
            groups.len() - 1
        });
        let seed = run.config.train.seed;
        if let Some(other) = groups[place].1.runs.insert(seed, run) {
            return Err(ReportError::SameSeed {
                first: other.path.clone(),
                second: run.path.clone(),
                seed,
            });
        }
    }
    let keys: Vec<String> = {
        let all = groups.iter().flat_map(|(settings, _)| settings.keys());
        let mut keys: Vec<&String> = all.collect();
        keys.sort();
        keys.dedup();
        let differs = |key: &&String| {
            let mut values = groups.iter().map(|(settings, _)| settings.get(*key));
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        keys.into_iter().filter(differs).cloned().collect()
    };
    let label = |settings: &BTreeMap<String, String>, hashes: bool| {
        let mut words: Vec<String> = Vec::new();
        for key in &keys {
            let Some(value) = settings.get(key) else { continue };
            match key.as_str() {
                "scalarizer.name" => words.insert(0, value.clone()),
                key if key.starts_with('#') && !hashes => {}
                key => words.push(format!("{}={value}", key.trim_start_matches("scalarizer."))),
            }
        }
        words.join(" ")
    };
    let short: Vec<String> = groups.iter().map(|(settings, _)| label(settings, false)).collect();
    let mut finished = Vec::new();
    for (i, (settings, mut group)) in groups.into_iter().enumerate() {
        let unique = short.iter().filter(|label| **label == short[i]).count() == 1;
        group.label = if unique {
            short[i].clone()
        } else {
            label(&settings, true)
        };
        if group.label.is_empty() {
            group.label = settings.get("scalarizer.name").cloned().unwrap_or_default();
        }
        let shown = keys
            .iter()
            .filter_map(|key| Some((key.clone(), settings.get(key)?.clone())));
        group.settings = shown.collect();
        finished.push(group);
    }
    Ok(finished)
}

/// What decides the numbers of a run: its keys, and under `#` the contents of model, data and plugins.
fn settings(run: &RunData) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    flatten("", &serde_json::to_value(&run.config).unwrap_or_default(), &mut flat);
    flat.retain(|key, _| {
        let below = |above: &&str| key == above || (above.ends_with('.') && key.starts_with(*above));
        !SAME_GROUP.iter().any(below) && !key.starts_with("sft.")
    });
    if let Some(manifest) = &run.manifest {
        let began = manifest.began();
        flat.insert("#model".into(), began.model_hash.clone());
        flat.insert("#data.train".into(), began.training.hash.clone());
        flat.insert("#data.validation".into(), began.validation.hash.clone());
        if let Some(test) = &began.test {
            flat.insert("#data.test".into(), test.hash.clone());
        }
        for plugin in manifest.processes().iter().flat_map(|process| &process.plugins) {
            let name = plugin.path.file_name().unwrap_or(plugin.path.as_os_str());
            flat.insert(format!("#{}", name.to_string_lossy()), plugin.hash.clone());
        }
    }
    flat
}

fn flatten(key: &str, value: &Value, flat: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let key = if key.is_empty() {
                    name.clone()
                } else {
                    format!("{key}.{name}")
                };
                flatten(&key, value, flat);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (i, value) in list.iter().enumerate() {
                flatten(&format!("{key}[{i}]"), value, flat);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            flat.insert(key.to_owned(), text.clone());
        }
        other => {
            flat.insert(key.to_owned(), other.to_string());
        }
    }
}
