//! What can go wrong between host and plugin. Each message names the plugin and, where there is one, the hook
//! and the step.

use std::path::PathBuf;

use crate::error::{Fault, Report};

/// Everything that the module gives as an error. Display is one line.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PluginError {
    /// No such file.
    #[error("plugin `{plugin}` was not found; looked at {}", list(looked))]
    NotFound {
        /// As it was typed.
        plugin: String,
        /// All places, in order.
        looked: Vec<PathBuf>,
        /// What to do about it, where that is known.
        advice: Option<String>,
    },
    /// A file without the handshake.
    #[error("{} is not a moa plugin: {reason}", path.display())]
    NotAPlugin {
        /// The file.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// The system's loader refused it.
    #[error("plugin {} cannot be opened: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// Built with an SDK whose interface is another one.
    #[error(
        "plugin {} was built for plugin interface {found_abi} (moa-sdk {found}), this host has interface {expected_abi} (moa-sdk {expected})",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// SDK of the plugin.
        found: String,
        /// Interface of the plugin.
        found_abi: u32,
        /// SDK of the host.
        expected: String,
        /// Interface of the host.
        expected_abi: u32,
    },
    /// Same interface number, other layouts.
    #[error(
        "plugin {} was built with moa-sdk {found}, whose types differ from those of this host's moa-sdk {expected}{}",
        path.display(),
        details.as_ref().map(|d| format!("\n{d}")).unwrap_or_default()
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// SDK of the plugin.
        found: String,
        /// SDK of the host.
        expected: String,
        /// All differences, where verbose errors were asked for.
        details: Option<String>,
    },
    /// The library's description of itself cannot be used.
    #[error("plugin {} does not describe itself: {reason}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No loaded library has it.
    #[error(
        "{}; {}",
        name.as_ref().map_or(format!("there is no {kind}"), |name| format!("there is no {kind} `{name}`")),
        if known.is_empty() { format!("no library with a {kind} is loaded") } else { format!("loaded are {}", known.join(", ")) }
    )]
    Unknown {
        /// "scalarizer" or "reward".
        kind: &'static str,
        /// As it was typed.
        name: Option<String>,
        /// All that there are.
        known: Vec<String>,
        /// Libraries of the search path that are not loaded, by name.
        libraries: Vec<String>,
    },
    /// More than one loaded library has it.
    #[error(
        "{} could be any of: {}",
        name.as_ref().map_or("the scalarizer".to_owned(), |name| format!("`{name}`")),
        candidates.join(", ")
    )]
    Ambiguous {
        /// As it was typed.
        name: Option<String>,
        /// Name and library of each.
        candidates: Vec<String>,
    },
    /// A hook gave an error or panicked.
    #[error("plugin {plugin}, {hook}{}: {message}", at(*step))]
    Hook {
        /// Name of the scalarizer or reward.
        plugin: String,
        /// Name of the hook.
        hook: &'static str,
        /// Training step, where the hook has one.
        step: Option<u64>,
        /// What the plugin said.
        message: String,
        /// The plugin's own hint.
        hint: Option<String>,
    },
    /// A hook gave something that the host cannot take.
    #[error("plugin {plugin}, {hook}{}: {found}, expected {expected}", at(*step))]
    Output {
        /// Name of the scalarizer or reward.
        plugin: String,
        /// Name of the hook.
        hook: &'static str,
        /// Training step, where the hook has one.
        step: Option<u64>,
        /// What it gave: `weights has 2 values`.
        found: String,
        /// What it should have given.
        expected: String,
        /// What its author should change, where that is known.
        hint: Option<String>,
    },
    /// A file that was given as a reward and is no component that can be one.
    #[error("component {}: {reason}", path.display())]
    Component {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
        /// What to change.
        hint: Option<String>,
    },
    /// Native code that does not come back.
    #[error(
        "reward {plugin} ({}) did not return within {seconds} s on {completions} completions{}",
        library.display(),
        completion.as_ref().map_or(
            "; on each of them alone it does".to_owned(),
            |(row, response)| format!("; called alone it hangs on completion {row} of these, response {response:?}")
        )
    )]
    Hangs {
        /// Name of the reward.
        plugin: String,
        /// Its library.
        library: PathBuf,
        /// Completions of the call.
        completions: usize,
        /// The deadline.
        seconds: f64,
        /// The completion that it hangs on, from 0, and the beginning of its response.
        completion: Option<(usize, String)>,
    },
    /// Native code that had not come back when the run was asked to stop.
    #[error("reward {plugin} had not returned when the run was asked to stop")]
    Abandoned {
        /// Name of the reward.
        plugin: String,
    },
    /// Limits on a reward that nothing limits.
    #[error("reward {reward} is native code ({}), and has limits other than milliseconds", library.display())]
    Limits {
        /// Name of the reward.
        reward: String,
        /// Its library.
        library: PathBuf,
    },
    /// The host's own inputs do not fit together; the run, not the plugin, is at fault.
    #[error("inputs for plugin {plugin}, {hook}{}: {message}", at(*step))]
    Input {
        /// Name of the scalarizer or reward.
        plugin: String,
        /// Name of the hook.
        hook: &'static str,
        /// Training step, where the hook has one.
        step: Option<u64>,
        /// What does not fit.
        message: String,
    },
    /// The crate of a new plugin cannot be written.
    #[error("the plugin {} cannot be made: {message}", folder.display())]
    New {
        /// Where it would be.
        folder: PathBuf,
        /// What stands against it.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// A trace that cannot be read or written.
    #[error("trace {}: {message}", path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
    /// A replay that does not agree.
    #[error(
        "trace {}, event {event} ({hook}, step {step}): {field} is {found}, expected {expected}",
        path.display()
    )]
    Difference {
        /// The file.
        path: PathBuf,
        /// Which event, from 1.
        event: usize,
        /// Its hook.
        hook: &'static str,
        /// Its training step.
        step: u64,
        /// The first field that differs.
        field: String,
        /// What the plugin gave.
        found: String,
        /// What the trace has.
        expected: String,
    },
    /// An event of a trace that does not fit the trace's header; the replay adds file and line.
    #[error("{0}")]
    Event(moa_sdk::Error),
}

