//! A run: what changes from step to step, and the pieces of a step that need several parts of it.

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicUsize,
};

use moa_sdk::trace::Header;
use serde_json::Value;

use super::{
    setup::{self, Setup, Wants},
    snapshot::{Fingerprint, RunState, Snapshot},
};
use crate::{
    config::{self, Config},
    data::{Cursor, Dataset, Prompt},
    error::Error,
    metrics::Progress,
    num::to_f32,
    plugin::{self, Needs, Recorder, ScalarizerPlugin},
    reward::{EarlyScores, MeanLength, Scores},
    rollout::{Policy, Rollouts, Sampling, Stream},
    run::{
        Began, Manifest, Process, Prompts, RunFolder,
        checkpoint::{Checkpoint, Checksum, State},
    },
    update::{AdamW, AdamWSettings, KlControl, Schedule},
};

/// A run, ready for its next step.
pub struct Run {
    /// What stays the same.
    pub setup: Setup,
    /// The policy that is trained.
    pub policy: Policy,
    /// The optimizer over the policy's parameters.
    pub optimizer: AdamW,
    /// The scalarizer.
    pub scalarizer: ScalarizerPlugin,
    /// The KL penalty with its weight.
    pub kl: KlControl,
    /// Running mean length of training responses.
    pub mean_length: MeanLength,
    /// Weights `[M]` that the last step trained with, where its signal had any.
    pub(super) weights: Option<Vec<f32>>,
    pub(super) snapshot: Snapshot,
    cursor: Cursor,
}

impl Run {
    /// Loads everything that `config` names. Nothing is written. With `choose_scalarizer` nobody named a scalarizer: the
    /// only one of the loaded libraries is taken, and the config's default if they have none.
    ///
    /// # Errors
    /// Whatever cannot be found, read or used, in the order: plugins and their params, settings, model, data.
    pub fn open(mut config: Config, choose_scalarizer: bool) -> Result<Self, Error> {
        let (objectives, scalarizer, plugins) = setup::load_plugins(&mut config, choose_scalarizer)?;
        let update = setup::update_settings(&config);
        let schedule = Schedule::new(&config.optimizer, config.train.steps);
        let mut model = setup::load_model(&config)?;
        if model.tokenizer.asks_for_date() && config.data.chat_date.is_none() {
            // the run's own: a resumed run has the same prompts
            config.data.chat_date = Some(config::Date::today().to_string());
            model.tokenizer.set_rules((&config.data).into());
        }
        let (training, validation, test) = setup::load_data(&config, &model)?;
        let kl = setup::kl_control(&config);
        let wants = Wants::new(&config, &update, &kl, &scalarizer);
        let wants_reference = config.algorithm.kl.coefficient > 0.0 || scalarizer.needs().has(Needs::REF_LOGPROBS);
        let optimizer = AdamW::new(AdamWSettings::from(&config.optimizer), model.params().trainable());
        let snapshot = Snapshot::new(Fingerprint::of(&model, &training, &validation));
        let temperature = to_f32(config.rollout.temperature);
        let policy = Policy::new(model, temperature);
        let reference = wants_reference.then(|| policy.to_reference());
        Ok(Self {
            policy,
            optimizer,
            scalarizer,
            kl,
            mean_length: MeanLength::default(),
            weights: None,
            snapshot,
            cursor: Cursor::new(config.train.seed),
            setup: Setup {
                objectives,
                reference,
                wants,
                update,
                sampling: Sampling {
                    temperature,
                    top_p: to_f32(config.rollout.top_p),
                    top_k: config.rollout.top_k,
                    max_new_tokens: config.rollout.max_new_tokens,
                },
                schedule,
                training,
                validation,
                test,
                plugins,
                config,
            },
        })
    }

