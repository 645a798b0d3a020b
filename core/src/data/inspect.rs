//! What is in a data file: for `moa-host data inspect`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::columns::Record;
use super::dataset::{Encode, encode_rows};
use super::error::DataError;
use super::kind::Kind;
use super::read::read_table;
use super::row::{Keys, PromptText};

/// One column of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, found from the values: `text`, `int`, `float`, `bool`, `list<…>`, `struct<…>`, `binary`,
    /// `mixed`, `null`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Rows where it is null or not there.
    pub missing: usize,
}

/// The spread of some lengths.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Smallest.
    pub min: usize,
    /// Middle one, the lower of two.
    pub median: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// 95th percentile, nearest rank.
    pub p95: usize,
    /// Largest.
    pub max: usize,
}

impl Summary {
    /// The summary of `lengths`; none if there are none.
    #[must_use]
    pub fn of(mut lengths: Vec<usize>) -> Option<Self> {
        lengths.sort_unstable();
        let (&min, &max) = (lengths.first()?, lengths.last()?);
        let n = lengths.len();
        let rank = |percent: usize| lengths[(n * percent).div_ceil(100).max(1) - 1];
        Some(Self {
            min,
            median: rank(50),
            mean: lengths.iter().sum::<usize>() as f64 / n as f64,
            p95: rank(95),
            max,
        })
    }
}

/// What [`inspect()`] finds in a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// The file.
    pub file: String,
    /// `Parquet`, `JSON lines`, `JSON` or `CSV`.
    pub format: String,
    /// Number of rows.
    pub rows: usize,
    /// In the file's order.
    pub columns: Vec<Column>,
    /// Rows with a ground truth.
    pub with_ground_truth: usize,
    /// Rows of each data source.
    pub data_sources: BTreeMap<String, usize>,
    /// Lengths by what is measured, such as `prompt, characters`.
    pub lengths: Vec<(String, Summary)>,
    /// The first prompt: after the chat template if an encoder was given, else as it is in the file.
    pub sample: String,
}

/// Looks into a data file. With an encoder, token counts are included and the sample is rendered.
///
/// # Errors
/// As [`read_rows`](super::read_rows), or the encoder refuses a prompt.
pub fn inspect(path: &Path, keys: &Keys, encode: Option<&mut Encode<'_>>) -> Result<Inspection, DataError> {
    let table = read_table(path)?;
    let format = table.format.to_owned();
    let columns = columns(&table.rows);
    let rows = table.rows(keys)?;

    let mut lengths = Vec::new();
    let mut add = |name: &str, values: Vec<usize>| {
        if let Some(summary) = Summary::of(values) {
            lengths.push((name.to_owned(), summary));
        }
    };
    add(
        "prompt, characters",
        rows.iter().map(|row| row.prompt.characters()).collect(),
    );
    let mut sample = rows.first().map(|row| plain(&row.prompt)).unwrap_or_default();
    let responses = rows.iter().filter_map(|row| row.response.as_ref());
    add(
        "response, characters",
        responses.map(|text| text.chars().count()).collect(),
    );
    let mut data_sources = BTreeMap::new();
    for row in &rows {
        *data_sources.entry(row.data_source.clone()).or_insert(0) += 1;
    }
    let (count, with_ground_truth) = (
        rows.len(),
        rows.iter().filter(|row| !row.ground_truth.is_empty()).count(),
    );
    if let Some(encode) = encode {
        let mut tokens = Vec::with_capacity(rows.len());
        encode_rows(rows, encode, &mut |row, _, encoded| {
            if row.index == 0 {
                sample = encoded.text;
            }
            tokens.push(encoded.tokens.len());
            Ok(())
        })?;
        if let Some(summary) = Summary::of(tokens) {
            lengths.insert(1, ("prompt, tokens".to_owned(), summary));
        }
    }
    Ok(Inspection {
        file: path.display().to_string(),
        format,
        rows: count,
        columns,
        with_ground_truth,
        data_sources,
        lengths,
        sample,
    })
}

/// Names, types and missing values of all columns.
fn columns(rows: &[Record]) -> Vec<Column> {
    let mut found: Vec<(String, Kind, usize)> = Vec::new();
    let mut index: BTreeMap<String, usize> = BTreeMap::new();
    let mut add = |name: &str, kind: Kind| {
        let at = *index.entry(name.to_owned()).or_insert_with(|| {
            found.push((name.to_owned(), Kind::Null, 0));
            found.len() - 1
        });
        let (_, known, present) = &mut found[at];
        *present += usize::from(kind != Kind::Null);
        *known = std::mem::replace(known, Kind::Null).join(kind);
    };
    for row in rows {
        row.columns.iter().for_each(|(name, value)| add(name, Kind::of(value)));
        row.binary.iter().for_each(|name| add(name, Kind::Binary));
    }
    let column = |(name, kind, present): (String, Kind, usize)| Column {
        name,
        kind: kind.to_string(),
        missing: rows.len() - present,
    };
    found.into_iter().map(column).collect()
}

/// A prompt without a chat template.
fn plain(prompt: &PromptText) -> String {
    match prompt {
        PromptText::Text(text) => text.clone(),
        PromptText::Messages(messages) => {
            let turns: Vec<_> = messages.iter().map(|m| format!("{}: {}", m.role, m.content)).collect();
            turns.join("\n")
        }
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  ({}, {} rows)\n", self.file, self.format, self.rows)?;
        let width = |names: &mut dyn Iterator<Item = &str>| names.map(|name| name.chars().count()).max().unwrap_or(0);

        let wide = width(&mut self.columns.iter().map(|c| c.name.as_str())).max("column".len());
        writeln!(f, "{:wide$}  missing  type", "column")?;
        for Column { name, kind, missing } in &self.columns {
            writeln!(f, "{name:wide$}  {missing:>7}  {kind}")?;
        }

        let wide = width(&mut self.lengths.iter().map(|(name, _)| name.as_str())).max("length".len());
        writeln!(
            f,
            "\n{:wide$}  {:>7}  {:>7}  {:>9}  {:>7}  {:>7}",
            "length", "min", "median", "mean", "p95", "max"
        )?;
        for (name, s) in &self.lengths {
            writeln!(
                f,
                "{name:wide$}  {:>7}  {:>7}  {:>9.1}  {:>7}  {:>7}",
                s.min, s.median, s.mean, s.p95, s.max
            )?;
        }

        writeln!(
            f,
            "\nrows with ground truth: {} of {}",
            self.with_ground_truth, self.rows
        )?;
        for (source, rows) in &self.data_sources {
            let source = if source.is_empty() { "(none)" } else { source };
            writeln!(f, "data source {source}: {rows} rows")?;
        }
        write!(f, "\nfirst prompt:\n{}", self.sample)
    }
}
