//! Looks at a file before it is compiled: is it a reward of this world, in a form that can be used? Everything
//! that can be said in a clear sentence is said here.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use wasmparser::{Parser, Payload, Validator, WasmFeatures};

use super::text::one_line;
use super::world::{HOST, PACKAGE, SCORER, VERSION};
use crate::plugin::error::PluginError;
use crate::plugin::shown::shown;

/// Largest file, in bytes. A Python guest with its interpreter has 18 MiB.
const LARGEST: u64 = 64 << 20;

/// Why a file is refused.
#[derive(Debug)]
pub(in crate::plugin) struct Refusal {
    pub(in crate::plugin) reason: String,
    pub(in crate::plugin) hint: Option<String>,
}

impl Refusal {
    pub(super) fn new(reason: String) -> Self {
        Self { reason, hint: None }
    }

    /// The refusal as an error about a file.
    pub(in crate::plugin) fn of(self, path: &Path) -> PluginError {
        PluginError::Component {
            path: PathBuf::from(shown(path)),
            reason: self.reason,
            hint: self.hint,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

fn refuse(reason: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal::new(reason.into()).hint(hint)
}

/// The bytes of a component that exports the world's interface and asks for nothing that is not granted. WebAssembly
/// text is assembled, and a core module that carries the type of its component is made one.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let unreadable = |error: std::io::Error| {
        refuse(
            format!("it cannot be read: {error}"),
            "give the path of a .wasm file that you may read",
        )
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(refuse("it is a folder", "give the path of the .wasm file in it"));
    }
    if metadata.len() > LARGEST {
        let mib = metadata.len() >> 20;
        return Err(refuse(
            format!("it has {mib} MiB, expected at most {} MiB", LARGEST >> 20),
            "strip debug information and unused code from it",
        ));
    }
    component(&std::fs::read(path).map_err(unreadable)?)
}

/// [`read`] for bytes.
pub(super) fn component(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let bytes = assembled(bytes)?;
    let bytes = match encoding(&bytes)? {
        Encoding::Component => bytes,
        Encoding::Module => Cow::Owned(encoded(&bytes)?),
    };
    validate(&bytes)?;
    let names = names(&bytes)?;
    exports_the_world(&names)?;
    imports_what_is_granted(&names)?;
    Ok(bytes.into_owned())
}

/// WebAssembly text becomes bytes; bytes stay.
fn assembled(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    let begins = bytes.iter().position(|b| !b.is_ascii_whitespace());
    match begins.map(|at| bytes[at]) {
        None => Err(refuse("it is empty", "was the build interrupted?")),
        // `(component …` or a comment, `;; …` or `(; …`.
        Some(b'(' | b';') => wat::parse_bytes(bytes).map_err(|error| {
            let text = error.to_string();
            Refusal::new(format!("it is WebAssembly text with an error: {}", one_line(&text)))
        }),
        Some(_) => Ok(Cow::Borrowed(bytes)),
    }
}

enum Encoding {
    Module,
    Component,
}

fn encoding(bytes: &[u8]) -> Result<Encoding, Refusal> {
    const BUILD: &str = "a reward is a WebAssembly component, see examples/ for how to build one";
    let Some(rest) = bytes.strip_prefix(b"\0asm") else {
        let found: String = bytes.iter().take(4).map(|b| format!("{b:02x} ")).collect();
        return Err(refuse(
            format!(
                "it is no WebAssembly: it begins with {}, expected 00 61 73 6d",
                found.trim_end()
            ),
            BUILD,
        ));
    };
    match rest.get(..4) {
        Some([1, 0, 0, 0]) => Ok(Encoding::Module),
        Some([0x0d, 0, 1, 0]) => Ok(Encoding::Component),
        Some(version) => Err(refuse(
            format!("its WebAssembly version is {version:?}, expected a component ([13, 0, 1, 0])"),
            "build it again with current tools",
        )),
        None => Err(refuse("it ends after the first bytes", "is the file whole?")),
    }
}

/// Makes a component of a core module that wit-bindgen prepared: one with a section that holds its world.
fn encoded(module: &[u8]) -> Result<Vec<u8>, Refusal> {
    Validator::new_with_features(features())
        .validate_all(module)
        .map_err(|error| invalid(&error))?;
    let typed = Parser::new(0).parse_all(module).filter_map(Result::ok).any(
        |payload| matches!(payload, Payload::CustomSection(section) if section.name().starts_with("component-type")),
    );
    if !typed {
        return Err(refuse(
            "it is a core module that does not say which world it implements",
            "build it with moa_sdk::export!, or make a component of it with `wasm-tools component embed` and `new`",
        ));
    }
    let encode = || wit_component::ComponentEncoder::default().module(module)?.encode();
    encode().map_err(|error| {
        let reason = format!(
            "no component can be made of this core module: {}",
            one_line(&format!("{error:#}"))
        );
        refuse(
            reason,
            "build it without a system: Rust for wasm32-unknown-unknown, C without stdio, files or clocks",
        )
    })
}

fn features() -> WasmFeatures {
    WasmFeatures::default() | WasmFeatures::COMPONENT_MODEL
}

fn invalid(error: &wasmparser::BinaryReaderError) -> Refusal {
    refuse(
        format!(
            "it is damaged at byte {}: {}",
            error.offset(),
            one_line(error.message())
        ),
        "is the file whole? build it again",
    )
}

fn validate(bytes: &[u8]) -> Result<(), Refusal> {
    Validator::new_with_features(features())
        .validate_all(bytes)
        .map(|_| ())
        .map_err(|error| invalid(&error))
}

/// What a component imports and exports, at its outermost level.
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
}

