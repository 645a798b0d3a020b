//! A run folder, read back.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::error::ReportError;
use crate::{
    config::{Config, Direction},
    error::Error,
    metrics::Better,
    reward::About,
    run::{Ended, Manifest, ResponseRecord, ValidationRecord},
};

/// Numbers by step: a column each, NaN where a line does not have the number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The steps, one a line.
    pub steps: Vec<u64>,
    /// Names with their values, in the order in which they first appear.
    pub columns: Vec<(String, Vec<f64>)>,
}

impl Table {
    fn push(&mut self, step: u64, numbers: &Map<String, Value>) {
        let before = self.steps.len();
        self.steps.push(step);
        for (i, (name, value)) in numbers.iter().enumerate() {
            let Some(value) = value.as_f64().or_else(|| value.is_null().then_some(f64::NAN)) else {
                continue;
            };
            // Lines have the same names in the same order, most of the time.
            let here = self.columns.get(i).is_some_and(|(column, _)| column == name);
            let place = if here {
                Some(i)
            } else {
                self.columns.iter().position(|(column, _)| column == name)
            };
            let place = place.unwrap_or_else(|| {
                self.columns.push((name.clone(), vec![f64::NAN; before]));
                self.columns.len() - 1
            });
            self.columns[place].1.push(value);
        }
        let rows = self.steps.len();
        self.columns
            .iter_mut()
            .for_each(|(_, values)| values.resize(rows, f64::NAN));
    }

    /// The column called `name`.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&[f64]> {
        let found = self.columns.iter().find(|(column, _)| column == name);
        found.map(|(_, values)| values.as_slice())
    }

    /// (step, value) of the column called `name`; nothing where there is none.
    #[must_use]
    pub fn points(&self, name: &str) -> Vec<[f64; 2]> {
        let values = self.column(name).unwrap_or_default();
        self.steps
            .iter()
            .zip(values)
            .map(|(&step, &value)| [step as f64, value])
            .collect()
    }
}

/// What a run folder holds.
#[derive(Debug)]
pub struct RunData {
    /// The folder.
    pub path: PathBuf,
    /// config.toml, resolved.
    pub config: Config,
    /// config.toml as text.
    pub config_text: String,
    /// run.json; none in runs of versions that wrote none.
    pub manifest: Option<Manifest>,
    /// Objectives `[M]`.
    pub objectives: Vec<About>,
    /// validation.jsonl
    pub validations: Vec<ValidationRecord>,
    /// test.json
    pub test: Option<ValidationRecord>,
    /// Responses of the first and of the last validation.
    pub responses: [Vec<ResponseRecord>; 2],
    /// Responses of the test.
    pub test_responses: Vec<ResponseRecord>,
}

