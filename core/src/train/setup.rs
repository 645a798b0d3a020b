//! What stays the same through a run: the config and everything that is loaded for it, checked before a folder is made.

use std::path::Path;

use super::rehearsal;
use crate::{
    config::{self, Config, Source},
    data::{self, Dataset, Encoded, Keys, PromptText},
    error::Error,
    model::{Lora, Model, PromptRules, Tokenizer},
    plugin::{self, Hooks, Needs, PluginError, Plugins, ScalarizerPlugin},
    reward::{Objective, Objectives},
    rollout::{ReferencePolicy, Sampling},
    run::PluginFile,
    update::{KlControl, KlTarget, LossSettings, Schedule, UpdateSettings},
};

/// What a step computes beyond scores, because the config or the scalarizer asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Wants {
    /// The update takes several optimizer steps, so that old and new log-probabilities differ within it.
    pub off_policy: bool,
    /// Log-probabilities before the update `[N]`.
    pub old_logprobs: bool,
    /// Advantages of each objective by itself `[B, M]`, before the scalarizer is asked.
    pub objective_advantages: bool,
    /// The Gramian `[M, M]` of the objectives' gradients over the batch: `observe_gradients`.
    pub batch_gramian: bool,
    /// Log-probabilities after the update `[N]`: `after_update`.
    pub after_update: bool,
    /// Scores of a greedy completion of each prompt `[P, M]`.
    pub greedy: bool,
    /// A validation after each step.
    pub validation_each_step: bool,
}

impl Wants {
    /// Of a run with this config, update and scalarizer.
    #[must_use]
    pub fn new(config: &Config, update: &UpdateSettings, kl: &KlControl, scalarizer: &ScalarizerPlugin) -> Self {
        let (hooks, needs) = (scalarizer.hooks(), scalarizer.needs());
        let batch_gramian = hooks.has(Hooks::OBSERVE_GRADIENTS);
        let after_update = hooks.has(Hooks::AFTER_UPDATE);
        let off_policy = update.is_off_policy(config.rollout.prompts);
        Self {
            off_policy,
            old_logprobs: off_policy || kl.is_in_reward() || needs.has(Needs::OLD_LOGPROBS) || after_update,
            objective_advantages: batch_gramian || needs.has(Needs::OBJECTIVE_ADVANTAGES),
            batch_gramian,
            after_update,
            greedy: config.algorithm.estimator.needs_greedy(),
            validation_each_step: needs.has(Needs::VALIDATION_EACH_STEP),
        }
    }
}

/// What stays the same through a run.
pub struct Setup {
    /// What was asked for.
    pub config: Config,
    /// The objectives, in the order of the scores' columns.
    pub objectives: Objectives,
    /// The policy as it was loaded, kept where a KL term or the scalarizer needs it.
    pub reference: Option<ReferencePolicy>,
    /// What a step computes beyond scores.
    pub wants: Wants,
    /// Loss, mini-batches, epochs. The weight of the KL term is the run's.
    pub update: UpdateSettings,
    /// How training completions are drawn.
    pub sampling: Sampling,
    pub(super) schedule: Schedule,
    pub(super) training: Dataset,
    pub(super) validation: Dataset,
    pub(super) test: Option<Dataset>,
    /// The plugins' files, hashed when they were loaded.
    pub(super) plugins: Vec<PluginFile>,
}

impl Setup {
    /// Learning rate of the step after `done` completed ones, for all of its updates.
    #[must_use]
    pub fn learning_rate(&self, done: u64) -> f64 {
        self.config.optimizer.lr * self.schedule.factor(done)
    }
}

