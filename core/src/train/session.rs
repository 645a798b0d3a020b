//! Everything a run needs, loaded and checked before its folder is made: plugins, objectives, model, data, optimizer.

use std::path::Path;

use moa_sdk::trace::Header;
use thiserror::Error;

use super::{
    keep::{Kept, Stopped},
    resume::ResumeError,
};
use crate::{
    checkpoint::CheckpointError,
    config::{self, Config, ConfigError, KlPlacement, Source},
    data::{self, Cursor, DataError, Dataset, Encoded, Keys, Prompt},
    error::Hint,
    metrics::interference::InterferenceError,
    model::{Model, ModelError},
    plugin::{self, Needs, PluginError, Plugins, Recorder, Setup},
    report::FolderError,
    reward::{LengthBaseline, Objectives, RewardError, ScoredObjective},
    rollout::{Frozen, Policy, PolicyError, Sampling},
    scalarizer::{Scalarizer, ScalarizerError},
    update::{
        AdamW, AdamWSettings, KlControl, KlPenalty, KlTarget, LossError, LossSettings, OptimizerError, Schedule,
        ScheduleError, UpdateError, UpdateSettings,
    },
};

/// A run cannot start or go on.
#[derive(Debug, Error)]
#[allow(
    missing_docs,
    reason = "each variant is the error of the module that it is named for"
)]
pub enum SessionError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Plugin(#[from] PluginError),
    #[error(transparent)]
    Reward(#[from] RewardError),
    #[error(transparent)]
    Scalarizer(#[from] ScalarizerError),
    #[error(transparent)]
    Loss(#[from] LossError),
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
    #[error(transparent)]
    Update(#[from] UpdateError),
    #[error(transparent)]
    Interference(#[from] InterferenceError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("row {row}: {key} is {found}, expected {expected}")]
    Completion {
        row: usize,
        key: &'static str,
        found: String,
        expected: &'static str,
    },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Resume(#[from] ResumeError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("interrupted")]
    Interrupted,
    #[error("{0}")]
    Write(#[from] std::io::Error),
}

impl Hint for SessionError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Config(e) => e.hint(),
            Self::Data(e) => e.hint(),
            Self::Model(e) => e.hint(),
            Self::Policy(e) => e.hint(),
            Self::Plugin(e) => e.hint(),
            Self::Reward(e) => e.hint(),
            Self::Scalarizer(e) => e.hint(),
            Self::Loss(e) => e.hint(),
            Self::Schedule(e) => e.hint(),
            Self::Optimizer(e) => e.hint(),
            Self::Update(e) => e.hint(),
            Self::Interference(e) => e.hint(),
            Self::Folder(e) => e.hint(),
            Self::Completion { .. } => Some("leave the column out, or give it that type in every row".into()),
            Self::Checkpoint(e) => e.hint(),
            Self::Resume(e) => e.hint(),
            Self::Stopped(e) => e.hint(),
            Self::Interrupted => None,
            Self::Write(_) => Some("the disk may be full, or the run folder was removed".into()),
        }
    }
}

impl SessionError {
    /// 2 where the command line, the config or a plugin's params are wrong; 1 where the run failed; 130 where the user
    /// stopped it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Stopped(stopped) => stopped.exit_code(),
            Self::Interrupted => 130,
            Self::Config(_) | Self::Schedule(_) | Self::Folder(FolderError::NotEmpty { .. }) => 2,
            Self::Resume(_)
            | Self::Checkpoint(_)
            | Self::Folder(FolderError::InUse { .. } | FolderError::Lines { .. }) => 2,
            Self::Plugin(PluginError::Hook { step: None, .. }) => 2, // `new` refused the params
            Self::Plugin(
                PluginError::NotFound { .. }
                | PluginError::NotAPlugin { .. }
                | PluginError::Open { .. }
                | PluginError::Version { .. }
                | PluginError::Layout { .. }
                | PluginError::Description { .. }
                | PluginError::Component { .. }
                | PluginError::Limits { .. }
                | PluginError::Unknown { .. }
                | PluginError::Ambiguous { .. },
            ) => 2,
            _ => 1,
        }
    }
}

/// A run, ready for its first step.
pub struct Session {
    /// What was asked for.
    pub config: Config,
    /// The policy that is trained.
    pub policy: Policy,
    /// The policy as it was loaded, kept where a KL term or the scalarizer needs it.
    pub reference: Option<Frozen>,
    /// The objectives, in the order of the scores' columns.
    pub objectives: Objectives,
    /// The scalarizer and its estimator.
    pub scalarizer: Scalarizer,
    /// The optimizer over the policy's parameters.
    pub optimizer: AdamW,
    /// Loss, mini-batches, epochs.
    pub update: UpdateSettings,
    /// Weight of the KL penalty.
    pub kl: KlControl,
    /// How training completions are drawn.
    pub sampling: Sampling,
    /// Running mean length of training responses.
    pub baseline: LengthBaseline,
    pub(super) training: Dataset,
    pub(super) validation: Dataset,
    pub(super) test: Option<Dataset>,
    pub(super) cursor: Cursor,
    pub(super) kept: Kept,
    schedule: Schedule,
}

impl Session {
    /// Loads everything that `config` names. Nothing is written. With `choose_scalarizer` nobody named a scalarizer: the
    /// only one of the loaded libraries is taken, and the one that the config names by default if they have none.
    ///
    /// # Errors
    /// Whatever cannot be found, read or used, in the order: plugins and their params, settings, model, data.
    pub fn open(mut config: Config, choose_scalarizer: bool) -> Result<Self, SessionError> {
        let mut plugins = Plugins::new();
        for library in &config.plugins {
            plugins.load(library)?;
        }
        let objectives = objectives(&mut plugins, &config)?;
        let setup = Setup {
            objectives: objectives.for_scalarizer(),
            seed: config.train.seed,
        };
        let params = serde_json::Value::Object(config.scalarizer.params.clone());
        let scalarizers = || {
            plugins
                .libraries()
                .iter()
                .flat_map(|library| &library.description().scalarizers)
        };
        let choose = choose_scalarizer && scalarizers().next().is_some();
        let name = if choose {
            None
        } else {
            Some(config.scalarizer.name.as_str())
        };
        if let Some(name) = name.filter(|name| scalarizers().all(|s| s.name != *name)) {
            plugins.load(name)?; // not in a library that was named: one of its own, from the search path
        }
        let plugin = plugins.scalarizer(name, &setup, &params)?;
        config.scalarizer.name = plugin.name().to_owned();
        let update = update_settings(&config);
        update.loss.check()?;
        let schedule = schedule(&config);
        schedule.check()?;

        let model = load_model(&config)?;
        let training = dataset(&config.data.train, data::embedded::TRAIN, &config, &model)?;
        let validation = first(
            dataset(&config.data.validation, data::embedded::VALIDATION, &config, &model)?,
            &config,
        );
        // The embedded test rows say nothing about a model trained on other data.
        let test = match (&config.data.test, &config.data.train) {
            (Source::Embedded, Source::Path(_)) => None,
            (source, _) => Some(dataset(source, data::embedded::TEST, &config, &model)?),
        };
        let wants_reference = config.algorithm.kl.coefficient > 0.0 || plugin.needs().has(Needs::REF_LOGPROBS);
        let temperature = narrow(config.rollout.temperature);
        let optimizer = AdamW::new(adamw_settings(&config), model.params().to_vec())?;
        let kept = Kept::new(&model, &training, &validation)?;
        let policy = Policy::new(model, temperature);
        let reference = if wants_reference { Some(policy.frozen()?) } else { None };
        Ok(Self {
            policy,
            reference,
            objectives,
            scalarizer: Scalarizer::new(plugin, config.algorithm.estimator),
            optimizer,
            update,
            kl: kl_control(&config),
            sampling: Sampling {
                temperature,
                top_p: narrow(config.rollout.top_p),
                top_k: config.rollout.top_k,
                max_new_tokens: config.rollout.max_new_tokens,
            },
            baseline: LengthBaseline::default(),
            training,
            validation,
            test,
            cursor: Cursor::new(config.train.seed),
            kept,
            schedule,
            config,
        })
    }

    /// Records everything that the scalarizer is told, and what it answers, at `path`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record_trace(&mut self, path: &Path) -> Result<(), SessionError> {
        let setup = Setup {
            objectives: self.objectives.for_scalarizer(),
            seed: self.config.train.seed,
        };
        let params = serde_json::Value::Object(self.config.scalarizer.params.clone());
        let header = Header::new(self.scalarizer.name(), &setup, params);
        self.scalarizer.record(Recorder::create(path, &header)?);
        Ok(())
    }

    /// Goes on with the trace at `path` after its first `events` events; the rest is dropped.
    ///
    /// # Errors
    /// The file has fewer, or cannot be written.
    pub fn resume_trace(&mut self, path: &Path, events: u64) -> Result<(), SessionError> {
        self.scalarizer.record(Recorder::resume(path, events)?);
        Ok(())
    }

    /// The prompts of the next step.
    pub fn next_prompts(&mut self) -> Vec<Prompt> {
        let indices = self.cursor.next(self.training.len(), self.config.rollout.prompts);
        indices.into_iter().map(|i| self.training.prompts[i].clone()).collect()
    }

    /// Learning rate of the next optimizer step.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        self.config.optimizer.lr * self.schedule.factor(self.optimizer.steps())
    }

    /// One line about what was loaded, for the terminal.
    #[must_use]
    pub fn describe(&self) -> String {
        let dropped = match self.training.dropped {
            0 => String::new(),
            n => format!(
                " ({n} longer than {} tokens left out)",
                self.config.data.max_prompt_tokens
            ),
        };
        format!(
            "{}, {} training prompts{dropped}, {} validation prompts, scalarizer {} of {}",
            self.policy.model().describe(),
            self.training.len(),
            self.validation.len(),
            self.scalarizer.name(),
            self.scalarizer.file(),
        )
    }
}

