//! From layers to a [`Config`]: figment merges them, and the keys must fit each other.

use std::path::Path;

use figment::Figment;

use super::error::ConfigError;
use super::layer::Layer;
use super::layers::{layers_of, plugin_layer};
use super::origin::Origin;
use super::read::read_file;
use super::request::{Purpose, Request};
use super::settings::Config;
use super::validate::validate;

/// A config with the origin of its values.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What runs.
    pub config: Config,
    pub(crate) layers: Vec<Layer>,
    /// How many of the lowest layers are built in.
    pub(crate) built_in: usize,
}

impl Resolved {
    /// Where the value of a key came from: the highest layer that names it, or the list that it is in.
    pub fn origin(&self, key: &str) -> Origin {
        origin_in(&self.layers, key)
    }

    /// Whether only the built-in layers name the key. A run whose `scalarizer.name` is a default takes the only
    /// scalarizer of the libraries in `plugins` if they have one.
    pub fn is_default(&self, key: &str) -> bool {
        self.origin(key).is_default()
    }
}

impl Config {
    /// Reads a resolved config, such as a run folder's config.toml, without any other layer.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read, lacks a key or has a bad one.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let resolved = resolve_layers(read_file(path)?, None, Purpose::Train, &path.display().to_string())?;
        Ok(resolved.config)
    }
}

/// Resolves what was typed: layers, strict checks, keys that must fit each other. Reads files, writes nothing.
///
/// # Errors
/// [`ConfigError`] for the first mistake, with key and place.
pub fn resolve(request: &Request) -> Result<Resolved, ConfigError> {
    let (layers, built_in) = layers_of(request)?;
    let plugins = plugin_layer(&request.plugins)?;
    let resolved = resolve_layers(layers, plugins, request.purpose, "the layers together")?;
    Ok(Resolved { built_in, ..resolved })
}

/// Merges the layers, lowest first; the list of `plugins` is appended to theirs.
fn resolve_layers(
    mut layers: Vec<Layer>,
    plugins: Option<Layer>,
    purpose: Purpose,
    place: &str,
) -> Result<Resolved, ConfigError> {
    let mut name = None;
    for top in 0..layers.len() {
        let new = layers[top].scalarizer_name();
        if new.is_some() && name.is_some() && new != name {
            layers[..top].iter_mut().for_each(Layer::drop_scalarizer_params);
        }
        name = new.or(name);
    }
    let mut figment = layers.iter().fold(Figment::new(), Figment::merge);
    if let Some(plugins) = plugins {
        figment = figment.admerge(&plugins);
        layers.push(plugins);
    }
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
    validate(&config, purpose, &|key| origin_in(&layers, key))?;
    Ok(Resolved {
        config,
        layers,
        built_in: 0,
    })
}

fn origin_in(layers: &[Layer], key: &str) -> Origin {
    let list = key.split('[').next().unwrap_or(key);
    let top = layers.iter().rev().find(|layer| layer.origins.contains_key(list));
    let found = top.and_then(|layer| layer.origins.get(key).or_else(|| layer.origins.get(list)));
    found.cloned().unwrap_or(Origin::Unset)
}
