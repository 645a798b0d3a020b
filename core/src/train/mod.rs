//! The training loop: one function, straight down, a step in data-flow order.

mod keep;
pub mod logprobs;
mod phase;
mod resume;
pub mod score;
mod session;
pub mod sft;
mod summary;
mod validate;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Instant,
};

use serde_json::{Value, json};

pub use keep::Stopped;
pub use resume::{Resume, ResumeError};
pub use session::{Session, SessionError};

use crate::{
    metrics::Progress,
    plugin::Needs,
    report::{RunFolder, ValidationRecord},
    reward::Scores,
    rollout::{Rollouts, Stream},
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
    /// Seconds that it took, from the first validation to the saved model.
    pub seconds: f64,
    /// The trained model, in the Hugging Face layout.
    pub model: PathBuf,
    /// Scores that a reward could not give in these steps, and the first reason.
    pub failures: (usize, Option<String>),
}

/// Trains to the end: validates, takes the configured number of steps, saves the model. A session that was resumed goes
/// on where its checkpoint was. Once `stop` is true, the run ends after the step that is under way.
///
/// # Errors
/// [`SessionError::Stopped`]: whatever failed in which step, and the checkpoint that was written of the last whole step.
pub fn train(
    session: &mut Session,
    folder: &mut RunFolder,
    progress: &Progress,
    stop: &AtomicBool,
) -> Result<Outcome, SessionError> {
    match run(session, folder, progress, stop) {
        Ok(outcome) => Ok(outcome),
        Err(cause) => Err(session.stopped(cause, folder).into()),
    }
}

/// The loop. What it returns with an error is put in order by [`train`].
fn run(
    session: &mut Session,
    folder: &mut RunFolder,
    progress: &Progress,
    stop: &AtomicBool,
) -> Result<Outcome, SessionError> {
    let start = Instant::now();
    let config = session.config.clone();
    let (seed, steps) = (config.train.seed, config.train.steps);
    let needs = session.scalarizer.needs();

    let (before, mut after) = match folder.validations()? {
        Some(of_earlier_process) => of_earlier_process,
        None => {
            progress.phase("validate");
            let first = session.validate(0, folder)?;
            session.step_is_whole(0, folder)?;
            (first.clone(), first)
        }
    };
    let done = session.steps_done();
    progress.resume(done);
    let mut failures = (0, None);
    for step in done + 1..=steps {
        if stop.load(Ordering::Relaxed) {
            return Err(SessionError::Interrupted);
        }
        let mut clock = Clock::start();
        let lr = session.learning_rate();

        progress.phase("rollout");
        let prompts = session.next_prompts();
        let stream = Stream::training(seed, step);
        let (rollouts, early) = session.objectives.while_sampling(|finished| {
            let group_size = config.rollout.group_size;
            let sampling = &session.sampling;
            session
                .policy
                .sample_watched(prompts, group_size, sampling, stream, finished)
        });
        let rollouts = rollouts?;
        session.baseline.add(&rollouts);
        clock.lap("rollout");

        progress.phase("score");
        let (objectives, done) = (&session.objectives, AtomicUsize::new(0));
        let scores = progress.counting("score", rollouts.len() * objectives.len(), &done, || {
            objectives.score(&rollouts, &session.baseline, early, &done)
        })?;
        let (rollouts, scores) = without_skipped(rollouts, scores);
        let greedy = session.greedy_scores(step, &rollouts)?;
        clock.lap("score");

        progress.phase("update");
        let (signal, report) = session.improve(step, &rollouts, &scores, greedy.as_ref(), lr)?;
        clock.lap("update");

        let record = session.record(&rollouts, &scores, &signal, &report, lr)?;
        progress.step(summary::message(
            &record,
            &session.objectives.names(),
            &clock,
            rollouts.tokens.len(),
        ));
        let mut line = record.to_json();
        if let Some(failure) = &scores.first_failure {
            line.insert("first_failure".into(), failure.as_str().into());
            failures.0 += scores.failures.iter().flat_map(|causes| causes.values()).sum::<usize>();
            failures.1.get_or_insert_with(|| format!("step {step}, {failure}"));
        }
        line.insert("time".into(), clock.to_json(rollouts.tokens.len()));
        let mut whole = serde_json::Map::from_iter([("step".to_owned(), Value::from(step))]);
        whole.append(&mut line);
        folder.metrics.write(&whole)?;
        write_samples(
            folder,
            step,
            &rollouts,
            &scores,
            &signal.rewards,
            config.logging.samples,
        )?;

        let every = config.validation.every;
        if step == steps || (every > 0 && step % every == 0) || needs.has(Needs::VALIDATION_EACH_STEP) {
            progress.phase("validate");
            after = session.validate(step, folder)?;
        }

        session.step_is_whole(step, folder)?;
        let every = config.checkpoint.every;
        if every > 0 && (step == steps || step % every == 0) {
            progress.phase("save");
            session.checkpoint(folder)?;
        }
    }
    if stop.load(Ordering::Relaxed) {
        return Err(SessionError::Interrupted);
    }
    let model = folder.model();
    session.policy.save(&model)?;
    progress.phase("test");
    let test = session.test(steps, folder)?;
    Ok(Outcome {
        before,
        after,
        test,
        steps: steps.saturating_sub(done),
        seconds: start.elapsed().as_secs_f64(),
        model,
        failures,
    })
}