impl RunData {
    /// Reads the run folder `path`, but for what each step wrote.
    ///
    /// # Errors
    /// It is no run folder, or a file holds something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let config_file = path.join("config.toml");
        if !config_file.is_file() {
            return Err(ReportError::NotARun { run: path.to_owned() }.into());
        }
        let config = Config::read(&config_file)?;
        let manifest = Manifest::read(path)?;
        let validations: Vec<ValidationRecord> = lines(&path.join("validation.jsonl"))?;
        let (Some(first), Some(last)) = (validations.first(), validations.last()) else {
            return Err(ReportError::NoValidation { run: path.to_owned() }.into());
        };
        let objectives = match &manifest {
            Some(manifest) => manifest.began().objectives.clone(),
            None => derived(&config, first),
        };
        let (first, last) = (first.step, last.step);
        let mut responses = [Vec::new(), Vec::new()];
        each_line(&path.join("validation_responses.jsonl"), |line| {
            let Step { step } = serde_json::from_str(line)?;
            if step == first || step == last {
                let record: ResponseRecord = serde_json::from_str(line)?;
                responses[usize::from(step == last && last > first)].push(record);
            }
            Ok(())
        })?;
        Ok(Self {
            test: lines(&path.join("test.json"))?.pop(),
            test_responses: lines(&path.join("test_responses.jsonl"))?,
            config_text: read(&config_file)?,
            path: path.to_owned(),
            config,
            manifest,
            objectives,
            validations,
            responses,
        })
    }

    /// The folder's name.
    #[must_use]
    pub fn name(&self) -> String {
        let absolute = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let name = absolute.file_name().unwrap_or(absolute.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// What each step measured and how long its phases took, and the first failure of a reward in each step that had one.
    ///
    /// # Errors
    /// metrics.jsonl holds something else.
    pub fn steps(&self) -> Result<Steps, Error> {
        let mut steps = Steps::default();
        each_line(&self.path.join("metrics.jsonl"), |line| {
            let mut line: Map<String, Value> = serde_json::from_str(line)?;
            let step = line.remove("step").and_then(|step| step.as_u64()).unwrap_or(0);
            if let Some(Value::Object(times)) = line.remove("time") {
                steps.times.push(step, &times);
            }
            if let Some(Value::String(failure)) = line.remove("first_failure") {
                steps.failures.push((step, failure));
            }
            steps.metrics.push(step, &line);
            Ok(())
        })?;
        Ok(steps)
    }

    /// Why the run is not at its end; none where it is.
    #[must_use]
    pub fn unfinished(&self) -> Option<String> {
        let (done, steps) = (
            self.validations.last().map_or(0, |last| last.step),
            self.config.train.steps,
        );
        let end = self.manifest.as_ref().and_then(|manifest| manifest.processes().last());
        match end.map(|process| &process.end) {
            Some(Some(Ended::Failed(why))) => return Some(format!("it failed: {why}")),
            Some(Some(Ended::Interrupted)) => return Some("it was interrupted".into()),
            Some(None) => return Some("it was killed, or is still running".into()),
            Some(Some(Ended::Finished)) | None => {}
        }
        let saved = self.path.join("model").is_dir();
        (done < steps || !saved).then(|| format!("its last validation is of step {done} of {steps}"))
    }

    /// The performance `[M]` in a record, in the order of the objectives.
    #[must_use]
    pub fn performance(&self, record: &ValidationRecord) -> Vec<f64> {
        let of = |about: &About| record.performance.get(&about.performance).and_then(Value::as_f64);
        self.objectives
            .iter()
            .map(|about| of(about).unwrap_or(f64::NAN))
            .collect()
    }

    /// For each objective, whether a higher performance is better `[M]`.
    #[must_use]
    pub fn higher(&self) -> Vec<bool> {
        self.objectives
            .iter()
            .map(|about| about.better != Better::Low)
            .collect()
    }
}

/// What the steps of a run wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    /// metrics.jsonl, but for times and texts.
    pub metrics: Table,
    /// Seconds.
    pub times: Table,
    /// The first failure of a reward in a step.
    pub failures: Vec<(u64, String)>,
}

#[derive(Deserialize)]
struct Step {
    step: u64,
}

/// The objectives of a run without run.json: rewards that report tokens say so in the name of their performance.
fn derived(config: &Config, first: &ValidationRecord) -> Vec<About> {
    let of = |(objective, performance): (&crate::config::Objective, &String)| {
        let tokens = performance.ends_with(" (tokens)");
        About {
            name: objective.name.clone(),
            performance: performance.clone(),
            reward: objective.reward.clone(),
            unit: if tokens { "tokens" } else { "score" }.to_owned(),
            better: if tokens || objective.direction == Some(Direction::Minimize) {
                Better::Low
            } else {
                Better::High
            },
        }
    };
    config.objectives.iter().zip(first.performance.keys()).map(of).collect()
}

fn read(path: &Path) -> Result<String, ReportError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(ReportError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Calls `work` with each whole line of a file; a file that is not there has none, and a line without its end is still
/// being written.
fn each_line(path: &Path, mut work: impl FnMut(&str) -> Result<(), serde_json::Error>) -> Result<(), ReportError> {
    let text = read(path)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for (number, line) in whole.lines().enumerate() {
        work(line).map_err(|error| ReportError::Line {
            path: path.to_owned(),
            line: number + 1,
            problem: error.to_string(),
        })?;
    }
    Ok(())
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, ReportError> {
    let mut found = Vec::new();
    each_line(path, |line| {
        found.push(serde_json::from_str(line)?);
        Ok(())
    })?;
    Ok(found)
}
