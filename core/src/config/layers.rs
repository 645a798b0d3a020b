//! The layers and how they become one [`Config`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value as FigmentValue};
use figment::{Figment, Metadata, Profile, Provider};
use toml::{Table, Value};

use super::check::{check, read_value};
use super::error::ConfigError;
use super::keys::all_keys;
use super::read::{parse, read_file};
use super::settings::Config;
use super::validate::validate;

/// The default run, and the defaults of every key of a run.
const DEFAULT_TEXT: &str = include_str!("../../../configs/tiny/default.toml");
/// Supervised training of the embedded model, and the defaults of `[sft]`.
const SFT_TEXT: &str = include_str!("../../../configs/tiny/sft.toml");

/// What the config is for: it decides which of the two built-in files lies above the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Reinforcement learning, and everything that uses its keys.
    #[default]
    Train,
    /// Supervised fine-tuning.
    Sft,
}

/// What the user typed about the config.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Which defaults.
    pub purpose: Purpose,
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Environment variables, name and value; those that are not named `MOA_…` are ignored.
    pub environment: Vec<(String, String)>,
    /// `--set` and dedicated options; later ones win.
    pub overrides: Vec<Override>,
    /// `--plugin`, added to the list that the other layers give.
    pub plugins: Vec<String>,
}

impl Request {
    /// The environment variables of this process, for [`Request::environment`].
    pub fn process_environment() -> Vec<(String, String)> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        std::env::vars_os()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }
}

/// A value from the command line.
#[derive(Debug, Clone, PartialEq)]
pub enum Override {
    /// `--set`'s `KEY=VALUE`, the value in TOML's spelling or a bare string.
    Set(String),
    /// A dedicated option, such as `--steps`.
    Option {
        /// The option as typed, `--steps`.
        option: &'static str,
        /// The key that it stands for.
        key: &'static str,
        /// Its value.
        value: Value,
    },
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A built-in config file.
    Default {
        /// Its name in the repository.
        file: &'static str,
        /// Line, from 1.
        line: usize,
    },
    /// A config file.
    File {
        /// Its path, as typed or joined from an include.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// `--set`.
    Set {
        /// The `KEY=VALUE` as typed.
        text: String,
    },
    /// A dedicated option.
    Option {
        /// The option.
        option: &'static str,
    },
    /// No layer names the key.
    Unset,
}

impl Origin {
    /// Line in a file; 0 elsewhere.
    pub(crate) fn line(&self) -> usize {
        match self {
            Origin::Default { line, .. } | Origin::File { line, .. } => *line,
            _ => 0,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default { file, line } => write!(f, "default ({file}:{line})"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment { variable } => write!(f, "environment {variable}"),
            Origin::Set { text } => write!(f, "--set {text}"),
            Origin::Option { option } => f.write_str(option),
            Origin::Unset => f.write_str("not set"),
        }
    }
}

/// One layer: values that passed the strict check, and where each path was written.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) table: Table,
    pub(crate) origins: BTreeMap<String, Origin>,
}

impl Layer {
    /// A layer of one value at a dotted key.
    fn single(key: &str, value: Value, origin: Origin) -> Result<Layer, ConfigError> {
        if key == "include" || key.starts_with("include.") {
            return Err(ConfigError::IncludeOutsideFile { origin });
        }
        let mut parts = key.split('.').rev();
        let mut table = Table::new();
        table.insert(parts.next().unwrap_or_default().to_owned(), value);
        for part in parts {
            table = Table::from_iter([(part.to_owned(), Value::Table(table))]);
        }
        check(&table, &|_| origin.clone())?;
        let mut paths = Vec::new();
        paths_of("", &table, &mut paths);
        Ok(Layer {
            table,
            origins: paths.into_iter().map(|path| (path, origin.clone())).collect(),
        })
    }

    /// One layer of both, `top`'s values above these. The environment is one layer, and so is the command line: in
    /// what order a scalarizer's name and its parameters come there does not matter.
    fn under(mut self, top: Layer) -> Layer {
        merge(&mut self.table, top.table);
        self.origins.extend(top.origins);
        self
    }

    fn scalarizer_name(&self) -> Option<String> {
        self.table.get("scalarizer")?.get("name")?.as_str().map(str::to_owned)
    }

