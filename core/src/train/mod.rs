//! The training loop. `train_steps` is the whole algorithm: a step in data-flow order, with the shapes at the lines.
//!
//! P prompts of a step, G completions of each, B = P·G completions, N response tokens, M objectives.

mod clock;
mod log;
pub mod logprobs;
mod rehearsal;
mod resume;
mod ruined;
mod run;
mod setup;
pub mod sft;
mod snapshot;
mod stopped;
mod validate;
mod watch;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

pub use resume::{Resume, ResumeError};
pub use run::Run;
pub use setup::{Setup, Wants, encoded};
pub use stopped::{Interrupted, Stopped};

use self::{
    clock::Clock,
    log::TrainedStep,
    stopped::Recoverable,
    watch::{Seen, Watch},
};
use crate::{
    advantage::{Advantages, Estimation},
    error::{Error, Fault, Report},
    metrics::Progress,
    plugin::{BatchInput, Needs, UpdateInput},
    rollout::Stream,
    run::{Ended, RunFolder, ValidationRecord, checkpoint::CheckpointError},
    update::{UpdateBatch, UpdateSettings, batch_gramian, update_policy},
};

/// What a finished run has to show.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Validation before the first step.
    pub before: ValidationRecord,
    /// Validation after the last.
    pub after: ValidationRecord,
    /// The trained model on the test rows, where there are any.
    pub test: Option<ValidationRecord>,
    /// Steps taken; fewer than the config says where an earlier process took the first ones.
    pub steps: u64,
    /// Seconds from the first validation to the saved model.
    pub seconds: f64,
    /// The trained model, in the Hugging Face layout.
    pub model: PathBuf,
    /// Scores that a reward could not give in these steps, and the first reason.
    pub failures: (usize, Option<String>),
}

/// Trains to the end: validates, takes the configured number of steps, saves the model. A resumed run continues from its
/// checkpoint. Once `stop` is true, the run ends after the step under way.
///
/// # Errors
/// [`Stopped`]: what failed in which step, and the checkpoint of the last completed step.
pub fn train(run: &mut Run, folder: &mut RunFolder, progress: &Progress, stop: &AtomicBool) -> Result<Outcome, Error> {
    let mut manifest = run.begin_manifest(folder)?;
    let outcome = train_steps(run, folder, progress, stop).map_err(|cause| stopped(run, cause, folder));
    let end = match &outcome {
        Ok(_) => Ended::Finished,
        Err(stopped) if stopped.fault() == Fault::Interrupted => Ended::Interrupted,
        Err(stopped) => Ended::Failed(stopped.to_string()),
    };
    let written = manifest.end(end);
    let outcome = outcome?; // what stopped the run is said before what could not be written about it
    written?;
    Ok(outcome)
}

