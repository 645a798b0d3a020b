//! What a step leaves behind: its line in metrics.jsonl, samples, and the text beside the progress bar.

use std::fmt::Write;

use moa_sdk::{Signal, weighted_sum};
use serde_json::{Map, Value, json};

use super::{clock::Clock, run::Run};
use crate::{
    advantage::Advantages,
    error::Error,
    metrics::{Progress, Record, interference::interference},
    num::to_f32,
    reward::Scores,
    rollout::Rollouts,
    run::RunFolder,
    update::UpdateReport,
};

/// A step that has been trained.
pub(super) struct TrainedStep<'a> {
    pub(super) step: u64,
    /// Learning rate of its first optimizer step.
    pub(super) lr: f64,
    pub(super) rollouts: &'a Rollouts,
    pub(super) scores: &'a Scores,
    /// The scalarizer's answer.
    pub(super) signal: &'a Signal,
    pub(super) report: &'a UpdateReport,
    /// Gramian `[M, M]` of the batch or of the first mini-batch, where there is one.
    pub(super) gram: Option<&'a [f64]>,
    /// What trained, `[B]`, `[N]` or `[B, M]`.
    pub(super) advantages: &'a Advantages,
}

impl TrainedStep<'_> {
    /// The weights `[M]` that trained: those on scores or advantages, or the mean over mini-batches of those on gradients.
    pub(super) fn weights(&self) -> Option<Vec<f32>> {
        let of_gradients = || Some(self.report.weights.as_ref()?.iter().map(|&w| to_f32(w)).collect());
        self.signal.mixing_weights().map(<[f32]>::to_vec).or_else(of_gradients)
    }

    /// Writes the line, the samples and the text, and returns how many scores failed.
    pub(super) fn write(
        &self,
        run: &Run,
        folder: &mut RunFolder,
        progress: &Progress,
        clock: &Clock<'_>,
        failures: &mut (usize, Option<String>),
    ) -> Result<(), Error> {
        let weights = match &run.weights {
            Some(weights) => Some(weights.clone()),
            None => run.scalarizer.weights()?,
        };
        let rewards = self.rewards(weights.as_deref()); // [B]
        let record = self.record(run, weights.as_deref(), &rewards)?;
        let tokens = self.rollouts.tokens.len();
        progress.step(progress_line(&record, &run.setup.objectives.names(), clock, tokens));
        let mut line = Map::from_iter([("step".to_owned(), Value::from(self.step))]);
        line.append(&mut record.to_json());
        if let Some(failure) = &self.scores.first_failure {
            line.insert("first_failure".into(), failure.as_str().into());
            failures.0 += self
                .scores
                .failures
                .iter()
                .flat_map(|causes| causes.values())
                .sum::<usize>();
            failures
                .1
                .get_or_insert_with(|| format!("step {}, {failure}", self.step));
        }
        line.insert("time".into(), clock.to_json(tokens));
        folder.metrics.write(&line)?;
        self.write_samples(folder, &rewards, run.setup.config.logging.samples)
    }

    /// The scalar reward of each completion `[B]`: what the scalarizer made of the scores, or the scores summed with the
    /// weights that trained (equal ones without any) where its method has no scalar reward.
    fn rewards(&self, weights: Option<&[f32]>) -> Vec<f32> {
        let m = self.scores.m;
        self.signal
            .rewards_of(&self.scores.values)
            .unwrap_or_else(|| match weights {
                Some(weights) => weighted_sum(weights, &self.scores.values),
                None => weighted_sum(&vec![1.0 / m as f32; m], &self.scores.values),
            })
    }

    /// The numbers of the step, in the order of the line.
    fn record(&self, run: &Run, weights: Option<&[f32]>, rewards: &[f32]) -> Result<Record, Error> {
        let names = run.setup.objectives.names();
        let (rollouts, scores) = (self.rollouts, self.scores);
        let mut record = Record::default();
        let (mean, std) = moments(rewards);
        record.add("reward/mean", mean);
        record.add("reward/std", std);
        if let Some(weights) = weights {
            record.add_each("weight", &names, weights.iter().map(|&w| f64::from(w)));
        }
        record.add("advantage_scale", f64::from(self.signal.advantage_scale()));
        for (name, value) in run.scalarizer.metrics()? {
            record.add(format!("scalarizer/{name}"), value);
        }
        record.add("length/mean", rollouts.mean_length());
        let truncated = rollouts.truncated.iter().filter(|t| **t).count();
        record.add("length/truncated", truncated as f64 / rollouts.len().max(1) as f64);
        record.add("length/baseline", run.mean_length.mean());
        for (name, value) in self.report.means() {
            record.add(name, value);
        }
        record.add("policy/sampler_gap", self.report.sampler_gap);
        record.add("optimizer/lr", self.lr);
        if let Some(gram) = self.gram {
            add_gramian(&mut record, &names, gram);
        }
        let interference = interference(&scores.values, scores.m, rewards, &rollouts.groups)?;
        for (name, value) in interference.metrics(&names) {
            record.add(name, value);
        }
        for (name, failures) in names.iter().zip(&scores.failures) {
            record.add(
                format!("reward_failures/{name}"),
                failures.values().sum::<usize>() as f64,
            );
            for (cause, &count) in failures {
                record.add(format!("reward_failures/{name}/{}", cause.name()), count as f64);
            }
        }
        record.add("skipped", scores.skipped.len() as f64);
        Ok(record)
    }

    /// The first `count` completions of the step, with what they were worth.
    fn write_samples(&self, folder: &mut RunFolder, rewards: &[f32], count: usize) -> Result<(), Error> {
        let (rollouts, scores) = (self.rollouts, self.scores);
        let advantages = self.advantages.of_completions(&rollouts.offsets); // [B]
        for (b, reward) in rewards.iter().enumerate().take(count) {
            let prompt = rollouts.prompt(b);
            folder.samples.write(&json!({
                "step": self.step,
                "row": prompt.row,
                "prompt": prompt.text,
                "response": rollouts.texts[b],
                "ground_truth": prompt.ground_truth,
                "tokens": rollouts.response(b).len(),
                "truncated": rollouts.truncated[b],
                "scores": scores.values[b * scores.m..(b + 1) * scores.m],
                "reward": reward,
                "advantage": advantages[b],
            }))?;
        }
        Ok(())
    }
}

