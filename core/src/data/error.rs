//! What can be wrong with data, and what to change.

use std::fmt;
use std::path::PathBuf;

use crate::error::Report;

/// Where in a file: a Parquet row, counted from 0 as other tools do, or a line of text, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Row of a Parquet file, from 0.
    Row(usize),
    /// Line of a JSON lines file, from 1.
    Line(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(row) => write!(f, "row {row} (from 0)"),
            Self::Line(line) => write!(f, "line {line}"),
        }
    }
}

/// A data file that cannot be used, with the place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file cannot be opened or read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Something is there already, and would be lost.
    #[error("{}: is there already, with other content", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A device, whose bytes may have no end.
    #[error("{}: found a device, expected a file", path.display())]
    Device {
        /// The file.
        path: PathBuf,
    },
    /// Neither the file's name nor its first bytes tell the format.
    #[error("{}: unknown data format: expected a name that ends in .parquet, .jsonl, .json or .csv, .gz behind it or not, or a folder of such files", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A folder without data files, or with more than one data set.
    #[error("{}: {found}, expected the data files of one split", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// A line of a CSV file with more or fewer cells than the first.
    #[error("{}: line {line}: {message}", path.display())]
    BadCsv {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The name says Parquet, the first bytes do not.
    #[error("{}: not a Parquet file: it starts with {found}, expected \"PAR1\"", path.display())]
    NotParquet {
        /// The file.
        path: PathBuf,
        /// The first bytes, as text.
        found: String,
    },
    /// The closing mark of a Parquet file is missing.
    #[error("{}: this Parquet file is cut short: its {bytes} bytes do not end with \"PAR1\"", path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// A Parquet file whose contents do not decode.
    #[error("{}: the Parquet data cannot be decoded{}: {message}", path.display(), at(row))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The row that failed, if known, from 0.
        row: Option<usize>,
        /// The decoder's message.
        message: String,
    },
    /// A compression that this build cannot read.
    #[error("{}: column `{column}` is compressed with {codec}, expected zstd, snappy, gzip or no compression", path.display())]
    Codec {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The compression.
        codec: String,
    },
    /// No rows.
    #[error("{}: the file has no rows", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line that is not a JSON object.
    #[error("{}: line {line}: not a JSON object: {message}", path.display())]
    BadLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The prompt column is not there.
    #[error("{}: {place}: no column `{column}`; found {}", path.display(), list(found))]
    NoPrompt {
        /// The file.
        path: PathBuf,
        /// The first row without it.
        place: Place,
        /// The column looked for.
        column: String,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// A column that the run needs is missing or null in a row.
    #[error("{}: {place}: no {what} (looked for {columns})", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The row.
        place: Place,
        /// `ground truth` or `response`.
        what: &'static str,
        /// Where it was looked for.
        columns: String,
    },
    /// A cell of another type than expected.
    #[error("{}: {place}: column `{column}` is {found}, expected {expected}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The row.
        place: Place,
        /// The column, with the path inside it.
        column: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
    /// Text prompts and conversations in one file to be written.
    #[error("{}: row {row} (from 0) has another kind of prompt than row 0: one column holds plain text or messages, not both", path.display())]
    MixedPrompts {
        /// The file.
        path: PathBuf,
        /// The first row that differs.
        row: usize,
    },
    /// A prompt that the chat template or the tokenizer refuses.
    #[error("row {row} (from 0): the prompt cannot be turned into tokens: {message}")]
    Encode {
        /// The row.
        row: usize,
        /// The template's or tokenizer's message.
        message: String,
    },
    /// A prompt with no tokens.
    #[error("row {row} (from 0): the prompt has no tokens")]
    NoTokens {
        /// The row.
        row: usize,
    },
    /// A prompt over the limit, where the run asked for an error.
    #[error("row {row} (from 0): the prompt has {tokens} tokens, expected at most {max}")]
    Overlong {
        /// The row.
        row: usize,
        /// Its length.
        tokens: usize,
        /// `data.max_prompt_tokens`.
        max: usize,
    },
    /// Nothing is left to train on.
    #[error("all {rows} prompts are longer than {max} tokens (the shortest has {shortest})")]
    AllDropped {
        /// Rows read.
        rows: usize,
        /// `data.max_prompt_tokens`.
        max: usize,
        /// Tokens of the shortest prompt.
        shortest: usize,
    },
    /// A file to convert that is not the data set's.
    #[error("{}: {place}: no field `{field}`, which a file of {data} has; found {}", path.display(), list(found))]
    NoField {
        /// The file.
        path: PathBuf,
        /// The row.
        place: Place,
        /// The field looked for.
        field: &'static str,
        /// The data set.
        data: &'static str,
        /// The fields that are there.
        found: Vec<String>,
        /// The data set that has such fields.
        other: Option<&'static str>,
    },
    /// A row to convert without an answer.
    #[error("{}: {place}: field `{field}` has no answer, expected {expected}", path.display())]
    NoAnswer {
        /// The file.
        path: PathBuf,
        /// The row.
        place: Place,
        /// The field that should hold it.
        field: &'static str,
        /// How it is written.
        expected: &'static str,
    },
    /// No row of the subject asked for.
    #[error("{}: no problem of the subject \"{subject}\"; found {}", path.display(), list(found))]
    NoSubject {
        /// The file.
        path: PathBuf,
        /// The subject.
        subject: String,
        /// The subjects that are there.
        found: Vec<String>,
    },
    /// Not enough rows to convert.
    #[error("{}: too few rows to split: found {rows}, expected at least {needed}", path.display())]
    TooFewRows {
        /// The file.
        path: PathBuf,
        /// Rows that are there.
        rows: usize,
        /// Rows that are needed.
        needed: usize,
    },
    /// Rows that do not encode as Parquet, or a tokenizer that cannot be trained.
    #[error("{what} failed: {message}")]
    Encoder {
        /// What was being made.
        what: &'static str,
        /// The library's message.
        message: String,
    },
}