/// The loop, straight down.
#[allow(clippy::too_many_lines, reason = "the whole step stands in one place")]
fn train_steps(
    run: &mut Run,
    folder: &mut RunFolder,
    progress: &Progress,
    stop: &AtomicBool,
) -> Result<Outcome, Error> {
    let start = Instant::now();
    let (config, wants, needs) = (run.setup.config.clone(), run.setup.wants, run.scalarizer.needs());
    let (seed, steps) = (config.train.seed, config.train.steps);
    let m = run.setup.objectives.len();
    let gradient_layers = run.scalarizer.gradient_layers().to_vec();

    let (before, mut after) = match folder.validations()? {
        Some(of_earlier_process) => of_earlier_process,
        None => {
            progress.phase("validate");
            let first = run.validate(0, folder)?;
            run.commit(0, folder)?;
            (first.clone(), first)
        }
    };
    let steps_done = run.steps_done();
    progress.resume(steps_done);
    let mut failures = (0, None);
    let mut watch = Watch::new(before.length);
    for step in steps_done + 1..=steps {
        check_stop(stop)?;
        let mut clock = Clock::start(progress);

        clock.phase("rollout");
        let prompts = run.next_prompts(); // [P]
        let stream = Stream::training(seed, step);
        let (rollouts, early) = run.sample(prompts, config.rollout.group_size, &run.setup.sampling, stream)?; // [B], [N]
        run.mean_length.add(&rollouts);

        clock.phase("score");
        let scores = run.score(&rollouts, early, progress)?; // [B, M]
        let (rollouts, scores) = scores.without_skipped(rollouts);
        let greedy = when(wants.greedy, || run.greedy_scores(step, &rollouts))?; // [B, M]

        clock.phase("update");
        let (lengths, offsets) = (rollouts.lengths(), &rollouts.offsets); // [B], [B + 1]
        let old = when(wants.old_logprobs, || Ok(run.policy.logprobs(&rollouts)?))?; // [N]
        let reference = run
            .setup
            .reference
            .as_ref()
            .map(|policy| policy.logprobs(&rollouts))
            .transpose()?; // [N]
        let kl_in_reward = run.kl.in_reward(old.as_deref(), reference.as_deref(), offsets); // [B]
        let kl_penalty = kl_in_reward.as_ref().map(|kl| run.kl.penalties(kl)); // [B]

        let estimation = Estimation {
            scalarizer: &config.scalarizer.name,
            estimator: config.algorithm.estimator,
            rollouts: &rollouts,
            scores: &scores,
            kl_penalty: kl_penalty.as_deref(),
            greedy: greedy.as_deref(),
        };
        let of_objectives = when(wants.objective_advantages, || Ok(estimation.of_objectives()?))?; // [B, M]
        let lr = run.setup.learning_rate(step - 1);
        let (mut gram, mut forward) = (None, None);
        if let (true, Some(of_objectives)) = (wants.batch_gramian, &of_objectives) {
            let advantages = Advantages::of_objectives(of_objectives.clone(), m);
            let batch = batch_gramian(&run.policy, &rollouts, &advantages, &gradient_layers, &run.setup.update)?;
            run.scalarizer.observe_gradients(step, lr, &batch.gram, &batch.losses)?; // [M, M], [M]
            (gram, forward) = (Some(batch.gram), batch.forward);
        }

        let signal = run.scalarizer.scalarize(&BatchInput {
            step,
            m,
            scores: &scores.values,
            groups: &rollouts.groups,
            lengths: &lengths,
            objective_advantages: of_objectives
                .as_deref()
                .filter(|_| needs.has(Needs::OBJECTIVE_ADVANTAGES)),
            old_logprobs: old.as_deref().filter(|_| needs.has(Needs::OLD_LOGPROBS)),
            ref_logprobs: reference.as_deref().filter(|_| needs.has(Needs::REF_LOGPROBS)),
            offsets,
        })?; // weights [M], rewards [B], or advantages [B] or [N]
        let advantages = estimation.of_signal(&signal, of_objectives)?; // [B], [N], or [B, M] to weigh gradients

        run.copy_parameters();
        let batch = UpdateBatch {
            rollouts: &rollouts,
            advantages: &advantages,
            old: old.as_deref().filter(|_| wants.off_policy),
            reference: reference.as_deref(),
            gradient_layers: &gradient_layers,
        };
        let settings = UpdateSettings {
            loss: run.setup.update.loss.with_kl(run.kl.loss_term()),
            ..run.setup.update.clone()
        };
        let mut report = update_policy(
            &mut run.policy,
            &mut run.optimizer,
            batch,
            &settings,
            forward,
            lr,
            &mut |minibatch, gram, losses| {
                run.scalarizer.weigh_gradients(step, minibatch, lr, gram, losses) // [M]
            },
        )?;
        if let Some(kl) = &kl_in_reward {
            report.add_reward_kl(kl, rollouts.tokens.len(), run.kl.coefficient());
        }
        run.kl.observe(report.completion_kl, rollouts.len());
        if let (true, Some(old)) = (wants.after_update, &old) {
            let new = run.policy.logprobs(&rollouts)?; // [N]
            run.scalarizer.after_update(&UpdateInput {
                step,
                m,
                groups: &rollouts.groups,
                scores: &scores.values,
                advantages: &advantages.of_completions(offsets), // [B]
                old_logprobs: old,
                new_logprobs: &new,
                offsets,
                clip_low: config.algorithm.clip_low,
                clip_high: config.algorithm.clip_high,
            })?;
        }
        run.check_update(&rollouts, lr)?;
        clock.end_phase();

        let trained = TrainedStep {
            step,
            lr,
            rollouts: &rollouts,
            scores: &scores,
            signal: &signal,
            report: &report,
            gram: report.gram.as_deref().or(gram.as_deref()),
            advantages: &advantages,
        };
        run.weights = trained.weights();
        trained.write(run, folder, progress, &clock, &mut failures)?;
        let number = |name: &str| report.means().find(|(n, _)| *n == name).map(|(_, value)| value);
        let seen = Seen {
            step,
            kl: number("policy/kl").map(|_| report.completion_kl / rollouts.mean_length().max(1.0)),
            entropy: number("policy/entropy").unwrap_or(f64::NAN),
            length: rollouts.mean_length(),
            gradient: number("policy/grad_norm").unwrap_or(f64::NAN),
        };
        watch
            .look(seen, &config)
            .iter()
            .for_each(|warning| progress.note(warning));

        if step == steps || is_due(config.validation.every, step) || wants.validation_each_step {
            progress.phase("validate");
            after = run.validate(step, folder)?;
        }
        run.commit(step, folder)?;
        if is_due(config.checkpoint.every, step) || (config.checkpoint.every > 0 && step == steps) {
            progress.phase("save");
            run.checkpoint(folder)?;
        }
    }
    check_stop(stop)?;
    let model = folder.make_place_for_model()?;
    run.policy.save(&model)?;
    progress.phase("test");
    let test = run.test(steps, folder)?;
    Ok(Outcome {
        before,
        after,
        test,
        steps: steps.saturating_sub(steps_done),
        seconds: start.elapsed().as_secs_f64(),
        model,
        failures,
    })
}