/// Step time and tokens/s beside the bar; mean scores, weights and length on a line below it.
fn progress_line(record: &Record, objectives: &[String], clock: &Clock<'_>, tokens: usize) -> String {
    let seconds = clock.total();
    let mut text = format!("{seconds:.2} s/step {:.0} tok/s\n", tokens as f64 / seconds.max(1e-9));
    for name in objectives {
        let score = record.get(&format!("score/{name}")).unwrap_or(f64::NAN);
        let _ = write!(text, "  {name} {score:.2}");
        if let Some(weight) = record.get(&format!("weight/{name}")) {
            let _ = write!(text, " (w {weight:.3})");
        }
    }
    let _ = write!(text, "  length {:.1}", record.get("length/mean").unwrap_or(f64::NAN));
    text
}

/// Mean and standard deviation (divided by the count).
fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// Norms of the objectives' gradients and cosines of each pair.
fn add_gramian(record: &mut Record, names: &[String], gram: &[f64]) {
    let m = names.len();
    let norm = |i: usize| gram[i * m + i].max(0.0).sqrt();
    record.add_each("gradient/norm", names, (0..m).map(norm));
    for i in 0..m {
        for j in i + 1..m {
            let product = norm(i) * norm(j);
            // Two objectives of which one has no gradient have no angle; 0 says that neither pulls on the other.
            let cosine = if product > 0.0 { gram[i * m + j] / product } else { 0.0 };
            record.add(format!("gradient/cosine/{}/{}", names[i], names[j]), cosine);
        }
    }
}