/// A setting as the tensors take it.
#[allow(
    clippy::cast_possible_truncation,
    reason = "settings are small numbers; rounding to f32 is meant"
)]
fn narrow(setting: f64) -> f32 {
    setting as f32
}

fn objectives(plugins: &mut Plugins, config: &Config) -> Result<Objectives, SessionError> {
    let list = config.objectives.iter().map(|objective| {
        let params = serde_json::Value::Object(objective.params.clone());
        let reward = plugins.reward_within(&objective.reward, &params, &objective.limits)?;
        let direction = objective.direction.map(|direction| match direction {
            config::Direction::Maximize => plugin::Direction::Maximize,
            config::Direction::Minimize => plugin::Direction::Minimize,
        });
        Ok(ScoredObjective::new(
            objective.name.clone(),
            reward,
            direction,
            objective.on_error,
        ))
    });
    Ok(Objectives::new(list.collect::<Result<_, SessionError>>()?))
}

/// The model that the config names.
///
/// # Errors
/// It is not there, or not a model that moa knows.
pub(crate) fn load_model(config: &Config) -> Result<Model, SessionError> {
    Ok(match &config.model.path {
        Source::Embedded => Model::embedded()?,
        Source::Path(path) => Model::load(path)?,
    })
}

/// Reads, renders and tokenizes the rows that `source` names.
fn dataset(source: &Source, embedded: &[u8], config: &Config, model: &Model) -> Result<Dataset, SessionError> {
    let keys = Keys {
        prompt_key: config.data.prompt_key.clone(),
        require_ground_truth: true,
        require_response: false,
    };
    let rows = match source {
        Source::Embedded => data::read_parquet_bytes(Path::new("embedded"), embedded, &keys)?,
        Source::Path(path) => data::read_rows(Path::new(path), &keys)?,
    };
    let tokenizer = &model.tokenizer;
    Ok(Dataset::new(
        rows,
        config.data.max_prompt_tokens,
        config.data.overlong,
        &mut |prompt| {
            let (text, tokens) = tokenizer.prompt(prompt)?;
            Ok(Encoded { text, tokens })
        },
    )?)
}