    /// Records everything that the scalarizer is told, and what it answers, at `path`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record_trace(&mut self, path: &Path) -> Result<(), Error> {
        let config = &self.setup.config;
        let setup = plugin::Setup {
            objectives: self.setup.objectives.for_scalarizer(),
            seed: config.train.seed,
        };
        let params = Value::Object(config.scalarizer.params.clone());
        let header = Header::new(self.scalarizer.name(), &setup, params);
        self.scalarizer.record_to(Recorder::create(path, &header)?);
        Ok(())
    }

    /// Adds this process to the folder's run.json.
    pub(super) fn begin_manifest(&self, folder: &RunFolder) -> Result<Manifest, Error> {
        let setup = &self.setup;
        let prompts = |set: &Dataset| {
            let mut sum = Checksum::default();
            set.prompts.iter().for_each(|prompt| sum.add_prompt(prompt));
            Prompts {
                prompts: set.len(),
                dropped: set.dropped,
                hash: format!("xxh64:{}", sum.hex()),
            }
        };
        let began = Began {
            objectives: setup.objectives.about(),
            model: self.policy.model().describe(),
            model_hash: format!("xxh64:{}", self.snapshot.fingerprint.model),
            training: prompts(&setup.training),
            validation: prompts(&setup.validation),
            test: setup.test.as_ref().map(prompts),
        };
        let (done, steps) = (self.steps_done(), setup.config.train.steps);
        let process = Process::this(setup.plugins.clone(), done, steps, rayon::current_num_threads());
        Ok(Manifest::begin(folder.path(), began, process)?)
    }

    /// Completed steps.
    #[must_use]
    pub fn steps_done(&self) -> u64 {
        self.snapshot.committed().map_or(0, State::step)
    }

    /// Whether the first validation is done: false in a run that has not begun.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.snapshot.committed().is_some()
    }

    /// The prompts of the next step `[P]`.
    pub fn next_prompts(&mut self) -> Vec<Prompt> {
        let training = &self.setup.training;
        let indices = self.cursor.next(training.len(), self.setup.config.rollout.prompts);
        indices.into_iter().map(|i| training.prompts[i].clone()).collect()
    }

    /// `group_size` completions of each prompt. Rewards that need no more than a completion score each group meanwhile.
    ///
    /// # Errors
    /// The model fails, or its logits are not finite.
    pub fn sample(
        &self,
        prompts: Vec<Prompt>,
        group_size: usize,
        sampling: &Sampling,
        stream: Stream,
    ) -> Result<(Rollouts, EarlyScores), Error> {
        let (rollouts, early) = self.setup.objectives.score_while_sampling(|on_group| {
            self.policy
                .sample_streaming(prompts, group_size, sampling, stream, on_group)
        });
        Ok((rollouts?, early))
    }

    /// Scores `[B, M]`, with those in `early` taken from there.
    ///
    /// # Errors
    /// A reward fails in a way that stops the run.
    pub fn score(&self, rollouts: &Rollouts, early: EarlyScores, progress: &Progress) -> Result<Scores, Error> {
        let (objectives, done) = (&self.setup.objectives, AtomicUsize::new(0));
        Ok(
            progress.counting("score", rollouts.len() * objectives.len(), &done, || {
                objectives.score(rollouts, &self.mean_length, early, &done)
            })?,
        )
    }

    /// Scores `[B, M]`, row-major, of a greedy completion of each completion's prompt. They are no training data: they do
    /// not count towards the mean length.
    ///
    /// # Errors
    /// Sampling or a reward fails.
    pub fn greedy_scores(&self, step: u64, rollouts: &Rollouts) -> Result<Vec<f32>, Error> {
        let sampling = Sampling {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            ..self.setup.sampling
        };
        let stream = Stream::training(self.setup.config.train.seed, step); // greedy decoding draws nothing from it
        let greedy = self.policy.sample(rollouts.prompts.clone(), 1, &sampling, stream)?;
        let (early, done) = (EarlyScores::default(), AtomicUsize::new(0));
        let scores = self.setup.objectives.score(&greedy, &self.mean_length, early, &done)?; // [P, M]
        let row = |&group: &u32| &scores.values[group as usize * scores.m..(group as usize + 1) * scores.m];
        Ok(rollouts.groups.iter().flat_map(row).copied().collect())
    }

    /// Copies parameters and moments before an update, where the config wants failed steps rolled back.
    pub(super) fn copy_parameters(&mut self) {
        if self.setup.config.checkpoint.rollback {
            self.snapshot
                .copy_parameters(self.policy.model().params(), &self.optimizer);
        }
    }

    /// Commits `step`: from here on a failure returns to its end.
    pub(super) fn commit(&mut self, step: u64, folder: &RunFolder) -> Result<(), Error> {
        let mut state = State::new(step, self.optimizer.steps());
        state.put_all(&RunState {
            scalarizer: self.scalarizer.save()?,
            cursor: self.cursor.clone(),
            length_baseline: self.mean_length,
            kl: self.kl.state(),
            lines: folder.written()?,
            trace_events: self.scalarizer.recorder().map(Recorder::events),
        })?;
        self.snapshot.commit(state);
        Ok(())
    }

    /// Returns to what a checkpoint holds.
    pub(super) fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        checkpoint.load_parameters(self.policy.model_mut())?;
        checkpoint.load_optimizer(&mut self.optimizer)?;
        let RunState {
            scalarizer,
            cursor,
            length_baseline,
            kl,
            lines: _,        // the folder's
            trace_events: _, // the recorder's
        } = checkpoint.state.all()?;
        self.scalarizer.load(&scalarizer)?;
        self.cursor = cursor;
        self.mean_length = length_baseline;
        self.kl.load_state(kl);
        self.snapshot.commit(checkpoint.state.clone());
        Ok(())
    }

    /// Writes a checkpoint of the last completed step and returns its folder; none before the first validation.
    pub(super) fn checkpoint(&self, folder: &mut RunFolder) -> Result<Option<PathBuf>, Error> {
        self.snapshot.write(
            &self.setup.config,
            self.policy.model(),
            &self.optimizer,
            self.scalarizer.recorder(),
            folder,
        )
    }

    /// What was loaded, for the terminal: a line about it, and one about the prompts.
    #[must_use]
    pub fn describe(&self) -> String {
        let (config, training) = (&self.setup.config, &self.setup.training);
        let dropped = match training.dropped {
            0 => String::new(),
            n => format!(" ({n} longer than {} tokens left out)", config.data.max_prompt_tokens),
        };
        let prompts = setup::about_prompts(config, training, &self.policy.model().tokenizer);
        format!(
            "{}, {} training prompts{dropped}, {} validation prompts, scalarizer {} of {}\n{prompts}",
            self.policy.model().describe(),
            training.len(),
            self.setup.validation.len(),
            self.scalarizer.name(),
            self.scalarizer.file(),
        )
    }
}
