//! Opens a library: handshake first, then the layout check of abi_stable, then what the library says of itself.
//!
//! A library is never unloaded: its thread-local destructors and vtables must outlive everything that it made.

use std::path::{Path, PathBuf};

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{AbiHeader, AbiHeaderRef, LibHeader, LibraryError};
use moa_sdk::abi::raw::{PluginRoot_Ref, RawError};
use moa_sdk::abi::{ABI, Handshake, MAGIC, SYMBOL_PREFIX};
use moa_sdk::{Description, Hooks, Needs, Setup};
use serde_json::Value;

use super::error::PluginError;
use super::reward::RewardPlugin;
use super::scalarizer::ScalarizerPlugin;
use super::search;
use super::shown::shown;

/// A loaded library.
pub struct Library {
    path: PathBuf,
    sdk_version: String,
    root: PluginRoot_Ref,
    description: Description,
}

impl Library {
    /// Opens and checks the library at `path`. Errors: not a plugin, another SDK, or no description.
    pub(super) fn open(path: &Path, verbose: bool) -> Result<Self, PluginError> {
        let short = PathBuf::from(shown(path));
        let symbol = handshake_symbol(path, &short)?;
        let (handshake, found) = open_handshake(path, &short, &symbol)?;
        if handshake.abi != ABI {
            return Err(PluginError::Version {
                path: short,
                found,
                found_abi: handshake.abi,
                expected: moa_sdk::VERSION.to_owned(),
                expected_abi: ABI,
            });
        }
        let root = root_module(handshake, &short, &found, verbose)?;
        let description = root.describe()()
            .into_result()
            .map_err(|error| PluginError::Description {
                path: short.clone(),
                reason: error.message.into_string(),
            })?;
        let description = serde_json::from_str(description.as_str()).map_err(|error| PluginError::Description {
            path: short,
            reason: error.to_string(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            sdk_version: found,
            root,
            description,
        })
    }

    /// The file, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version of the SDK that it was built with.
    pub fn sdk_version(&self) -> &str {
        &self.sdk_version
    }

    /// Its scalarizers and rewards.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Whether it has a scalarizer or a reward of that name.
    pub(super) fn exports(&self, name: &str) -> bool {
        self.description.scalarizers.iter().any(|s| s.name == name) || self.has_reward(name)
    }

    /// Whether it has a reward of that name.
    pub fn has_reward(&self, name: &str) -> bool {
        self.description.rewards.iter().any(|r| r.name == name)
    }

    /// A new scalarizer. Errors: what the plugin says of setup and params, or hooks and needs that this host
    /// does not know.
    pub fn scalarizer(&self, name: &str, setup: &Setup, params: &Value) -> Result<ScalarizerPlugin, PluginError> {
        let Some(described) = self.description.scalarizers.iter().find(|s| s.name == name) else {
            return Err(PluginError::Unknown {
                kind: "scalarizer",
                name: Some(name.to_owned()),
                known: self.description.scalarizers.iter().map(|s| s.name.clone()).collect(),
                libraries: Vec::new(),
            });
        };
        let unknown = |error: moa_sdk::Error| hook_error(name, "new", error.into());
        let hooks = Hooks::from_names(&described.hooks).map_err(unknown)?;
        let needs = Needs::from_names(&described.needs).map_err(unknown)?;
        let setup_json = serde_json::json!(setup).to_string();
        let object = self.root.new_scalarizer()(
            name.into(),
            setup_json.as_str().into(),
            params.to_string().as_str().into(),
        )
        .into_result()
        .map_err(|error| hook_error(name, "new", error))?;
        ScalarizerPlugin::new(name, &self.path, hooks, needs, setup.m(), object)
    }

    /// A new reward. Errors: what the plugin says of its params.
    pub fn reward(&self, name: &str, params: &Value) -> Result<RewardPlugin, PluginError> {
        let Some(described) = self.description.rewards.iter().find(|r| r.name == name) else {
            return Err(PluginError::Unknown {
                kind: "reward",
                name: Some(name.to_owned()),
                known: self.description.rewards.iter().map(|r| r.name.clone()).collect(),
                libraries: Vec::new(),
            });
        };
        let object = self.root.new_reward()(name.into(), params.to_string().as_str().into())
            .into_result()
            .map_err(|error| hook_error(name, "new", error))?;
        Ok(RewardPlugin::native(described, &self.path, object))
    }
}

fn hook_error(plugin: &str, hook: &'static str, error: RawError) -> PluginError {
    let error = moa_sdk::Error::from(error);
    PluginError::Hook {
        plugin: plugin.to_owned(),
        hook,
        step: None,
        message: error.message,
        hint: error.hint,
    }
}

/// The name of the handshake's symbol, from the bytes of the file: no code of the library runs before it is
/// known to be a plugin. Where a plugin links another one there are several; its own carries the file's name.
fn handshake_symbol(path: &Path, short: &Path) -> Result<String, PluginError> {
    let bytes = std::fs::read(path).map_err(|error| PluginError::Open {
        path: short.to_owned(),
        reason: error.to_string(),
    })?;
    let prefix = SYMBOL_PREFIX.as_bytes();
    let mut symbols = Vec::new();
    let mut from = 0;
    while let Some(start) = find(&bytes, prefix, from) {
        let name_end = bytes[start..]
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))
            .map_or(bytes.len(), |length| start + length);
        let symbol = String::from_utf8_lossy(&bytes[start..name_end]).into_owned();
        if symbol.len() > prefix.len() && !symbols.contains(&symbol) {
            symbols.push(symbol);
        }
        from = name_end;
    }
    let own = format!("{SYMBOL_PREFIX}{}", search::bare_name(path));
    let position = symbols.iter().position(|symbol| *symbol == own).unwrap_or(0);
    if symbols.is_empty() {
        return Err(PluginError::NotAPlugin {
            path: short.to_owned(),
            reason: format!("it has no symbol {SYMBOL_PREFIX}…"),
        });
    }
    Ok(symbols.swap_remove(position))
}

