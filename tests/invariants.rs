//! The invariants of the repository, read off its files: who depends on whom, where `unsafe` may stand, what core may
//! not know. Each check says what it found and where.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{files, root};

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
    assert!(
        folders.len() >= 5,
        "expected the first-party plugins under plugins/, found {folders:?}"
    );
    folders
}

#[test]
fn core_names_no_plugin() {
    // Names that are also words of the field (a linear schedule, a gradient) cannot be searched for as bare words;
    // the check for those is that no string literal of core is one.
    for plugin in plugins() {
        let name = plugin.file_name().unwrap().to_string_lossy().into_owned();
        for file in files(&root().join("core/src"), ".rs") {
            let text = read(&file);
            let library = format!("lib{name}.so");
            assert!(!text.contains(&library), "{} names {library}", file.display());
            let word_of_the_field =
                ["linear", "gradient", "format", "length", "match", "repetition"].contains(&name.as_str());
            if word_of_the_field {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                // Tests at the end of a file may use any name for an objective.
                if line.contains("#[cfg(test)]") {
                    break;
                }
                let word = line
                    .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .any(|word| word.eq_ignore_ascii_case(&name));
                assert!(
                    !word,
                    "{}:{}: core names the plugin {name}: {line}",
                    file.display(),
                    number + 1
                );
            }
        }
    }
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
    for manifest in ["sdk/Cargo.toml", "sdk/derive/Cargo.toml"] {
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
    for plugin in plugins() {
        for file in files(&plugin.join("src"), ".rs") {
            let text = read(&file);
            if !text.contains("impl Scalarizer for") {
                continue;
            }
            let named = text
                .split("const PAPER: &'static str")
                .nth(1)
                .or_else(|| text.split("const PAPER: &str").nth(1));
            let paper = named.and_then(|rest| rest.split('"').nth(1)).unwrap_or("");
            assert!(paper.len() > 10, "{}: PAPER is {paper:?}", file.display());
        }
    }
}

#[test]
fn unsafe_stands_only_where_it_may() {
    let allowed = [
        "core/src/plugin/",
        "core/src/model/ops/",
        "sdk/src/abi/",
        "sdk/src/export.rs",
        "tests/fixtures/",
    ];
    let word = ["un", "safe"].concat(); // so that this file does not find itself
    for file in files(&root(), ".rs") {
        let name = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        if allowed.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let found = code
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .any(|w| w == word);
            assert!(!found, "{name}:{}: {line}", number + 1);
        }
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

#[test]
fn modules_use_only_what_stands_above_them() {
    let lib = read(&root().join("core/src/lib.rs"));
    let order: Vec<&str> = lib
        .lines()
        .filter_map(|l| l.strip_prefix("pub mod "))
        .map(|l| l.trim_end_matches(';'))
        .collect();
    assert!(order.len() >= 13, "modules of core: {order:?}");
    for (position, module) in order.iter().enumerate() {
        let folder = root().join("core/src").join(module);
        let sources = if folder.is_dir() {
            files(&folder, ".rs")
        } else {
            vec![folder.with_extension("rs")]
        };
        for file in sources {
            for (number, line) in read(&file).lines().enumerate() {
                for later in &order[position + 1..] {
                    let used = line.contains(&format!("crate::{later}::"))
                        || line.trim_start().starts_with(&format!("{later}::"))
                            && line.trim_end().ends_with([',', '{']);
                    assert!(
                        !used || *later == "metrics" || *module == "error",
                        "{}:{}: {module} uses {later}, which stands below it: {line}",
                        file.display(),
                        number + 1
                    );
                }
            }
        }
    }
}
