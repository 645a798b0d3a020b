//! Config files: strict TOML with line numbers, and `include`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::check::check;
use super::error::ConfigError;
use super::keys::join;
use super::layer::Layer;
use super::origin::Origin;

/// More files than this are a mistake, such as a tree of includes that doubles at each level.
const MOST_FILES: usize = 100;

/// Reads a file and what it includes, lowest layer first. The paths of `include` are relative to the file they
/// stand in; all other paths are left as they are.
pub(crate) fn read_file(path: &Path) -> Result<Vec<Layer>, ConfigError> {
    let mut layers = Vec::new();
    read_into(path, None, &mut Vec::new(), &mut layers, &mut 0)?;
    Ok(layers)
}

fn read_into(
    path: &Path,
    from: Option<&Path>,
    open: &mut Vec<PathBuf>,
    layers: &mut Vec<Layer>,
    files: &mut usize,
) -> Result<(), ConfigError> {
    let read_error = |source| ConfigError::Read {
        path: path.to_owned(),
        from: from.map(Path::to_owned),
        source,
    };
    let canonical = path.canonicalize().map_err(read_error)?;
    if open.contains(&canonical) {
        open.push(canonical);
        return Err(ConfigError::IncludeCycle {
            path: path.to_owned(),
            files: open.clone(),
        });
    }
    *files += 1;
    if *files > MOST_FILES {
        return Err(ConfigError::TooManyFiles {
            path: path.to_owned(),
            limit: MOST_FILES,
        });
    }
    let bytes = std::fs::read(path).map_err(read_error)?;
    let text = String::from_utf8(bytes).map_err(|error| ConfigError::NotText {
        path: path.to_owned(),
        byte: error.utf8_error().valid_up_to(),
    })?;
    let mut layer = parse(&text, &|line| Origin::File {
        path: path.to_owned(),
        line,
    })?;
    let Some(include) = layer.table.remove("include") else {
        layers.push(layer);
        return Ok(());
    };
    open.push(canonical);
    let folder = path.parent().unwrap_or(Path::new(""));
    for name in include.as_array().into_iter().flatten().filter_map(Value::as_str) {
        read_into(&folder.join(name), Some(path), open, layers, files)?;
    }
    open.pop();
    layers.push(layer);
    Ok(())
}

/// Parses and checks the text of one file; `origin` returns the origin of a line.
pub(crate) fn parse(text: &str, origin: &dyn Fn(usize) -> Origin) -> Result<Layer, ConfigError> {
    let syntax = |error: toml::de::Error| {
        let place = match error.span() {
            Some(span) => origin(line_of(text, span.start)).to_string(),
            None => origin(1).to_string(),
        };
        ConfigError::Syntax {
            place,
            report: error.to_string().trim_end().to_owned(),
        }
    };
    let table: Table = toml::from_str(text).map_err(syntax)?;
    let spans = DeTable::parse(text).map_err(syntax)?;
    let starts = line_starts(text);
    let mut lines = BTreeMap::new();
    collect_lines("", spans.get_ref(), &starts, &mut lines);
    let origin_of = |path: &str| origin(lines.get(path).copied().unwrap_or(1));
    check(&table, &origin_of)?;
    let origins = lines.iter().map(|(path, line)| (path.clone(), origin(*line))).collect();
    Ok(Layer { table, origins })
}

/// The line of each path, `objective[1].name` in lists.
fn collect_lines(path: &str, table: &DeTable<'_>, starts: &[usize], lines: &mut BTreeMap<String, usize>) {
    for (name, value) in table {
        let path = join(path, name.get_ref());
        lines.insert(path.clone(), line_at(starts, name.span().start));
        collect_value(&path, value, starts, lines);
    }
}

fn collect_value(path: &str, value: &Spanned<DeValue<'_>>, starts: &[usize], lines: &mut BTreeMap<String, usize>) {
    match value.get_ref() {
        DeValue::Table(table) => collect_lines(path, table, starts, lines),
        DeValue::Array(list) => {
            for (index, entry) in list.iter().enumerate() {
                let path = format!("{path}[{index}]");
                lines.insert(path.clone(), line_at(starts, entry.span().start));
                collect_value(&path, entry, starts, lines);
            }
        }
        _ => {}
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect()
}

fn line_at(starts: &[usize], byte: usize) -> usize {
    starts.partition_point(|start| *start <= byte)
}

fn line_of(text: &str, byte: usize) -> usize {
    line_at(&line_starts(text), byte)
}
