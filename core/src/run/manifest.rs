//! run.json: with what a run was made. The one file of a run folder that holds times and facts of the machine; each
//! process that works on the run adds what it is, and later how it ended.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{FolderError, checkpoint::Checksum};
use crate::reward::About;

/// The number goes up when the layout of run.json changes.
const FORMAT: u32 = 1;

/// What stays the same through a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// Objectives in the order of the scores' columns.
    pub objectives: Vec<About>,
    /// The model as it was loaded: family, size.
    pub model: String,
    /// XXH64 of its parameters and tokenizer.
    pub model_hash: String,
    /// Training prompts.
    pub training: Prompts,
    /// Validation prompts.
    pub validation: Prompts,
    /// Test prompts, where there are any.
    pub test: Option<Prompts>,
}

/// A set of prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompts {
    /// How many.
    pub prompts: usize,
    /// Rows left out because their prompt is too long.
    pub dropped: usize,
    /// XXH64 of all tokens and texts.
    pub hash: String,
}

/// A library or component that a process loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginFile {
    /// The file.
    pub path: PathBuf,
    /// Its scalarizers and rewards.
    pub exports: Vec<String>,
    /// Version of the SDK that a library was built with.
    pub sdk: Option<String>,
    /// XXH64 of the file.
    pub hash: String,
}

impl PluginFile {
    /// The file at `path`, as it is now.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(path: &Path, exports: Vec<String>, sdk: Option<String>) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            exports,
            sdk,
            hash: hash_of(path)?,
        })
    }
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// All steps are done.
    Finished,
    /// The user stopped it.
    Interrupted,
    /// An error stopped it: its text.
    Failed(String),
}

/// One process that worked on the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Version of moa.
    pub moa: String,
    /// Commit that it was built from, `+changes` if the sources differed from it; none if the build did not know.
    pub commit: Option<String>,
    /// XXH64 of the program.
    pub program_hash: Option<String>,
    /// The command line.
    pub command: Vec<String>,
    /// The folder it was typed in.
    pub folder: Option<PathBuf>,
    /// Operating system and architecture.
    pub system: String,
    /// Name of the processor, where the system says it.
    pub processor: Option<String>,
    /// What of the processor decides the last bits of the numbers.
    pub instructions: Vec<String>,
    /// Cores that the process may use.
    pub cores: usize,
    /// Threads that compute.
    pub threads: usize,
    /// Plugins.
    pub plugins: Vec<PluginFile>,
    /// Steps that were done before.
    pub after_step: u64,
    /// Steps of the run.
    pub steps: u64,
    /// UTC.
    pub started: String,
    /// UTC; none while it works, and for good if it was killed.
    pub ended: Option<String>,
    /// How it ended; as `ended`.
    pub end: Option<Ended>,
}

impl Process {
    /// This process.
    #[must_use]
    pub fn this(plugins: Vec<PluginFile>, after_step: u64, steps: u64, threads: usize) -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self {
            moa: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("MOA_COMMIT").map(str::to_owned),
            program_hash: std::env::current_exe().ok().and_then(|path| hash_of(&path).ok()),
            command: std::env::args_os().map(text).collect(),
            folder: std::env::current_dir().ok(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: processor(),
            instructions: instructions(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads,
            plugins,
            after_step,
            steps,
            started: now(),
            ended: None,
            end: None,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    format: u32,
    #[serde(flatten)]
    began: Began,
    processes: Vec<Process>,
}

/// run.json.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    content: Content,
}

impl Manifest {
    /// Adds `process` to the run.json of the run folder `run`, and makes the file if it is not there.
    ///
    /// # Errors
    /// The file cannot be written, or holds something else.
    pub fn begin(run: &Path, began: Began, process: Process) -> Result<Self, FolderError> {
        let mut manifest = Self::read(run)?.unwrap_or_else(|| Self {
            path: run.join("run.json"),
            content: Content {
                format: FORMAT,
                began: began.clone(),
                processes: Vec::new(),
            },
        });
        manifest.content.began = began;
        manifest.content.processes.push(process);
        manifest.write()?;
        Ok(manifest)
    }

    /// The run.json of the run folder `run`; none in a folder that has none.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(run: &Path) -> Result<Option<Self>, FolderError> {
        let path = run.join("run.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FolderError::Io { path, source }),
        };
        let content: Content = serde_json::from_str(&text).map_err(|error| FolderError::Lines {
            path: path.clone(),
            problem: format!("found {error}, expected the run.json of a run"),
        })?;
        if content.format != FORMAT {
            return Err(FolderError::Lines {
                path,
                problem: format!("found format {}, expected {FORMAT}", content.format),
            });
        }
        Ok(Some(Self { path, content }))
    }

    /// What stays the same through the run.
    #[must_use]
    pub fn began(&self) -> &Began {
        &self.content.began
    }

    /// The processes that worked on the run, in order.
    #[must_use]
    pub fn processes(&self) -> &[Process] {
        &self.content.processes
    }

    /// Writes down how this process ended.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end(&mut self, end: Ended) -> Result<(), FolderError> {
        if let Some(process) = self.content.processes.last_mut() {
            process.ended = Some(now());
            process.end = Some(end);
        }
        self.write()
    }