impl From<moa_sdk::Error> for PluginError {
    fn from(error: moa_sdk::Error) -> Self {
        Self::Event(error)
    }
}

impl Report for PluginError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { advice, .. } => Some(advice.clone().unwrap_or_else(|| {
                "give the path of the library, or set MOA_PLUGIN_PATH to the folder that holds it".to_owned()
            })),
            Self::NotAPlugin { .. } => {
                Some("a plugin is a library built from a crate that calls moa_sdk::export!".to_owned())
            }
            Self::Open { .. } => Some("is it built for this machine, and whole?".to_owned()),
            Self::Version {
                found,
                found_abi,
                expected,
                expected_abi,
                ..
            } => Some(if found_abi > expected_abi {
                format!(
                    "the plugin is newer than this host: update the host, or build the plugin with moa-sdk {expected}"
                )
            } else if found == expected {
                format!(
                    "build the plugin again with this host's moa-sdk: its version is {expected} as well, its interface newer"
                )
            } else {
                format!("build the plugin again with moa-sdk {expected}, and follow what the compiler says")
            }),
            Self::Layout {
                details: None,
                expected,
                ..
            } => Some(format!(
                "build the plugin again with moa-sdk {expected}; `plugin inspect LIB --verbose` shows all differences"
            )),
            Self::Layout { expected, .. } => Some(format!("build the plugin again with moa-sdk {expected}")),
            Self::Unknown {
                name,
                known,
                libraries,
                kind,
            } => {
                let names: Vec<&str> = known.iter().chain(libraries).map(String::as_str).collect();
                match name.as_ref().and_then(|name| moa_sdk::nearest(name, &names)) {
                    Some(near) => Some(format!("did you mean `{near}`?")),
                    None => Some(format!("load a library that has the {kind} with --plugin")),
                }
            }
            Self::Ambiguous { name: None, .. } => Some("say which with scalarizer.name".to_owned()),
            Self::Ambiguous { .. } => Some("load only one of these libraries".to_owned()),
            Self::Hook { hint, .. } | Self::Component { hint, .. } => hint.clone(),
            Self::New { hint, .. } => Some(hint.clone()),
            Self::Limits { .. } => {
                Some("only WebAssembly components have such limits; leave them out, or use a .wasm".to_owned())
            }
            Self::Hangs { .. } => Some(
                "objective.limits.milliseconds is the deadline of a call; `moa-host reward score` tries the reward alone"
                    .to_owned(),
            ),
            Self::Abandoned { .. } => None,
            Self::Output { hint: Some(hint), .. } => Some(hint.clone()),
            Self::Output { plugin, .. } => Some(format!(
                "this is a defect of {plugin}; `plugin check` runs its own tests"
            )),
            Self::Trace { .. } | Self::Difference { .. } | Self::Description { .. } | Self::Input { .. } => None,
            Self::Event(error) => error.hint.clone(),
        }
    }

    /// Usage: a library, a name or params that the user can change; `new` that refuses params has no step.
    fn fault(&self) -> Fault {
        match self {
            Self::NotFound { .. }
            | Self::NotAPlugin { .. }
            | Self::Open { .. }
            | Self::Version { .. }
            | Self::Layout { .. }
            | Self::Description { .. }
            | Self::Component { .. }
            | Self::Limits { .. }
            | Self::New { .. }
            | Self::Unknown { .. }
            | Self::Ambiguous { .. }
            | Self::Hook { step: None, .. } => Fault::Usage,
            Self::Abandoned { .. } => Fault::Interrupted,
            Self::Hook { .. }
            | Self::Hangs { .. }
            | Self::Output { .. }
            | Self::Trace { .. }
            | Self::Difference { .. }
            | Self::Input { .. }
            | Self::Event(_) => Fault::Run,
        }
    }
}

fn at(step: Option<u64>) -> String {
    step.map(|step| format!(" at step {step}")).unwrap_or_default()
}

fn list(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "no place".to_owned();
    }
    let shown: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    shown.join(", ")
}
