//! `runs/<name>/`: config.toml (written first), files of JSON lines that grow with the run, checkpoints/, model/.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{ValidationRecord, checkpoint::Checkpoints};
use crate::{
    error::{Fault, Report},
    metrics::JsonLines,
};

/// A run folder could not be made or written.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The folder already holds something.
    #[error("run folder {path} is not empty")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Another process writes to it.
    #[error("run folder {path} is in use by another process")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file has lost lines that the checkpoint had seen, or holds something else.
    #[error("{path}: {problem}")]
    Lines {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        problem: String,
    },
    /// The system refused.
    #[error("run folder {path}: {source}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Report for FolderError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotEmpty { .. } => {
                Some("pick another with --run-dir, or leave the option out to get a numbered folder".into())
            }
            Self::InUse { .. } => Some("wait until that run has ended, or stop it".into()),
            Self::Lines { .. } => {
                Some("restore the file from a copy of the run folder; the run cannot be resumed without it".into())
            }
            Self::Io { .. } => Some("pick a writable folder with --run-dir".into()),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::NotEmpty { .. } | Self::InUse { .. } | Self::Lines { .. } => Fault::Usage,
            Self::Io { .. } => Fault::Run,
        }
    }
}

/// How much of each file with lines belongs to the steps that are done, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    metrics: u64,
    validation: u64,
    samples: u64,
    /// 0 in checkpoints of runs that had no such file.
    #[serde(default)]
    validation_responses: u64,
}

/// An open run folder. Nothing is created before [`RunFolder::create`], which is called when everything the run needs
/// has been loaded and checked.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// One line a step.
    pub metrics: JsonLines,
    /// One line a validation, step 0 first.
    pub validation: JsonLines,
    /// Some completions of some steps, with their scores.
    pub samples: JsonLines,
    /// One line a validation and prompt.
    pub validation_responses: JsonLines,
    /// The checkpoints that a stopped run resumes from.
    pub checkpoints: Checkpoints,
}

impl RunFolder {
    /// Makes the folder at `path`, or the first free `runs/<stem>-<number>`, and writes `config` as config.toml. The
    /// newest `keep` checkpoints will stay.
    ///
    /// # Errors
    /// `path` is not empty, or cannot be written.
    pub fn create(path: Option<&Path>, stem: &str, config: &str, keep: usize) -> Result<Self, FolderError> {
        let path = match path {
            Some(path) => {
                let occupied = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
                if occupied {
                    return Err(FolderError::NotEmpty { path: path.to_owned() });
                }
                fs::create_dir_all(path).map_err(io(path))?;
                path.to_owned()
            }
            None => Self::numbered(Path::new("runs"), stem)?,
        };
        fs::write(path.join("config.toml"), config).map_err(io(&path))?;
        Self::open(&path, Checkpoints::new(&path, keep, None))
    }

    /// Opens the folder of a run that resumes after `step` steps: drops the lines beyond what `written` counts,
    /// and writes `config` as config.toml if it is given.
    ///
    /// # Errors
    /// Another process has the folder, a file has fewer lines than it had, or the folder cannot be written.
    pub fn resume(
        path: &Path,
        written: &Written,
        step: u64,
        config: Option<&str>,
        keep: usize,
    ) -> Result<Self, FolderError> {
        let folder = Self::open(path, Checkpoints::new(path, keep, Some(step)))?;
        let files = [
            (&folder.metrics, "metrics.jsonl", written.metrics),
            (&folder.validation, "validation.jsonl", written.validation),
            (&folder.samples, "samples.jsonl", written.samples),
            (
                &folder.validation_responses,
                "validation_responses.jsonl",
                written.validation_responses,
            ),
        ];
        for (lines, name, expected) in &files {
            let found = lines.bytes().map_err(io(path))?;
            if found < *expected {
                return Err(FolderError::Lines {
                    path: path.join(name),
                    problem: format!(
                        "found {found} bytes, expected at least {expected}, as recorded in the checkpoint"
                    ),
                });
            }
        }
        for (lines, _, expected) in &files {
            lines.truncate(*expected).map_err(io(path))?;
        }
        if let Some(config) = config {
            // Renamed into place: a kill leaves the old one or the new one.
            let new = path.join(".config.toml.new");
            fs::write(&new, config)
                .and_then(|()| fs::rename(&new, path.join("config.toml")))
                .map_err(io(path))?;
        }
        Ok(folder)
    }