/// The first rows, as many as `validation.n` says.
fn first(mut dataset: Dataset, config: &Config) -> Dataset {
    if config.validation.n > 0 {
        dataset.prompts.truncate(config.validation.n);
    }
    dataset
}

fn update_settings(config: &Config) -> UpdateSettings {
    let algorithm = &config.algorithm;
    let kl = (algorithm.kl.coefficient > 0.0 && algorithm.kl.placement == KlPlacement::Loss).then_some(KlPenalty {
        estimator: algorithm.kl.estimator,
        coefficient: algorithm.kl.coefficient,
    });
    UpdateSettings {
        loss: LossSettings {
            policy: algorithm.loss,
            clip_low: algorithm.clip_low,
            clip_high: algorithm.clip_high,
            dual_clip: (algorithm.dual_clip > 0.0).then_some(algorithm.dual_clip),
            aggregation: algorithm.aggregation,
            kl,
            entropy: algorithm.entropy,
        },
        minibatch: algorithm.minibatch,
        epochs: algorithm.epochs,
        micro_batch_tokens: algorithm.micro_batch_tokens,
        norm_length: config.rollout.max_new_tokens,
    }
}

fn kl_control(config: &Config) -> KlControl {
    let kl = &config.algorithm.kl;
    let target = (kl.target > 0.0).then_some(KlTarget {
        target: kl.target,
        horizon: kl.horizon,
    });
    KlControl::new(kl.coefficient, target)
}

pub(crate) fn adamw_settings(config: &Config) -> AdamWSettings {
    let optimizer = &config.optimizer;
    AdamWSettings {
        betas: (optimizer.betas[0], optimizer.betas[1]),
        epsilon: optimizer.eps,
        weight_decay: optimizer.weight_decay,
        clip_norm: (optimizer.clip_norm > 0.0).then_some(optimizer.clip_norm),
    }
}

/// The schedule in optimizer updates: a step has one for each mini-batch and epoch.
fn schedule(config: &Config) -> Schedule {
    let per_epoch = match config.algorithm.minibatch {
        0 => 1,
        minibatch => config.rollout.prompts.div_ceil(minibatch),
    };
    let per_step = (per_epoch * config.algorithm.epochs) as u64;
    let optimizer = &config.optimizer;
    Schedule {
        kind: optimizer.schedule,
        warmup: optimizer.warmup * per_step,
        total: config.train.steps * per_step,
        floor: optimizer.min_lr_ratio,
        power: optimizer.power,
    }
}
