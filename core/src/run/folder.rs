//! `runs/<name>/`: config.toml (written first), files of JSON lines that grow with the run, checkpoints/, model/.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{FolderError, RunLock, ValidationRecord, checkpoint::Checkpoints};
use crate::{
    config::Change,
    metrics::JsonLines,
    model::Model,
    staged::{sync_folder, write_file},
};

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
    /// Held as long as the folder is open.
    _lock: RunLock,
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
        let lock = RunLock::take(&path)?;
        write_file(&path.join("config.toml"), config.as_bytes())?;
        let folder = Self::open(&path, lock, Checkpoints::new(&path, keep, None))?;
        sync_folder(&path)?;
        path.canonicalize()
            .ok()
            .as_deref()
            .and_then(Path::parent)
            .map_or(Ok(()), sync_folder)?;
        Ok(folder)
    }

    /// Opens the folder of a run that was stopped before its first checkpoint, to begin anew: all lines are dropped.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn restart(path: &Path, lock: RunLock, config: &str, keep: usize) -> Result<Self, FolderError> {
        let folder = Self::open(path, lock, Checkpoints::new(path, keep, None))?;
        let files = [
            &folder.metrics,
            &folder.validation,
            &folder.samples,
            &folder.validation_responses,
        ];
        for lines in files {
            lines.truncate(0).map_err(io(path))?;
        }
        write_file(&path.join("config.toml"), config.as_bytes())?;
        Ok(folder)
    }

    /// Opens the folder of a run that resumes after `step` steps: drops the lines beyond what `written` counts,
    /// and writes `config` as config.toml if it is given.
    ///
    /// # Errors
    /// Another process has the folder, a file has fewer lines than it had, or the folder cannot be written.
    pub fn resume(
        path: &Path,
        lock: RunLock,
        written: &Written,
        step: u64,
        config: Option<&str>,
        keep: usize,
    ) -> Result<Self, FolderError> {
        let folder = Self::open(path, lock, Checkpoints::new(path, keep, Some(step)))?;
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
            write_file(&path.join("config.toml"), config.as_bytes())?;
        }
        Ok(folder)
    }

    fn open(path: &Path, lock: RunLock, checkpoints: Checkpoints) -> Result<Self, FolderError> {
        let open = |name: &str| JsonLines::append(&path.join(name)).map_err(io(path));
        Ok(Self {
            metrics: open("metrics.jsonl")?,
            _lock: lock,
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

    /// Where the trained model goes. What is there and is no model as moa wrote it (damaged, changed, or of an older moa)
    /// is moved to the first free `model-before-<number>`: nothing of a user's is removed.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn make_place_for_model(&self) -> Result<PathBuf, FolderError> {
        let place = model_of(&self.path);
        if Model::check_place(&place).is_err() {
            let free = (1..).map(|number| self.path.join(format!("model-before-{number}")));
            let aside = free
                .into_iter()
                .find(|path| !path.exists())
                .unwrap_or_else(|| place.clone());
            fs::rename(&place, aside).map_err(io(&place))?;
        }
        Ok(place)
    }

    /// Appends what a resumed run does otherwise from here on to changes.jsonl, a line a key.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_changes(&self, step: u64, changes: &[Change]) -> Result<(), FolderError> {
        if changes.is_empty() {
            return Ok(());
        }
        let path = self.path.join("changes.jsonl");
        let mut lines = JsonLines::append(&path).map_err(io(&path))?;
        for Change { key, was, now } in changes {
            let line = serde_json::json!({"after_step": step, "key": key, "was": was, "now": now});
            lines.write(&line).map_err(io(&path))?;
        }
        lines.sync().map_err(io(&path))
    }

    /// Writes the numbers of the test rows to test.json.
    ///
    /// # Errors
    /// The file cannot be written; there is the one of before then, or none.
    pub fn write_test(&self, record: &ValidationRecord) -> Result<(), FolderError> {
        let path = self.path.join("test.json");
        let text = serde_json::to_string(record).map_err(|e| io(&path)(e.into()))?;
        Ok(write_file(&path, (text + "\n").as_bytes())?)
    }

    /// Where the native call under way is written down, for a crash.
    #[must_use]
    pub fn native_call(&self) -> PathBuf {
        native_call_of(&self.path)
    }

    /// Where the scalarizer's trace goes, if it is recorded.
    #[must_use]
    pub fn trace(&self) -> PathBuf {
        self.path.join("trace.jsonl")
    }
}

/// What is missing of the end of a run: its model, whole, and the numbers of the test rows, where it has any.
///
/// # Errors
/// Something is missing; the text says what.
pub fn check_end(run: &Path, has_test: bool) -> Result<(), String> {
    Model::check_saved(&model_of(run)).map_err(|problem| format!("model/: {problem}"))?;
    if has_test {
        let text = fs::read_to_string(run.join("test.json")).map_err(|error| format!("test.json: {error}"))?;
        serde_json::from_str::<ValidationRecord>(&text).map_err(|error| format!("test.json: {error}"))?;
    }
    Ok(())
}

/// Where the run folder `run` names the native call under way.
#[must_use]
pub fn native_call_of(run: &Path) -> PathBuf {
    run.join(".native-call")
}

fn model_of(run: &Path) -> PathBuf {
    run.join("model")
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
    use crate::error::Report;

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
