//! Components for tests: the evil guest of tests/fixtures/evil.wat in its variants, and Rust guests built by cargo.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "examples/fuzz_components.rs takes a part of this too"
)]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The world's WIT file.
pub fn wit() -> String {
    std::fs::read_to_string(root().join("sdk/wit/reward.wit")).unwrap()
}

/// A core module that says that it implements the world of `wit`, as wit-bindgen leaves it.
pub fn typed_module(text: &str, wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("reward.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(text).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// A component of a core module in text.
pub fn component(text: &str, wit: &str) -> Vec<u8> {
    let encoder = ComponentEncoder::default().module(&typed_module(text, wit)).unwrap();
    encoder.validate(true).encode().unwrap()
}

/// The text of the evil guest; `parts` are put in the places of their names.
pub fn evil_text(parts: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(root().join("tests/fixtures/evil.wat")).unwrap();
    for place in ["describe", "configure", "start"] {
        let part = parts
            .iter()
            .find(|(name, _)| *name == place)
            .map_or("", |(_, part)| part);
        text = text.replace(&format!("{{{{{place}}}}}"), part);
    }
    text
}

/// The evil guest as a component.
pub fn evil(parts: &[(&str, &str)]) -> Vec<u8> {
    component(&evil_text(parts), &wit())
}

/// Builds the first-party rewards as components, once in a process, and returns the folder that they are in.
pub fn built_by_cargo() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let packages = ["accuracy", "conciseness", "clarity"];
        build(&target(), &packages.map(|name| format!("--package=moa-plugin-{name}")))
    })
}

/// Builds the plugin that misbehaves on demand as a component, once in a process: its reward, since scalarizers are
/// left out of one.
pub fn hostile() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let manifest = root().join("tests/fixtures/Cargo.toml");
        let options = [
            format!("--manifest-path={}", manifest.display()),
            "--package=fixture-hostile".to_owned(),
        ];
        build(&target().join("fixtures"), &options).join("hostile.wasm")
    })
}

/// The target folder of the running test or example: `<target>/release/deps/<test>`.
fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().to_owned()
}

/// Builds components into `target` and returns the folder that they are in.
fn build(target: &Path, options: &[String]) -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command
        .args([
            "build",
            "--release",
            "--target",
            "wasm32-unknown-unknown",
            "--target-dir",
        ])
        .arg(target)
        .args(options)
        .current_dir(root());
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "components cannot be built (is the target there? `rustup target add wasm32-unknown-unknown`): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    target.join("wasm32-unknown-unknown/release")
}
