//! The invariants of the repository, read off its files: who depends on whom, where `unsafe` may stand, what core may
//! not know. Each check says what it found and where.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::support::modules::Source;
use crate::support::{files, library, root};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The names in the dependency tables of a Cargo.toml (normal, build and dev).
fn dependencies(manifest: &Path) -> Vec<String> {
    let table: toml::Table = toml::from_str(&read(manifest)).unwrap();
    ["dependencies", "build-dependencies", "dev-dependencies"]
        .iter()
        .filter_map(|kind| table.get(*kind)?.as_table())
        .flat_map(|t| t.keys().cloned())
        .collect()
}

fn plugins() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(root().join("plugins"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir())
        .collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

/// Names of plugins that are words of the field as well: core has linear layers, gradients and formats, and measures the
/// hypervolume of a front. As a bare word they are not searched for, as the text of a string they are.
const WORDS: [&str; 10] = [
    "config",
    "dynamic",
    "format",
    "gdpo",
    "gradient",
    "hypervolume",
    "length",
    "linear",
    "match",
    "repetition",
];

/// Strings of core that are a plugin's name all the same: (text, room, meaning). The default run has to name what it
/// loads; it does so once, as defaults of the config.
const TEXTS: [(&str, &str, &str); 10] = [
    ("config", "cli", "an option of moa-host"),
    ("config", "train", "a part of a checkpoint's state"),
    ("gdpo", "config", "an estimator"),
    ("linear", "config", "a schedule of the learning rate"),
    ("linear", "model", "a kind of RoPE scaling"),
    ("format", "engine", "the key that safetensors files have"),
    ("format", "model", "a filter of templates that is refused"),
    ("gradient", "train", "what a warning is about"),
    ("length", "train", "what a warning is about"),
    ("length", "data", "a column of an inspection"),
];

/// Core names no plugin: no word of its code is one's name (but for [`WORDS`]), no string is the name or the library of
/// one (but for [`TEXTS`]). Not seen: a name that is put together, or that is part of a longer string.
#[test]
fn core_names_no_plugin() {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for plugin in library::first_party() {
        let scalarizers = plugin.description.scalarizers.iter().map(|s| &s.name);
        let rewards = plugin.description.rewards.iter().map(|r| &r.name);
        names.extend(scalarizers.chain(rewards).chain([&plugin.folder]).cloned());
    }
    assert!(
        WORDS.iter().all(|word| names.contains(*word)),
        "{WORDS:?} are all names of plugins: {names:?}"
    );
    let sources = root().join("core/src");
    let mut meant = BTreeSet::new();
    for file in files(&sources, ".rs") {
        let room = file.strip_prefix(&sources).unwrap().to_string_lossy().into_owned();
        let room = room.split(['/', '.']).next().unwrap();
        if file.file_stem().is_some_and(|stem| stem == "tests") {
            continue; // as in a `#[cfg(test)] mod`, any name may stand for an objective
        }
        let source = Source::parse(&[], &read(&file));
        for name in &names {
            let identifier = name.replace('-', "_");
            for (text, line) in &source.texts {
                let place = format!("{}:{line}: core names the plugin {name}", file.display());
                assert!(!text.contains(&format!("lib{identifier}.so")), "{place}");
                assert!(!text.contains(&format!("moa-plugin-{name}")), "{place}");
                if text == name || *text == identifier {
                    let other = TEXTS.iter().position(|(word, of, _)| word == name && *of == room);
                    assert!(other.is_some(), "{place}");
                    meant.extend(other);
                }
            }
            if !WORDS.contains(&name.as_str()) {
                for (word, line) in &source.words {
                    let named = word.eq_ignore_ascii_case(&identifier);
                    assert!(!named, "{}:{line}: core names the plugin {name}", file.display());
                }
            }
        }
    }
    assert_eq!(
        meant.len(),
        TEXTS.len(),
        "not in core any more, take it out of TEXTS: only {meant:?} were found"
    );
}

#[test]
fn a_plugin_depends_on_the_sdk_only_and_is_a_manifest_and_sources() {
    for plugin in plugins() {
        let found = dependencies(&plugin.join("Cargo.toml"));
        assert_eq!(found, ["moa-sdk"], "{}", plugin.display());
        let names: Vec<String> = files(&plugin, "")
            .iter()
            .map(|f| f.strip_prefix(&plugin).unwrap().to_string_lossy().into_owned())
            .collect();
        assert!(
            names.contains(&"Cargo.toml".to_owned()) && names.contains(&"src/lib.rs".to_owned()),
            "{names:?}"
        );
        assert!(
            names.iter().all(|n| n == "Cargo.toml" || n.starts_with("src/")),
            "{}: {names:?}",
            plugin.display()
        );
        let manifest: toml::Table = toml::from_str(&read(&plugin.join("Cargo.toml"))).unwrap();
        let folder = plugin.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(
            manifest["package"]["name"].as_str(),
            Some(format!("moa-plugin-{folder}").as_str())
        );
        // A library's name has no hyphens.
        assert_eq!(
            manifest["lib"]["name"].as_str(),
            Some(folder.replace('-', "_").as_str())
        );
    }
}

/// The names that `file` declares as modules in files of their own: `mod name;`.
fn declared(file: &Path) -> Vec<String> {
    let name = |line: &str| {
        let name = line.trim_start_matches("pub ").strip_prefix("mod ")?;
        Some(name.strip_suffix(';')?.to_owned())
    };
    read(file).lines().filter_map(name).collect()
}

#[test]
fn no_test_file_can_be_forgotten() {
    let tests = root().join("tests");
    let mut seen = 0;
    for file in files(&tests, ".rs") {
        let path = file.strip_prefix(&tests).unwrap();
        let (folder, stem) = (path.parent().unwrap(), path.file_stem().unwrap().to_string_lossy());
        // The fixtures are crates: cargo looks after their files.
        if path.starts_with("fixtures") || path == Path::new("main.rs") {
            continue;
        }
        let (parent, module) = match (folder.to_str().unwrap(), &*stem) {
            ("", stem) => ("main.rs".to_owned(), stem),
            (folder, "mod") => ("main.rs".to_owned(), folder),
            (folder, stem) => (format!("{folder}/mod.rs"), stem),
        };
        assert!(
            declared(&tests.join(&parent)).iter().any(|name| name == module),
            "tests/{} never runs: tests/{parent} has no `mod {module};`",
            path.display()
        );
        seen += 1;
    }
    assert!(
        seen > declared(&tests.join("main.rs")).len(),
        "only {seen} files were found"
    );
    let manifest: toml::Table = toml::from_str(&read(&root().join("core/Cargo.toml"))).unwrap();
    let programs = manifest["test"].as_array().unwrap();
    assert!(
        programs.len() == 1 && programs[0]["path"].as_str() == Some("../tests/main.rs"),
        "core/Cargo.toml declares one test program, tests/main.rs: {programs:?}"
    );
}

#[test]
fn the_sdk_depends_on_neither_candle_nor_core() {
    for manifest in ["sdk/Cargo.toml", "sdk/answer/Cargo.toml", "sdk/derive/Cargo.toml"] {
        for name in dependencies(&root().join(manifest)) {
            assert!(
                !name.starts_with("candle") && name != "moa-core",
                "{manifest} depends on {name}"
            );
        }
    }
}

#[test]
fn every_scalarizer_names_its_paper() {
    for plugin in library::first_party() {
        for scalarizer in &plugin.description.scalarizers {
            assert!(
                scalarizer.paper.len() > 10,
                "{}: PAPER is {:?}",
                scalarizer.name,
                scalarizer.paper
            );
        }
    }
}

#[test]
fn unsafe_stands_only_where_it_may() {
    let allowed = [
        "core/src/plugin/",
        "core/src/model/ops/",
        "sdk/src/abi/",
        "tests/fixtures/",
    ];
    let word = ["un", "safe"].concat(); // so that this file does not find itself
    for folder in allowed {
        assert!(
            root().join(folder).is_dir(),
            "{folder} is not there, take it out of the list"
        );
    }
    for file in files(&root(), ".rs") {
        let name = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        if allowed.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            // A hyphen continues the word: a page's policy names a source that begins so.
            let found = code
                .split(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c))
                .any(|w| w == word);
            assert!(!found, "{name}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn a_crate_says_what_it_is_and_only_the_sdk_is_published() {
    let published = ["sdk", "sdk/answer", "sdk/derive"].map(|folder| root().join(folder));
    for folder in plugins()
        .into_iter()
        .chain([root().join("core")])
        .chain(published.clone())
    {
        let manifest: toml::Table = toml::from_str(&read(&folder.join("Cargo.toml"))).unwrap();
        let package = manifest["package"].as_table().unwrap();
        let found = |key: &str| package.get(key).and_then(|value| value.as_str()).unwrap_or("");
        assert!(found("description").len() > 20, "{}: no description", folder.display());
        for key in ["version", "edition", "rust-version", "license"] {
            let inherited = package.get(key).and_then(|value| value.get("workspace")?.as_bool());
            assert_eq!(
                inherited,
                Some(true),
                "{}: {key} is not the workspace's",
                folder.display()
            );
        }
        let publish = package.get("publish").and_then(toml::Value::as_bool).unwrap_or(true);
        assert_eq!(publish, published.contains(&folder), "{}: publish", folder.display());
    }
}

/// Level 3 is not the profile's default, so that dependencies build fast: what everything runs through is named. A plugin
/// may be named, and need not be: it is two files and no edit anywhere.
#[test]
fn what_everything_runs_through_is_built_at_level_3() {
    let workspace: toml::Table = toml::from_str(&read(&root().join("Cargo.toml"))).unwrap();
    let levels = workspace["profile"]["release"]["package"].as_table().unwrap();
    for member in ["moa-answer", "moa-core", "moa-sdk"] {
        let level = levels
            .get(member)
            .and_then(|table| table.get("opt-level")?.as_integer());
        assert_eq!(level, Some(3), "[profile.release.package] of Cargo.toml: {member}");
    }
    let plugins = plugins().into_iter().map(|plugin| {
        let manifest: toml::Table = toml::from_str(&read(&plugin.join("Cargo.toml"))).unwrap();
        manifest["package"]["name"].as_str().unwrap().to_owned()
    });
    let plugins: Vec<String> = plugins.collect();
    for name in levels.keys().filter(|name| name.starts_with("moa-plugin-")) {
        assert!(
            plugins.contains(name),
            "[profile.release.package] names {name}, which is no crate here"
        );
    }
}

#[test]
fn release_keeps_unwinding() {
    let manifest: toml::Table = toml::from_str(&read(&root().join("Cargo.toml"))).unwrap();
    assert_eq!(
        manifest["profile"]["release"]["panic"].as_str(),
        Some("unwind"),
        "a plugin's panic must be caught"
    );
}

#[test]
fn every_file_says_what_it_is() {
    for file in files(&root(), ".rs") {
        let text = read(&file);
        assert!(text.starts_with("//!"), "{} has no //! header", file.display());
    }
    for file in files(&root().join("configs"), ".toml") {
        assert!(
            read(&file).starts_with("# "),
            "{}: the first line must say what it is",
            file.display()
        );
    }
}

#[test]
fn the_top_level_is_the_closed_list() {
    let allowed = [
        "CHANGELOG.md",
        "CITATION.cff",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "configs",
        "core",
        "data",
        "deny.toml",
        "examples",
        "plugins",
        "sdk",
        "tests",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let output = name == "target" || name == "runs";
        assert!(
            name.starts_with('.') || output || allowed.contains(&name.as_str()),
            "top level: {name}"
        );
    }
}

/// Whether `name` is `pattern`, in which a `*` stands for any text.
fn fits(name: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return name == pattern;
    };
    let Some(name) = name.strip_prefix(first) else {
        return false;
    };
    (0..=name.len()).any(|end| name.is_char_boundary(end) && fits(&name[end..], rest))
}

/// tests/golden/README.md says of every golden file where it comes from, and lists none that is not there.
#[test]
fn every_golden_file_says_where_it_comes_from() {
    let golden = root().join("tests/golden");
    let page = read(&golden.join("README.md"));
    let first_cells = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split('|').next());
    let listed: Vec<&str> = first_cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    // What a generator reads, and the generators.
    let source = |name: &str| name.ends_with(".py") || name.ends_with(".md") || name.starts_with("step/");
    let mut used = BTreeSet::new();
    for file in files(&golden, "") {
        let name = file.strip_prefix(&golden).unwrap().to_string_lossy().into_owned();
        let of: Vec<&str> = listed.iter().copied().filter(|pattern| fits(&name, pattern)).collect();
        let index = name.ends_with(".safetensors.index.json");
        assert!(
            !of.is_empty() || source(&name) || index,
            "tests/golden/README.md has no row for {name}"
        );
        used.extend(of);
    }
    for pattern in listed {
        assert!(used.contains(pattern), "tests/golden/README.md: there is no {pattern}");
    }
}