/// The objectives and the scalarizer that `config` names; its name is put into the config. With `choose_scalarizer` nobody
/// named one: the only one of the loaded libraries is taken, and the config's default if they have none.
pub(super) fn load_plugins(
    config: &mut Config,
    choose_scalarizer: bool,
) -> Result<(Objectives, ScalarizerPlugin, Vec<PluginFile>), Error> {
    let mut plugins = Plugins::new();
    for library in &config.plugins {
        plugins.load(library)?;
    }
    let objectives = objectives(&mut plugins, config)?;
    let setup = plugin::Setup {
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
    // `--plugin gradient` means the scalarizer of that name, whatever else its library exports.
    let of_libraries = config.plugins.iter().map(|typed| plugin::bare_name(Path::new(typed)));
    let same: Vec<String> = of_libraries
        .filter(|name| scalarizers().any(|s| s.name == *name))
        .collect();
    let name = match same.as_slice() {
        _ if !choose => Some(config.scalarizer.name.clone()),
        [name] => Some(name.clone()),
        _ => None,
    };
    let name = name.as_deref();
    if let Some(name) = name.filter(|name| scalarizers().all(|s| s.name != *name)) {
        // Not in a library that was named: one of its own, from the search path.
        let others = scalarizers().next().is_some();
        match plugins.load(name) {
            Err(PluginError::NotFound { .. }) if others => {} // misspelt: the error below names the nearest one
            loaded => drop(loaded?),
        }
    }
    let scalarizer = plugins.scalarizer(name, &setup, &params)?;
    if rehearsal::is_needed(config) {
        rehearsal::rehearse(config, plugins.scalarizer(name, &setup, &params)?)?;
    }
    config.scalarizer.name = scalarizer.name().to_owned();
    let files = plugins.files().into_iter();
    let files = files.map(|(path, exports, sdk)| PluginFile::of(&path, exports, sdk));
    let files = files.collect::<Result<_, _>>()?;
    Ok((objectives, scalarizer, files))
}

/// Whether a run measures test rows: the embedded ones say nothing about a model trained on other data.
pub(super) fn has_test(config: &Config) -> bool {
    !matches!(
        (&config.data.test, &config.data.train),
        (Source::Embedded, Source::Path(_))
    )
}

/// Training, validation and test prompts.
pub(super) fn load_data(config: &Config, model: &Model) -> Result<(Dataset, Dataset, Option<Dataset>), Error> {
    let training = dataset(&config.data.train, data::embedded::TRAIN, config, model)?;
    let validation = dataset(&config.data.validation, data::embedded::VALIDATION, config, model)?;
    let test = if has_test(config) {
        Some(dataset(&config.data.test, data::embedded::TEST, config, model)?)
    } else {
        None
    };
    Ok((training, first(validation, config), test))
}

fn objectives(plugins: &mut Plugins, config: &Config) -> Result<Objectives, Error> {
    let list = config.objectives.iter().map(|objective| {
        let params = serde_json::Value::Object(objective.params.clone());
        let reward = plugins.reward_within(&objective.reward, &params, &objective.limits)?;
        let direction = objective.direction.map(|direction| match direction {
            config::Direction::Maximize => plugin::Direction::Maximize,
            config::Direction::Minimize => plugin::Direction::Minimize,
        });
        Ok(Objective::new(
            objective.name.clone(),
            reward,
            direction,
            objective.on_error,
        ))
    });
    Ok(Objectives::new(list.collect::<Result<_, Error>>()?))
}

/// The model that the config names, with new adapters if it asks for them.
///
/// # Errors
/// It is not there, or not a model that moa knows.
pub(crate) fn load_model(config: &Config) -> Result<Model, Error> {
    let mut model = Model::open(&config.model.path)?;
    model.tokenizer.set_rules(PromptRules::from(&config.data));
    model.set_recompute(config.model.recompute);
    if let Some(lora) = Lora::of(&config.model) {
        model.add_adapters(lora, config.train.seed)?;
    }
    Ok(model)
}

/// Reads, renders and tokenizes the rows that `source` names.
fn dataset(source: &Source, embedded: &[u8], config: &Config, model: &Model) -> Result<Dataset, Error> {
    let keys = Keys {
        prompt_key: config.data.prompt_key.clone(),
        ground_truth_key: config.data.ground_truth_key.clone(),
        require_ground_truth: true,
        ..Keys::default()
    };
    let rows = match source {
        Source::Embedded => data::read_parquet_bytes(Path::new("embedded"), embedded, &keys)?,
        Source::Path(path) => data::read_rows(Path::new(path), &keys)?,
    };
    let limit = config.data.max_prompt_tokens;
    Ok(Dataset::new(rows, limit, config.data.overlong, &mut |prompts| {
        encoded(&model.tokenizer, prompts)
    })?)
}

/// A line about what the prompts are and what was made of them.
pub(super) fn about_prompts(config: &Config, training: &Dataset, tokenizer: &Tokenizer) -> String {
    let texts = tokenizer.renders(&PromptText::Text(String::new()));
    let messages = tokenizer.renders(&PromptText::Messages(Vec::new()));
    let has_template = tokenizer.has_template();
    let of_texts = match (texts, has_template) {
        (true, _) => "text, rendered by the model's chat template as a user message",
        (false, true) => "text as it is; data.chat_template = \"always\" renders it as a user message",
        (false, false) => "text as it is",
    };
    let of_messages = match (messages, has_template) {
        (true, _) => "messages, rendered by the model's chat template",
        (false, true) => "messages, joined by empty lines: data.chat_template is \"never\"",
        (false, false) => "messages, joined by empty lines: the model has no chat template",
    };
    let mut about = match (training.texts, training.len() - training.texts) {
        (_, 0) => format!("prompts: {of_texts}"),
        (0, _) => format!("prompts: {of_messages}"),
        (n, m) => format!("prompts: {n} are {of_texts}; {m} are {of_messages}"),
    };
    if (texts || messages) && tokenizer.asks_for_date() {
        let day = config.data.chat_date.as_deref().unwrap_or_default();
        about.push_str(&format!(", which may show the day {day}"));
    }
    let others: Vec<String> = training.other_truths.iter().map(|name| format!("`{name}`")).collect();
    if !others.is_empty() {
        about.push_str(&format!("; ground truth: column {}", others.join(" or ")));
    }
    about
}

/// Prompts as the model reads them.
///
/// # Errors
/// The index of the first prompt that its chat template or its tokenizer refuses, and the reason.
pub fn encoded(tokenizer: &Tokenizer, prompts: Vec<PromptText>) -> Result<Vec<Encoded>, (usize, data::EncodeError)> {
    let encoded = tokenizer.prompts(prompts).map_err(|(at, error)| (at, error.into()))?;
    let pair = |(text, tokens)| Encoded { text, tokens };
    Ok(encoded.into_iter().map(pair).collect())
}

/// The first rows, as many as `validation.rows` says.
fn first(mut dataset: Dataset, config: &Config) -> Dataset {
    if config.validation.rows > 0 {
        dataset.prompts.truncate(config.validation.rows);
    }
    dataset
}

pub(super) fn update_settings(config: &Config) -> UpdateSettings {
    let algorithm = &config.algorithm;
    UpdateSettings {
        loss: LossSettings {
            policy: algorithm.loss,
            clip_low: algorithm.clip_low,
            clip_high: algorithm.clip_high,
            dual_clip: (algorithm.dual_clip > 0.0).then_some(algorithm.dual_clip),
            aggregation: algorithm.aggregation,
            kl: None, // its weight changes: see KlControl
            entropy: algorithm.entropy,
        },
        minibatch: algorithm.minibatch,
        epochs: algorithm.epochs,
        micro_batch_tokens: algorithm.micro_batch_tokens,
        norm_length: config.rollout.max_new_tokens,
    }
}

pub(super) fn kl_control(config: &Config) -> KlControl {
    let kl = &config.algorithm.kl;
    let target = (kl.target > 0.0).then_some(KlTarget {
        target: kl.target,
        horizon: kl.horizon,
    });
    KlControl::new(kl.estimator, kl.placement, kl.coefficient, target)
}
