//! One layer of the config: values that passed the strict check, and where each was written. figment merges them.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Value as FigmentValue};
use figment::{Metadata, Profile, Provider};
use toml::{Table, Value};

use super::check::check;
use super::error::ConfigError;
use super::keys::join;
use super::origin::Origin;

/// Values that passed the strict check. figment knows one place per layer, not one per value, so the origins stand here.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) table: Table,
    pub(crate) origins: BTreeMap<String, Origin>,
}

impl Layer {
    /// A layer of one value at a dotted key.
    pub(crate) fn from_key(key: &str, value: Value, origin: Origin) -> Result<Layer, ConfigError> {
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
        Ok(Layer::from_table(table, &origin))
    }

    /// A layer of values that all come from one place.
    pub(crate) fn from_table(table: Table, origin: &Origin) -> Layer {
        let mut paths = Vec::new();
        paths_of("", &table, &mut paths);
        Layer {
            table,
            origins: paths.into_iter().map(|path| (path, origin.clone())).collect(),
        }
    }

    /// One layer of both, this one's values above `low`'s. The environment is one layer, and so is the command line:
    /// the order of a scalarizer's name and its parameters there does not matter.
    pub(crate) fn merge_over(self, mut low: Layer) -> Layer {
        merge(&mut low.table, self.table);
        low.origins.extend(self.origins);
        low
    }

    /// Drops a table, `name` or `above.name`.
    pub(crate) fn remove_table(&mut self, name: &str) {
        match name.split_once('.') {
            None => drop(self.table.remove(name)),
            Some((above, name)) => {
                let above = self.table.get_mut(above).and_then(Value::as_table_mut);
                above.map(|table| table.remove(name));
            }
        }
        let prefix = join(name, "");
        self.origins
            .retain(|path, _| path != name && !path.starts_with(&prefix));
    }

    pub(crate) fn scalarizer_name(&self) -> Option<String> {
        self.table.get("scalarizer")?.get("name")?.as_str().map(str::to_owned)
    }

    /// Forgets the parameters of a scalarizer that a higher layer replaced.
    pub(crate) fn drop_scalarizer_params(&mut self) {
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
        let path = join(path, name);
        if let Value::Table(table) = value {
            paths_of(&path, table, paths);
        }
        paths.push(path);
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("config layer")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let dict = FigmentValue::serialize(&self.table)?.into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, dict)]))
    }
}
