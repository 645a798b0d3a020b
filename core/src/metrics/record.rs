//! One line of numbers, and the file it goes to.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

/// Named numbers of one step, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    entries: Vec<(String, f64)>,
}

impl Record {
    /// Adds a number. The name must be one of [`super::DEFINITIONS`]; tests/train_gradients.rs looks at the lines of runs.
    pub fn add(&mut self, name: impl Into<String>, value: f64) {
        self.entries.push((name.into(), value));
    }

    /// Adds one number for each objective under `prefix/<objective>`.
    pub fn add_each(&mut self, prefix: &str, names: &[String], values: impl IntoIterator<Item = f64>) {
        for (name, value) in names.iter().zip(values) {
            self.add(format!("{prefix}/{name}"), value);
        }
    }

    /// The number called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.entries.iter().find(|(n, _)| n == name).map(|&(_, v)| v)
    }

    /// All numbers.
    #[must_use]
    pub fn entries(&self) -> &[(String, f64)] {
        &self.entries
    }

    /// A JSON object; a number that is not finite becomes null, since JSON has none.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        self.entries
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(*value)))
            .collect()
    }
}

/// Sums of named numbers: parts of a mini-batch add up to it, mini-batches are averaged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    entries: Vec<(&'static str, f64)>,
}

impl Numbers {
    /// Adds `value` to the number called `name`, which must be one of [`super::DEFINITIONS`].
    pub fn add(&mut self, name: &'static str, value: f64) {
        match self.entries.iter_mut().find(|(n, _)| *n == name) {
            Some((_, sum)) => *sum += value,
            None => self.entries.push((name, value)),
        }
    }

    /// Adds each number of `other`.
    pub fn add_all(&mut self, other: &Self) {
        other.entries.iter().for_each(|&(name, value)| self.add(name, value));
    }

    /// The number called `name`; 0 where none was added.
    #[must_use]
    pub fn get(&self, name: &str) -> f64 {
        self.entries.iter().find(|(n, _)| *n == name).map_or(0.0, |&(_, v)| v)
    }

    /// The numbers divided by `n`, in the order in which they were first added.
    pub fn divided_by(&self, n: f64) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        self.entries.iter().map(move |&(name, sum)| (name, sum / n))
    }
}

/// A JSON-lines file, flushed after each line, so that a killed run loses nothing.
#[derive(Debug)]
pub struct JsonLines {
    file: File,
    path: PathBuf,
}

impl JsonLines {
    /// Opens `path` for appending, making it if it is not there.
    ///
    /// # Errors
    /// The file cannot be made or written; the path is in the text.
    pub fn append(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Bytes in the file.
    ///
    /// # Errors
    /// The system does not say.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Truncates the file to its first `bytes` bytes.
    ///
    /// # Errors
    /// The system refuses.
    pub fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    /// Forces what was written to the disk.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Whether the file is still the one at its path: lines that are written to a file without a name are lost.
    fn check_place(&self) -> io::Result<()> {
        let file = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (file.dev(), file.ino()) => Ok(()),
            _ => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "{}: removed, renamed or replaced while it was being written",
                    self.path.display()
                ),
            )),
        }
    }

    /// Writes one line and flushes it.
    ///
    /// # Errors
    /// The disk is full or the file is gone; the path is in the text.
    pub fn write(&mut self, line: &impl serde::Serialize) -> io::Result<()> {
        self.write_all(std::slice::from_ref(line))
    }

    /// Writes several lines at once.
    ///
    /// # Errors
    /// As [`JsonLines::write`].
    pub fn write_all(&mut self, lines: &[impl serde::Serialize]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        self.check_place()?;
        // One write per line: a reader that follows the file never sees half of one.
        self.file
            .write_all(&text)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.path.display())))
    }
}