    fn open(path: &Path, checkpoints: Checkpoints) -> Result<Self, FolderError> {
        let open = |name: &str| JsonLines::append(&path.join(name)).map_err(io(path));
        let metrics = open("metrics.jsonl")?;
        if !metrics.claim().map_err(io(path))? {
            return Err(FolderError::InUse { path: path.to_owned() });
        }
        Ok(Self {
            metrics,
            validation: open("validation.jsonl")?,
            samples: open("samples.jsonl")?,
            validation_responses: open("validation_responses.jsonl")?,
            checkpoints,
            path: path.to_owned(),
        })
    }

    /// How much of each file is written.
    ///
    /// # Errors
    /// The system does not say.
    pub fn written(&self) -> Result<Written, FolderError> {
        let bytes = |lines: &JsonLines| lines.bytes().map_err(io(&self.path));
        Ok(Written {
            metrics: bytes(&self.metrics)?,
            validation: bytes(&self.validation)?,
            samples: bytes(&self.samples)?,
            validation_responses: bytes(&self.validation_responses)?,
        })
    }

    /// Forces all lines to the disk, before a checkpoint that counts on them.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub fn sync(&self) -> Result<(), FolderError> {
        let files = [
            &self.metrics,
            &self.validation,
            &self.samples,
            &self.validation_responses,
        ];
        files.iter().try_for_each(|lines| lines.sync()).map_err(io(&self.path))
    }

    /// The first and the last validation so far; none in a run that has not begun.
    ///
    /// # Errors
    /// validation.jsonl cannot be read.
    pub fn validations(&self) -> Result<Option<(ValidationRecord, ValidationRecord)>, FolderError> {
        let path = self.path.join("validation.jsonl");
        let text = fs::read_to_string(&path).map_err(io(&path))?;
        let read = |line: &str| {
            serde_json::from_str(line).map_err(|error| FolderError::Lines {
                path: path.clone(),
                problem: format!("found a line that is not a validation record: {error}"),
            })
        };
        let (first, last) = (text.lines().next(), text.lines().next_back());
        first
            .zip(last)
            .map(|(first, last)| Ok((read(first)?, read(last)?)))
            .transpose()
    }

    /// Takes the first number that no other run has, also when several start at once: making the folder is atomic.
    fn numbered(parent: &Path, stem: &str) -> Result<PathBuf, FolderError> {
        fs::create_dir_all(parent).map_err(io(parent))?;
        let mut number = 1;
        loop {
            let path = parent.join(format!("{stem}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(path),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(io(parent)(e)),
            }
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the trained model goes.
    #[must_use]
    pub fn model(&self) -> PathBuf {
        self.path.join("model")
    }

    /// Where the scalarizer's trace goes, if it is recorded.
    #[must_use]
    pub fn trace(&self) -> PathBuf {
        self.path.join("trace.jsonl")
    }
}

/// What the system said, with the folder or file.
fn io(path: &Path) -> impl Fn(io::Error) -> FolderError + '_ {
    move |source| FolderError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_in_it_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        let error = RunFolder::create(Some(dir.path()), "x", "a = 1\n", 2).unwrap_err();
        assert!(error.to_string().contains("is not empty") && error.hint().unwrap().contains("--run-dir"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_config_is_there_before_anything_else_and_numbers_count_up() {
        let dir = tempfile::tempdir().unwrap();
        let first = RunFolder::numbered(dir.path(), "run").unwrap();
        let second = RunFolder::numbered(dir.path(), "run").unwrap();
        assert!(first.ends_with("run-1") && second.ends_with("run-2"));
        let mut run = RunFolder::create(Some(&first), "run", "a = 1\n", 2).unwrap();
        assert_eq!(fs::read_to_string(first.join("config.toml")).unwrap(), "a = 1\n");
        run.metrics.write(&serde_json::json!({"step": 1})).unwrap();
        assert_eq!(
            fs::read_to_string(first.join("metrics.jsonl")).unwrap(),
            "{\"step\":1}\n"
        );
    }
}