fn names(bytes: &[u8]) -> Result<Names, Refusal> {
    let mut names = Names {
        imports: Vec::new(),
        exports: Vec::new(),
    };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| invalid(&error))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    names
                        .imports
                        .push(import.map_err(|e| invalid(&e))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    names
                        .exports
                        .push(export.map_err(|e| invalid(&e))?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// The version in `moa:reward/<interface>@1.2.3`, if that is what `name` is.
fn version<'a>(name: &'a str, interface: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(PACKAGE)?.strip_prefix('/')?.strip_prefix(interface)?;
    if rest.is_empty() {
        Some("none")
    } else {
        rest.strip_prefix('@')
    }
}

fn exports_the_world(names: &Names) -> Result<(), Refusal> {
    if names.exports.iter().any(|name| name == SCORER) {
        return Ok(());
    }
    let other = names.exports.iter().find_map(|name| version(name, "scorer"));
    Err(match other {
        Some(found) => refuse(
            format!(
                "it was built for version {} of the world {PACKAGE}, expected {VERSION}",
                one_line(found)
            ),
            format!("build it again with the WIT files of moa-sdk {}", moa_sdk::VERSION),
        ),
        None => refuse(
            format!(
                "it is a component of another world: it exports {}, expected {SCORER}",
                list(&names.exports)
            ),
            "a reward implements the world in sdk/wit",
        ),
    })
}

fn imports_what_is_granted(names: &Names) -> Result<(), Refusal> {
    let Some(import) = names.imports.iter().find(|name| *name != HOST) else {
        return Ok(());
    };
    if let Some(found) = version(import, "host") {
        return Err(refuse(
            format!(
                "it imports version {} of {PACKAGE}/host, expected {VERSION}",
                one_line(found)
            ),
            format!("build it again with the WIT files of moa-sdk {}", moa_sdk::VERSION),
        ));
    }
    let reason = format!("it imports {}, which is not granted to a reward", one_line(import));
    Err(if import.starts_with("wasi:") {
        refuse(
            reason,
            "build it without a system: Rust for wasm32-unknown-unknown, Python with --stub-wasi, JavaScript with \
             its features disabled",
        )
    } else {
        refuse(reason, format!("a reward may import {HOST} and nothing else"))
    })
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => one_line(&names.join(", ")),
    }
}