/// The first place of `pattern` in `bytes` at or after `from`.
fn find(bytes: &[u8], pattern: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(pattern.len())
        .position(|window| window == pattern)
        .map(|place| from + place)
}

/// Opens the library for good and reads its handshake and SDK version.
fn open_handshake(path: &Path, short: &Path, symbol: &str) -> Result<(&'static Handshake, String), PluginError> {
    use libloading::os::unix::{Library as Unix, RTLD_LOCAL, RTLD_NOW};

    let open_error = |error: libloading::Error| PluginError::Open {
        path: short.to_owned(),
        reason: reason_of(&error),
    };
    // RTLD_NOW: a symbol that is missing shows here and not in the middle of a run.
    // SAFETY: a plugin is trusted code; its initialisers may do what any code of this process may.
    let library = unsafe { Unix::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(open_error)?;
    // SAFETY: the symbol's name says that it is a handshake; its first field is checked before any other.
    let handshake: *const Handshake = unsafe { library.get::<*const Handshake>(symbol.as_bytes()) }
        .map(|found| *found)
        .map_err(|error| PluginError::NotAPlugin {
            path: short.to_owned(),
            reason: format!("{symbol} cannot be read: {}", reason_of(&error)),
        })?;
    // Never unloaded, so what it points to is 'static.
    std::mem::forget(library);
    let not_a_plugin = |reason: &str| PluginError::NotAPlugin {
        path: short.to_owned(),
        reason: reason.to_owned(),
    };
    // SAFETY: the loader gave the address of a symbol of the library, which stays loaded; bytes may be read
    // whatever they are, and the magic is the first field.
    let magic = unsafe { std::ptr::read_unaligned(handshake.cast::<[u8; 16]>()) };
    if magic != MAGIC {
        return Err(not_a_plugin("its handshake begins with other bytes"));
    }
    // SAFETY: the magic says that the symbol is a `Handshake`, whose layout never changes.
    let handshake: &'static Handshake = unsafe { &*handshake };
    let length = handshake.version_len as usize;
    if handshake.version.is_null() || length > 64 {
        return Err(not_a_plugin("its handshake has no version"));
    }
    // SAFETY: the handshake promises `version_len` bytes of a static of the library.
    let version = unsafe { std::slice::from_raw_parts(handshake.version, length) };
    Ok((handshake, String::from_utf8_lossy(version).into_owned()))
}

/// The loader's own words.
fn reason_of(error: &libloading::Error) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    source.unwrap_or_else(|| error.to_string())
}

/// The root module, once its layout is known to fit.
fn root_module(handshake: &Handshake, short: &Path, found: &str, verbose: bool) -> Result<PluginRoot_Ref, PluginError> {
    let mismatch = |details: String| PluginError::Layout {
        path: short.to_owned(),
        found: found.to_owned(),
        expected: moa_sdk::VERSION.to_owned(),
        details: verbose.then_some(details),
    };
    if handshake.root.is_null() {
        return Err(PluginError::NotAPlugin {
            path: short.to_owned(),
            reason: "its handshake has no root module".to_owned(),
        });
    }
    // SAFETY: a handshake of this ABI points to a static `LibHeader`, which begins with an `AbiHeader`;
    // `AbiHeaderRef` is a transparent reference to one. abi_stable checks the header before it looks further.
    let header: AbiHeaderRef = unsafe { std::mem::transmute::<*const AbiHeader, AbiHeaderRef>(handshake.root.cast()) };
    let header: &'static LibHeader = header.upgrade().map_err(|e| mismatch(e.to_string()))?;
    match header.init_root_module::<PluginRoot_Ref>() {
        Ok(root) => Ok(root),
        Err(LibraryError::AbiInstability(ours)) => {
            // The plugin does not have everything that this host knows. It may be older: then all that it has
            // is the beginning of ours, and what is missing runs its default.
            let Some(theirs) = header.layout() else {
                return Err(mismatch("the library carries no layout".to_owned()));
            };
            check_layout_compatibility(theirs, <PluginRoot_Ref as StableAbi>::LAYOUT)
                .map_err(|theirs| mismatch(format!("{ours}\n{theirs}")))?;
            // SAFETY: just checked: the plugin's types are those of this host, some vtables shorter, which
            // abi_stable's vtables say of themselves.
            unsafe { header.init_root_module_with_unchecked_layout::<PluginRoot_Ref>() }
                .map_err(|error| mismatch(error.to_string()))
        }
        Err(error) => Err(mismatch(error.to_string())),
    }
}
