//! Plugins: finds, checks and loads libraries and components, calls their hooks and checks everything that comes
//! back, records and replays. The only module of the host with `unsafe`, libloading and wasmtime for plugins.
//!
//! Data flow: [`Plugins`] finds and loads a [`Library`], or a WebAssembly component in the sandbox of
//! `component` → it makes a [`ScalarizerPlugin`] or a [`RewardPlugin`] →
//! their calls give checked outputs or a [`PluginError`] that names plugin, hook and step. A [`Recorder`] writes
//! what a scalarizer was told and gave back; [`replay`] reads that again. Everything but loading is a pure
//! function of inputs and of the plugin's state.

mod calls;
pub mod check;
mod component;
mod deadline;
mod error;
mod inspect;
mod library;
mod new;
mod record;
mod replay;
mod reward;
mod scalarizer;
mod score;
mod search;
mod shown;

pub use calls::{last_call, name_exits, no_more_calls};
pub use component::Limits;
pub use error::PluginError;
pub use inspect::{description_json, description_text};
pub use library::Library;
pub use new::NewPlugin;
pub use record::Recorder;
pub use replay::{Replayed, replay};
pub use reward::RewardPlugin;
pub use scalarizer::ScalarizerPlugin;
pub use score::{Cause, Failure, Score};

pub use moa_sdk::views::{BatchInput, GradientsInput, UpdateInput};
pub use moa_sdk::{
    Completion, Description, Direction, Hooks, MeanTokens, Needs, Objective, Performance, Setup, Signal, SignalKind,
};

use serde_json::Value;
use std::path::{Path, PathBuf};

use crate::config;
use component::{Component, Sandbox};
use search::SearchPath;
pub(crate) use search::bare_name;
use shown::shown;

/// The loaded libraries and components, in the order in which they were asked for.
pub struct Plugins {
    libraries: Vec<Library>,
    components: Vec<Component>,
    /// The engine of all components, once there is one.
    sandbox: Option<Sandbox>,
    search: SearchPath,
    verbose: bool,
}

impl Default for Plugins {
    fn default() -> Self {
        Self::new()
    }
}

impl Plugins {
    /// No libraries yet; searched for in `$MOA_PLUGIN_PATH`, `./plugins` and the folder of the running program.
    pub fn new() -> Self {
        Self::searching(SearchPath::of_this_process().folders)
    }

    /// No libraries yet; searched for in `folders`.
    pub fn searching(folders: Vec<PathBuf>) -> Self {
        Self {
            libraries: Vec::new(),
            components: Vec::new(),
            sandbox: None,
            search: SearchPath { folders },
            verbose: false,
        }
    }

    /// Whether an error about layouts shows all of them (hundreds of lines).
    #[must_use]
    pub fn verbose(mut self, verbose: bool) -> Self {
        self.verbose = verbose;
        self
    }

    /// Loads a library by path or bare name; a library that is loaded already is given again. A bare name is a file's
    /// (`lib<name>.so`) or, where no file has it, that of a scalarizer or reward of any library on the search path.
    ///
    /// # Errors
    /// Not found (with the places that were looked at), not a plugin, or built with another SDK.
    pub fn load(&mut self, plugin: &str) -> Result<&Library, PluginError> {
        if search::is_component(plugin) {
            return Err(PluginError::Component {
                path: PathBuf::from(plugin),
                reason: "is a WebAssembly component, expected a library with scalarizers or native rewards".to_owned(),
                hint: Some(
                    "a component is one reward: name it as an objective's reward; `moa-host plugin inspect` shows its \
                     params, and `moa-host reward score` tries it on completions"
                        .to_owned(),
                ),
            });
        }
        let path = match self.search.resolve(plugin) {
            Err(error @ PluginError::NotFound { .. }) if search::is_bare(plugin) => {
                self.exporting(plugin).ok_or(error)?
            }
            found => found?,
        };
        let index = match self.libraries.iter().position(|l| l.path() == path) {
            Some(index) => index,
            None => {
                self.libraries.push(Library::open(&path, self.verbose)?);
                self.libraries.len() - 1
            }
        };
        Ok(&self.libraries[index])
    }

    /// The first library on the search path that exports a scalarizer or reward of this name. Libraries that cannot be
    /// used are passed over.
    fn exporting(&self, name: &str) -> Option<PathBuf> {
        self.search.libraries().into_iter().find_map(|path| {
            let library = Library::open(&path.canonicalize().ok()?, self.verbose).ok()?;
            library.exports(name).then(|| library.path().to_owned())
        })
    }

    /// All loaded libraries.
    pub fn libraries(&self) -> &[Library] {
        &self.libraries
    }