/// The result of `work` where it is wanted.
fn when<T>(wanted: bool, work: impl FnOnce() -> Result<T, Error>) -> Result<Option<T>, Error> {
    if wanted { work().map(Some) } else { Ok(None) }
}

/// Whether something that is done every `every` steps, never if that is 0, is due after `step`.
fn is_due(every: u64, step: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}

fn check_stop(stop: &AtomicBool) -> Result<(), Error> {
    if stop.load(Ordering::Relaxed) {
        return Err(Interrupted.into());
    }
    Ok(())
}

/// Ends the run because of `cause`, with a checkpoint of the last completed step.
fn stopped(run: &mut Run, cause: Error, folder: &mut RunFolder) -> Stopped {
    let older = |folder: &RunFolder, why: String| Recoverable::Older {
        newest: folder.checkpoints.newest(),
        why,
    };
    let completed = run.snapshot.committed().map(|state| state.step());
    let recoverable = if completed.is_none() {
        Recoverable::Nothing
    } else if cause.downcast_ref::<CheckpointError>().is_some() {
        older(folder, "it was not written".into())
    } else {
        match run.snapshot.roll_back(run.policy.params_mut(), &mut run.optimizer) {
            Ok(true) => match run.checkpoint(folder) {
                Ok(Some(path)) => Recoverable::All(path),
                Ok(None) => Recoverable::Nothing,
                Err(error) => older(folder, format!("no checkpoint could be written ({error})")),
            },
            Ok(false) => older(
                folder,
                "the parameters had changed and checkpoint.rollback is off".into(),
            ),
            Err(error) => older(folder, format!("the step could not be undone ({error})")),
        }
    };
    Stopped {
        cause,
        completed,
        steps: run.setup.config.train.steps,
        run: folder.path().to_owned(),
        recoverable,
    }
}