    /// Forgets the parameters of a scalarizer that a higher layer replaced.
    fn drop_scalarizer_params(&mut self) {
        if let Some(Value::Table(table)) = self.table.get_mut("scalarizer") {
            table.retain(|name, _| name == "name");
            self.origins
                .retain(|path, _| !path.starts_with("scalarizer.") || path == "scalarizer.name");
        }
    }
}

fn merge(low: &mut Table, top: Table) {
    for (name, value) in top {
        match (low.get_mut(&name), value) {
            (Some(Value::Table(low)), Value::Table(top)) => merge(low, top),
            (_, value) => {
                low.insert(name, value);
            }
        }
    }
}

/// The dotted paths of all values and tables.
fn paths_of(path: &str, table: &Table, paths: &mut Vec<String>) {
    for (name, value) in table {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if let Value::Table(table) = value {
            paths_of(&path, table, paths);
        }
        paths.push(path);
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("moa config layer")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let dict = FigmentValue::serialize(&self.table)?.into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

/// A config with the origin of its values.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What runs.
    pub config: Config,
    pub(crate) layers: Vec<Layer>,
}

impl Resolved {
    /// Where the value of a key came from: the highest layer that names it, or that gives the list it is in.
    pub fn origin(&self, key: &str) -> Origin {
        let list = key.split('[').next().unwrap_or(key);
        let top = self.layers.iter().rev().find(|layer| layer.origins.contains_key(list));
        let found = top.and_then(|layer| layer.origins.get(key).or_else(|| layer.origins.get(list)));
        found.cloned().unwrap_or(Origin::Unset)
    }

    /// Whether nobody but the built-in defaults named the key. A run whose `scalarizer.name` is a default takes the
    /// only scalarizer of the libraries in `plugins` where there is one.
    pub fn is_default(&self, key: &str) -> bool {
        matches!(self.origin(key), Origin::Default { .. } | Origin::Unset)
    }
}

/// Resolves what was typed: layers, strict checks, ranges. Reads files, writes nothing.
pub fn resolve(request: &Request) -> Result<Resolved, ConfigError> {
    let mut user = Vec::new();
    if let Some(path) = &request.file {
        user.extend(read_file(path)?);
    }
    user.extend(environment_layer(&request.environment)?);
    let command_line: Vec<Layer> = request.overrides.iter().map(override_layer).collect::<Result<_, _>>()?;
    user.extend(command_line.into_iter().reduce(Layer::under));
    let mut layers = default_layers(request.purpose, &user)?;
    layers.extend(user);
    if !request.plugins.is_empty() {
        let listed = layers
            .iter()
            .rev()
            .find_map(|layer| layer.table.get("plugins")?.as_array().cloned());
        let mut plugins = listed.unwrap_or_default();
        plugins.extend(request.plugins.iter().map(|name| Value::String(name.clone())));
        layers.push(Layer::single(
            "plugins",
            Value::Array(plugins),
            Origin::Option { option: "--plugin" },
        )?);
    }
    finish(layers, "the layers together")
}

/// Resolves one file without defaults, environment or options.
pub(crate) fn resolve_alone(path: &Path) -> Result<Resolved, ConfigError> {
    finish(read_file(path)?, &path.display().to_string())
}

fn finish(mut layers: Vec<Layer>, place: &str) -> Result<Resolved, ConfigError> {
    let mut name = None;
    for top in 0..layers.len() {
        let new = layers[top].scalarizer_name();
        if new.is_some() && name.is_some() && new != name {
            layers[..top].iter_mut().for_each(Layer::drop_scalarizer_params);
        }
        name = new.or(name);
    }
    let figment = layers
        .iter()
        .fold(Figment::new(), |figment, layer| figment.merge(layer));
    let config: Config = figment.extract().map_err(|error| ConfigError::Incomplete {
        place: place.to_owned(),
        problem: match (&error.kind, error.path.is_empty()) {
            (figment::error::Kind::MissingField(field), true) => format!("`{field}` is missing"),
            (figment::error::Kind::MissingField(field), false) => {
                format!("`{}.{field}` is missing", error.path.join("."))
            }
            (kind, _) => format!("`{}`: {kind}", error.path.join(".")),
        },
    })?;
    let resolved = Resolved { config, layers };
    validate(&resolved)?;
    Ok(resolved)
}

/// The built-in layers, lowest first. `[sft]` is left out of a run of `train` that does not mention it, so that
/// the run's config.toml does not either.
fn default_layers(purpose: Purpose, user: &[Layer]) -> Result<Vec<Layer>, ConfigError> {
    let default = parse(DEFAULT_TEXT, &|line| Origin::Default {
        file: "configs/tiny/default.toml",
        line,
    })?;
    let mut sft = parse(SFT_TEXT, &|line| Origin::Default {
        file: "configs/tiny/sft.toml",
        line,
    })?;
    match purpose {
        Purpose::Sft => Ok(vec![default, sft]),
        Purpose::Train if user.iter().any(|layer| layer.table.contains_key("sft")) => {
            sft.table.retain(|name, _| name == "sft");
            sft.origins.retain(|path, _| path == "sft" || path.starts_with("sft."));
            Ok(vec![sft, default])
        }
        Purpose::Train => Ok(vec![default]),
    }
}

/// `MOA_TRAIN__STEPS=50` is `train.steps = 50`: two underscores stand for a dot.
fn environment_layer(environment: &[(String, String)]) -> Result<Option<Layer>, ConfigError> {
    let mut layers = Vec::new();
    let mut variables: Vec<_> = environment
        .iter()
        .filter_map(|(name, value)| Some((name, key_of(name)?, value)))
        .collect();
    variables.sort();
    for (variable, key, text) in variables {
        let origin = Origin::Environment {
            variable: variable.clone(),
        };
        layers.push(text_layer(&key, text, origin)?);
    }
    Ok(layers.into_iter().reduce(Layer::under))
}

/// The key that an environment variable means. Other programs may have variables that begin with `MOA_`, so one is
/// taken only if it has two underscores in a row, is a key without a dot, or begins like one of the tables (a
/// forgotten underscore, which the strict check then reports).
fn key_of(variable: &str) -> Option<String> {
    let name = variable.strip_prefix("MOA_")?.to_lowercase();
    let first_is_table = || {
        let first = name.split('_').next().unwrap_or_default();
        all_keys()
            .iter()
            .any(|key| key.name.split('.').next() == Some(first) && key.name.contains('.'))
    };
    let top = all_keys().iter().any(|key| key.name == name && key.name != "include");
    (name.contains("__") || top || first_is_table()).then(|| name.replace("__", "."))
}

fn override_layer(item: &Override) -> Result<Layer, ConfigError> {
    match item {
        Override::Set(text) => {
            let bad = || ConfigError::BadSet { text: text.clone() };
            let (key, value) = text.split_once('=').ok_or_else(bad)?;
            let key = key.trim();
            if key.is_empty() || key.split('.').any(str::is_empty) {
                return Err(bad());
            }
            text_layer(key, value, Origin::Set { text: text.clone() })
        }
        Override::Option { option, key, value } => Layer::single(key, value.clone(), Origin::Option { option }),
    }
}

/// A layer of one value that is written as text.
fn text_layer(key: &str, text: &str, origin: Origin) -> Result<Layer, ConfigError> {
    const DEEPEST: usize = 16; // parts of a key; no plugin needs more, and a table nests once for each
    if key.split('.').count() > DEEPEST {
        return Err(ConfigError::UnknownKey {
            key: key.to_owned(),
            origin,
            nearest: None,
        });
    }
    let value = read_value(key, text).map_err(|error| ConfigError::Syntax {
        place: origin.to_string(),
        report: error.to_string().trim_end().to_owned(),
    })?;
    Layer::single(key, value, origin)
}

/// The values that the built-in files give, each at its place: `[sft]` from the one, the rest from the other.
pub(crate) fn default_values() -> Result<Table, ConfigError> {
    let mut values = parse(DEFAULT_TEXT, &|line| Origin::Default {
        file: "configs/tiny/default.toml",
        line,
    })?
    .table;
    let sft = parse(SFT_TEXT, &|line| Origin::Default {
        file: "configs/tiny/sft.toml",
        line,
    })?
    .table;
    values.extend(sft.into_iter().filter(|(name, _)| name == "sft"));
    Ok(values)
}