    /// The files that were loaded: path, names of scalarizers and rewards, and the SDK's version of a library.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<String>, Option<String>)> {
        let libraries = self.libraries.iter().map(|library| {
            let description = library.description();
            let scalarizers = description.scalarizers.iter().map(|s| s.name.clone());
            let names = scalarizers.chain(description.rewards.iter().map(|r| r.name.clone()));
            let version = library.sdk_version().to_owned();
            (library.path().to_owned(), names.collect(), Some(version))
        });
        let components = self.components.iter().map(|component| {
            (
                component.path().to_owned(),
                vec![component.description().name.clone()],
                None,
            )
        });
        libraries.chain(components).collect()
    }

    /// The plugin libraries that the search path holds, for `plugin list`.
    pub fn available(&self) -> Vec<PathBuf> {
        self.search.libraries()
    }

    /// A new scalarizer of the loaded libraries; without a name the only one there is. Errors: no such name, more
    /// than one, or what the plugin says of setup and params.
    pub fn scalarizer(
        &self,
        name: Option<&str>,
        setup: &Setup,
        params: &Value,
    ) -> Result<ScalarizerPlugin, PluginError> {
        let all: Vec<(&Library, &str)> = self
            .libraries
            .iter()
            .flat_map(|library| {
                let scalarizers = &library.description().scalarizers;
                scalarizers.iter().map(move |s| (library, s.name.as_str()))
            })
            .collect();
        let matching: Vec<_> = all
            .iter()
            .filter(|(_, found)| name.is_none_or(|name| name == *found))
            .collect();
        match matching.as_slice() {
            [(library, name)] => library.scalarizer(name, setup, params),
            [] => Err(PluginError::Unknown {
                kind: "scalarizer",
                name: name.map(str::to_owned),
                known: all.iter().map(|(_, name)| (*name).to_owned()).collect(),
                libraries: Vec::new(),
            }),
            several => Err(PluginError::Ambiguous {
                name: name.map(str::to_owned),
                candidates: several
                    .iter()
                    .map(|(library, name)| format!("{name} in {}", library.path().display()))
                    .collect(),
            }),
        }
    }

    /// The libraries and components that the search path holds, for `reward list`.
    pub fn available_rewards(&self) -> Vec<PathBuf> {
        let mut all = self.search.libraries();
        all.extend(self.search.components());
        all
    }

    /// What a library or component says of itself, as text for people.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn describe(&mut self, plugin: &str) -> Result<String, PluginError> {
        if search::is_component(plugin) {
            let component = self.open_component(plugin)?;
            return Ok(inspect::reward_text(component.description(), component.path()));
        }
        self.load(plugin).map(inspect::description_text)
    }

    /// What a library or component says of its rewards, as text; empty if it has none. Error: it cannot be used.
    pub fn describe_rewards(&mut self, path: &Path) -> Result<String, PluginError> {
        let typed = path.to_string_lossy();
        if search::is_component(&typed) {
            return self.describe(&typed);
        }
        let library = self.load(&typed)?;
        let rewards = &library.description().rewards;
        Ok(rewards
            .iter()
            .map(|reward| inspect::reward_text(reward, library.path()))
            .collect())
    }

    fn open_component(&mut self, typed: &str) -> Result<&Component, PluginError> {
        let path = self.search.resolve_component(typed)?;
        let index = match self.components.iter().position(|c| c.path() == path) {
            Some(index) => index,
            None => {
                let sandbox = match &self.sandbox {
                    Some(sandbox) => sandbox.clone(),
                    None => Sandbox::new().map_err(|refusal| refusal.of(&path))?,
                };
                self.components.push(Component::open(&sandbox, &path)?);
                self.sandbox = Some(sandbox);
                self.components.len() - 1
            }
        };
        Ok(&self.components[index])
    }

    /// A new reward within limits: a component if `name` is the path of one (`.wasm`, `.wat`), else as
    /// [`Plugins::reward`]. Limits that `given` does not name are the defaults. Errors: also limits on a native reward,
    /// and what is wrong with a component.
    pub fn reward_within(
        &mut self,
        name: &str,
        params: &Value,
        given: &config::Limits,
    ) -> Result<RewardPlugin, PluginError> {
        if search::is_component(name) {
            let component = self.open_component(name)?;
            let reward = component.reward(params, given.into())?;
            return Ok(RewardPlugin::component(
                component.description(),
                component.path(),
                reward,
            ));
        }
        let reward = self.native_reward(name, params)?;
        let time_only = config::Limits {
            milliseconds: given.milliseconds,
            ..config::Limits::default()
        };
        if *given == time_only {
            Ok(match given.milliseconds {
                Some(milliseconds) => reward.within(milliseconds),
                None => reward,
            })
        } else {
            Err(PluginError::Limits {
                reward: reward.name().to_owned(),
                library: PathBuf::from(shown(reward.library())),
            })
        }
    }

    /// [`Plugins::reward_within`] the default limits.
    pub fn reward(&mut self, name: &str, params: &Value) -> Result<RewardPlugin, PluginError> {
        self.reward_within(name, params, &config::Limits::default())
    }

    /// A new reward: of a loaded library, else of `lib<name>.so` in the search path (`a-b` also of `liba.so`).
    /// Errors: no such name, more than one, or what the plugin says of its params.
    fn native_reward(&mut self, name: &str, params: &Value) -> Result<RewardPlugin, PluginError> {
        if !self.libraries.iter().any(|library| library.has_reward(name)) {
            let mut file = name;
            loop {
                match self.load(file) {
                    Ok(library) if library.has_reward(name) => break,
                    Ok(_) | Err(PluginError::NotFound { .. }) => {}
                    // A library of that name is there and cannot be used: that is what the user must know.
                    Err(error) => return Err(error),
                }
                match file.rsplit_once('-') {
                    Some((shorter, _)) if !shorter.is_empty() => file = shorter,
                    _ => break,
                }
            }
        }
        let matching: Vec<&Library> = self
            .libraries
            .iter()
            .filter(|library| library.has_reward(name))
            .collect();
        match matching.as_slice() {
            [library] => library.reward(name, params),
            [] => Err(PluginError::Unknown {
                kind: "reward",
                name: Some(name.to_owned()),
                known: self
                    .libraries
                    .iter()
                    .flat_map(|library| &library.description().rewards)
                    .map(|reward| reward.name.clone())
                    .collect(),
                // A library of rewards has most often the name of its one reward.
                libraries: self
                    .search
                    .libraries()
                    .iter()
                    .map(|library| search::bare_name(library).replace('_', "-"))
                    .collect(),
            }),
            several => Err(PluginError::Ambiguous {
                name: Some(name.to_owned()),
                candidates: several
                    .iter()
                    .map(|library| format!("{name} in {}", library.path().display()))
                    .collect(),
            }),
        }
    }
}