/// Takes the completions out of the step that a reward could not score, where the config says "skip".
fn without_skipped(rollouts: Rollouts, scores: Scores) -> (Rollouts, Scores) {
    if scores.skipped.is_empty() {
        return (rollouts, scores);
    }
    let keep: Vec<usize> = (0..rollouts.len())
        .filter(|b| scores.skipped.binary_search(b).is_err())
        .collect();
    let kept = scores.select(&keep);
    (rollouts.select(&keep), kept)
}

/// The first completions of a step, with what they were worth.
fn write_samples(
    folder: &mut RunFolder,
    step: u64,
    rollouts: &Rollouts,
    scores: &Scores,
    rewards: &[f32],
    count: usize,
) -> std::io::Result<()> {
    for (b, reward) in rewards.iter().enumerate().take(count) {
        let prompt = rollouts.prompt(b);
        folder.samples.write(&json!({
            "step": step,
            "row": prompt.row,
            "prompt": prompt.text,
            "response": rollouts.texts[b],
            "ground_truth": prompt.ground_truth,
            "tokens": rollouts.response(b).len(),
            "truncated": rollouts.truncated[b],
            "scores": scores.values[b * scores.m..(b + 1) * scores.m],
            "reward": reward,
        }))?;
    }
    Ok(())
}

/// Seconds of the phases of a step.
pub(crate) struct Clock {
    start: Instant,
    last: Instant,
    laps: Vec<(&'static str, f64)>,
}

impl Clock {
    fn start() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            last: now,
            laps: Vec::new(),
        }
    }

    /// Ends a phase.
    fn lap(&mut self, name: &'static str) {
        let now = Instant::now();
        self.laps.push((name, (now - self.last).as_secs_f64()));
        self.last = now;
    }

    /// Seconds since the step began, up to the last lap.
    fn total(&self) -> f64 {
        (self.last - self.start).as_secs_f64()
    }

    /// The phases in seconds, their sum, and response tokens per second.
    fn to_json(&self, tokens: usize) -> Value {
        let mut laps: serde_json::Map<String, Value> = self
            .laps
            .iter()
            .map(|&(name, seconds)| (name.to_owned(), Value::from(seconds)))
            .collect();
        laps.insert("step".into(), self.total().into());
        laps.insert(
            "tokens_per_second".into(),
            (tokens as f64 / self.total().max(1e-9)).into(),
        );
        Value::Object(laps)
    }
}