/// ` at row N (from 0)`, or nothing.
fn at(row: &Option<usize>) -> String {
    row.map_or_else(String::new, |row| format!(" at row {row} (from 0)"))
}

/// Names in back quotes, or "no columns".
fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "no columns".to_owned();
    }
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Report for DataError {
    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "paths in a config are taken from the folder the command runs in".to_owned()
            }
            Self::Unreadable { .. } | Self::Unwritable { .. } | Self::Encode { .. } | Self::Encoder { .. } => {
                return None;
            }
            Self::UnknownFormat { path } if path.extension().is_some_and(|e| e == "arrow") => {
                "write it in another format, e.g. datasets: load_from_disk(…).to_parquet(path)".to_owned()
            }
            Self::Exists { .. } => "name another folder, or move the file away: nothing is overwritten".to_owned(),
            Self::Device { .. } => "name a file, or a pipe that ends".to_owned(),
            Self::UnknownFormat { .. } => "rename the file after its format".to_owned(),
            Self::Folder { .. } => {
                "name one file, or put the files of each split into a folder of their own".to_owned()
            }
            Self::BadCsv { .. } => {
                "cells stand between commas; one with a comma, a quote or a line break stands in quotes".to_owned()
            }
            Self::NotParquet { found, .. } if found.starts_with("\"vers") => {
                "it looks like a Git LFS pointer: fetch the file itself with `git lfs pull`".to_owned()
            }
            Self::NotParquet { found, .. } if found.starts_with("\"{") => {
                "it looks like JSON lines: rename it to .jsonl".to_owned()
            }
            Self::NotParquet { .. } | Self::CutShort { .. } | Self::Damaged { .. } => {
                "copy or download the file again".to_owned()
            }
            Self::Codec { .. } => {
                "write the file again with zstd or snappy, e.g. pandas: to_parquet(path, compression=\"zstd\")"
                    .to_owned()
            }
            Self::Empty { .. } => "the file needs at least one row".to_owned(),
            Self::BadLine { .. } => {
                "each line is one JSON object, without commas between lines and without [ ] around them".to_owned()
            }
            Self::NoPrompt { column, found, .. } => match nearest(column, found) {
                Some(name) => format!("did you mean data.prompt_key = \"{name}\"?"),
                None => "name the column with data.prompt_key".to_owned(),
            },
            Self::Missing { what, .. } if *what == "response" => {
                "supervised training needs a `response` text in every row".to_owned()
            }
            Self::Missing { .. } => "add the answer to compare with, or drop the row".to_owned(),
            Self::WrongType { .. } => "`moa-host data inspect FILE` lists the columns with their types".to_owned(),
            Self::MixedPrompts { .. } => "write all prompts as lists of messages".to_owned(),
            Self::NoField { other: Some(other), .. } => {
                format!("it looks like {other}: `moa-host data convert {other} …`")
            }
            Self::NoField { .. } => "use the hub's own file, .parquet or JSON lines".to_owned(),
            Self::NoAnswer { .. } => "remove the row, or download the file again".to_owned(),
            Self::NoSubject { .. } => "use one of the subjects found, or --subject all".to_owned(),
            Self::TooFewRows { .. } => "a split needs a row for each part".to_owned(),
            Self::NoTokens { .. } => "drop the row".to_owned(),
            Self::Overlong { .. } | Self::AllDropped { .. } => {
                "raise data.max_prompt_tokens, or set data.overlong = \"truncate\" to keep each prompt's end".to_owned()
            }
        };
        Some(text)
    }
}

/// The name closest to what was typed: within a third of its letters, or one that contains it.
fn nearest<'a>(typed: &str, names: &'a [String]) -> Option<&'a String> {
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(distance, name)| *distance <= typed.len() / 3 || name.contains(typed))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
