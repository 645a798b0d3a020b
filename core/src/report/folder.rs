//! `runs/<name>/`: config.toml (written first), metrics.jsonl, validation.jsonl, samples.jsonl, model/.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{error::Hint, metrics::JsonLines};

/// A run folder could not be made or written.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The folder already holds something.
    #[error("run folder {path} is not empty")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
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

impl Hint for FolderError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotEmpty { .. } => {
                Some("choose another with --run-dir, or leave it out: moa then numbers its runs".into())
            }
            Self::Io { .. } => Some("choose a folder that can be written with --run-dir".into()),
        }
    }
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
}

impl RunFolder {
    /// Makes the folder at `path`, or the first free `runs/<stem>-<number>`, and writes `config` as config.toml.
    ///
    /// # Errors
    /// `path` is not empty, or cannot be written.
    pub fn create(path: Option<&Path>, stem: &str, config: &str) -> Result<Self, FolderError> {
        let path = match path {
            Some(path) => {
                let occupied = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
                if occupied {
                    return Err(FolderError::NotEmpty { path: path.to_owned() });
                }
                fs::create_dir_all(path).map_err(|source| FolderError::Io {
                    path: path.to_owned(),
                    source,
                })?;
                path.to_owned()
            }
            None => Self::numbered(Path::new("runs"), stem)?,
        };
        let io = |source| FolderError::Io {
            path: path.clone(),
            source,
        };
        fs::write(path.join("config.toml"), config).map_err(io)?;
        let open = |name: &str| JsonLines::append(&path.join(name)).map_err(io);
        Ok(Self {
            metrics: open("metrics.jsonl")?,
            validation: open("validation.jsonl")?,
            samples: open("samples.jsonl")?,
            path,
        })
    }

    /// Takes the first number that no other run has, also when several start at once: making the folder is atomic.
    fn numbered(parent: &Path, stem: &str) -> Result<PathBuf, FolderError> {
        let io = |source| FolderError::Io {
            path: parent.to_owned(),
            source,
        };
        fs::create_dir_all(parent).map_err(io)?;
        let mut number = 1;
        loop {
            let path = parent.join(format!("{stem}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(path),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(io(e)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_in_it_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        let error = RunFolder::create(Some(dir.path()), "x", "a = 1\n").unwrap_err();
        assert!(error.to_string().contains("is not empty") && error.hint().unwrap().contains("--run-dir"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_config_is_there_before_anything_else_and_numbers_count_up() {
        let dir = tempfile::tempdir().unwrap();
        let first = RunFolder::numbered(dir.path(), "run").unwrap();
        let second = RunFolder::numbered(dir.path(), "run").unwrap();
        assert!(first.ends_with("run-1") && second.ends_with("run-2"));
        let mut run = RunFolder::create(Some(&first), "run", "a = 1\n").unwrap();
        assert_eq!(fs::read_to_string(first.join("config.toml")).unwrap(), "a = 1\n");
        run.metrics.write(&serde_json::json!({"step": 1})).unwrap();
        assert_eq!(
            fs::read_to_string(first.join("metrics.jsonl")).unwrap(),
            "{\"step\":1}\n"
        );
    }
}