    /// Renamed into place: a kill leaves the old file or the new one.
    fn write(&self) -> Result<(), FolderError> {
        let io = |source| FolderError::Io {
            path: self.path.clone(),
            source,
        };
        let text = serde_json::to_string_pretty(&self.content).map_err(|error| io(error.into()))?;
        let new = self.path.with_file_name(".run.json.new");
        fs::write(&new, text + "\n")
            .and_then(|()| fs::rename(&new, &self.path))
            .map_err(io)
    }
}

/// XXH64 of a file.
fn hash_of(path: &Path) -> io::Result<String> {
    let mut sum = Checksum::default();
    sum.add(&fs::read(path)?);
    Ok(format!("xxh64:{}", sum.hex()))
}

/// The processor's name.
fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(target_arch = "x86_64")]
fn instructions() -> Vec<String> {
    let known = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
    ];
    let there = known.into_iter().filter(|(_, there)| *there);
    there.map(|(name, _)| name.to_owned()).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn instructions() -> Vec<String> {
    Vec::new()
}

#[allow(
    clippy::disallowed_methods,
    reason = "run.json says when; nothing that is computed reads it"
)]
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    utc(seconds)
}

/// ISO 8601 of a Unix time, in UTC. The date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// civil_from_days, for days since 1970.
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // from March
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Better;

    fn began() -> Began {
        let prompts = Prompts {
            prompts: 2,
            dropped: 0,
            hash: "1".into(),
        };
        Began {
            objectives: vec![About {
                name: "accuracy".into(),
                performance: "accuracy".into(),
                reward: "accuracy".into(),
                unit: "score".into(),
                better: Better::High,
            }],
            model: "a model".into(),
            model_hash: "2".into(),
            training: prompts.clone(),
            validation: prompts,
            test: None,
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_790_000_001, "2026-09-21T14:13:21Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }

    #[test]
    fn each_process_is_added_and_one_that_was_killed_has_no_end() {
        let run = tempfile::tempdir().unwrap();
        assert!(Manifest::read(run.path()).unwrap().is_none());
        let begin = |after| Manifest::begin(run.path(), began(), Process::this(Vec::new(), after, 9, 1)).unwrap();
        drop(begin(0)); // killed
        begin(3).end(Ended::Failed("a reason".into())).unwrap();
        begin(5).end(Ended::Finished).unwrap();
        let read = Manifest::read(run.path()).unwrap().unwrap();
        assert_eq!(*read.began(), began());
        let ends: Vec<_> = read.processes().iter().map(|p| (p.after_step, p.end.clone())).collect();
        assert_eq!(
            ends,
            [
                (0, None),
                (3, Some(Ended::Failed("a reason".into()))),
                (5, Some(Ended::Finished))
            ]
        );
        assert!(read.processes()[0].program_hash.as_ref().unwrap().starts_with("xxh64:"));
    }

    #[test]
    fn another_file_is_refused_with_its_name() {
        let run = tempfile::tempdir().unwrap();
        fs::write(run.path().join("run.json"), "{\"format\": 7}").unwrap();
        let error = Manifest::read(run.path()).unwrap_err().to_string();
        assert!(error.contains("run.json: found missing field"), "{error}");
    }
}
