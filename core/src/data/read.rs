//! Data files: the format is told by the name, or by the first bytes; what is compressed with gzip, by its first bytes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::columns::{Record, Table, Visit, row};
use super::error::DataError;
use super::row::{Keys, Row};
use super::{csv, jsonl, parquet_read};

/// Endings of data files.
const ENDINGS: [&str; 5] = ["parquet", "jsonl", "ndjson", "json", "csv"];
/// Words by which the files of a split begin.
const SPLITS: [&str; 7] = ["train", "test", "validation", "valid", "val", "dev", "eval"];

/// Reads all rows of a `.parquet` file (the papers' layout), of JSON (`.jsonl`, `.ndjson`, `.json`: one object a line, or one
/// array) or of a `.csv` file, compressed with gzip or not, or of a folder of such files.
///
/// The column `keys.prompt_key` is text or a list of `{role, content}`. The ground truth is where `keys.ground_truth_key`
/// says, or `reward_model.ground_truth`, `ground_truth`, `answer` or `solution`. `data_source` and `response` are optional.
/// Everything else goes to [`Row::extra`], but for columns of bytes.
///
/// # Errors
/// The file cannot be read, is of no known format, damaged, cut short or without rows; there is no prompt column; a
/// cell has the wrong type; a ground truth or response that `keys` requires is missing.
pub fn read_rows(path: &Path, keys: &Keys) -> Result<Vec<Row>, DataError> {
    let mut rows = Vec::new();
    walk(path, &mut |path, record| {
        rows.push(row(path, rows.len(), record, keys)?);
        Ok(())
    })?;
    Ok(rows)
}

/// Reads JSON lines that are in memory, such as standard input; `name` stands for the path in errors.
///
/// # Errors
/// As [`read_rows`].
pub fn read_jsonl_bytes(name: &Path, bytes: &[u8], keys: &Keys) -> Result<Vec<Row>, DataError> {
    let mut rows = Vec::new();
    jsonl::read_lines(name, &mut &bytes[..], &mut |path, record| {
        rows.push(row(path, rows.len(), record, keys)?);
        Ok(())
    })?;
    Ok(rows)
}

/// The columns of every row of a file, as JSON: what inspecting and converting start from.
pub(super) fn read_table(path: &Path) -> Result<Table, DataError> {
    let mut rows: Vec<Record> = Vec::new();
    let format = walk(path, &mut |_, record| {
        rows.push(record);
        Ok(())
    })?;
    Ok(Table {
        path: path.to_owned(),
        format,
        rows,
    })
}

/// Shows every record of a file or a folder to `visit`. Returns the format's name.
fn walk(path: &Path, visit: &mut Visit<'_>) -> Result<&'static str, DataError> {
    let unreadable = |source| DataError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let kind = fs::metadata(path).map_err(unreadable)?.file_type();
    if kind.is_dir() {
        let mut format = "";
        for shard in shards(path)? {
            format = walk_file(&shard, visit)?;
        }
        return Ok(format);
    }
    if kind.is_char_device() || kind.is_block_device() {
        return Err(DataError::Device { path: path.to_owned() });
    }
    walk_file(path, visit)
}

fn walk_file(path: &Path, visit: &mut Visit<'_>) -> Result<&'static str, DataError> {
    let unreadable = |source| DataError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut magic = Vec::with_capacity(4);
    let mut file = File::open(path).map_err(unreadable)?;
    (&file).take(4).read_to_end(&mut magic).map_err(unreadable)?;
    let (ending, _) = ending(path);
    if magic == parquet_read::MAGIC || (ending == "parquet" && !magic.starts_with(b"\x1f\x8b")) {
        return parquet_read::read_file(path, file, visit);
    }
    file.rewind().map_err(unreadable)?;
    let mut source: Box<dyn BufRead> = if magic.starts_with(b"\x1f\x8b") {
        Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
    } else {
        Box::new(BufReader::new(file))
    };
    match ending.as_str() {
        "jsonl" | "ndjson" | "json" => jsonl::read_lines(path, &mut source, visit),
        "csv" => {
            let mut bytes = Vec::new();
            source.read_to_end(&mut bytes).map_err(unreadable)?;
            csv::read(path, &bytes, visit)
        }
        _ => Err(DataError::UnknownFormat { path: path.to_owned() }),
    }
}

/// The ending of a name in small letters, without `.gz` behind it, and the name before it.
fn ending(path: &Path) -> (String, String) {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((stem, ending)) => (ending.to_owned(), stem.to_owned()),
        None => (String::new(), name.to_owned()),
    }
}

/// The data files of a folder in the order of their names; those of its folder `data` if it has none of its own.
fn shards(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let data_files = |folder: &Path| -> Result<Vec<PathBuf>, DataError> {
        let unreadable = |source| DataError::Unreadable {
            path: folder.to_owned(),
            source,
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let hidden = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let (ending, stem) = ending(&path);
            // what `datasets` writes beside the data
            let about =
                ending == "json" && ["dataset_info", "dataset_dict", "dataset_infos", "state"].contains(&&*stem);
            if path.is_file() && !hidden && !about && ENDINGS.contains(&&*ending) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    };
    let mut files = data_files(folder)?;
    let inner = folder.join("data");
    if files.is_empty() && inner.is_dir() {
        files = data_files(&inner)?;
    }
    let wrong = |found: String| DataError::Folder {
        path: folder.to_owned(),
        found,
    };
    let mut kinds: Vec<(String, &str)> = Vec::new();
    for file in &files {
        let (ending, stem) = ending(file);
        let word = |split: &&&str| {
            stem.strip_prefix(**split)
                .is_some_and(|rest| !rest.starts_with(char::is_alphabetic))
        };
        kinds.push((ending, SPLITS.iter().find(word).copied().unwrap_or_default()));
    }
    kinds.sort();
    kinds.dedup();
    match (kinds.first(), kinds.last()) {
        (Some((ending, split)), Some((other_ending, other_split))) if kinds.len() > 1 => {
            let both = |a: &str, b: &str| format!("the folder has files of \"{a}\" and of \"{b}\"");
            Err(wrong(if ending == other_ending {
                both(split, other_split)
            } else {
                both(ending, other_ending)
            }))
        }
        (None, _) => Err(wrong(format!("no file ends in .{}", ENDINGS.join(", .")))),
        _ => Ok(files),
    }
}
