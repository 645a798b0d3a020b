//! What the progress bar says after a step, and what a line of metrics.jsonl holds.

use std::fmt::Write;

use super::{Clock, Session, SessionError};
use crate::{
    metrics::{Record, interference::interference},
    reward::Scores,
    rollout::Rollouts,
    scalarizer::Signal,
    update::UpdateReport,
};

/// Step time and tokens/s beside the bar; mean scores, weights and length on a line below it.
pub(super) fn message(record: &Record, objectives: &[String], clock: &Clock, tokens: usize) -> String {
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

impl Session {
    /// The numbers of one step.
    pub(super) fn record(
        &self,
        rollouts: &Rollouts,
        scores: &Scores,
        signal: &Signal,
        report: &UpdateReport,
        lr: f64,
    ) -> Result<Record, SessionError> {
        let names = self.objectives.names();
        let mut record = Record::default();
        let (mean, std) = moments(&signal.rewards);
        record.add("reward/mean", mean);
        record.add("reward/std", std);
        if let Some(weights) = self.scalarizer.weights()? {
            record.add_each("weight", &names, weights.iter().map(|&w| f64::from(w)));
        }
        record.add("advantage_scale", f64::from(signal.scale));
        for (name, value) in self.scalarizer.metrics()? {
            record.add(format!("scalarizer/{name}"), value);
        }
        record.add("length/mean", rollouts.mean_length());
        let truncated = rollouts.truncated.iter().filter(|t| **t).count();
        record.add("length/truncated", truncated as f64 / rollouts.len().max(1) as f64);
        record.add("length/baseline", self.baseline.mean());
        record.add("loss", report.loss);
        record.add("policy/entropy", report.entropy);
        if report.kl_coefficient > 0.0 {
            record.add("policy/kl", report.kl);
            record.add("policy/kl_coefficient", report.kl_coefficient);
        }
        record.add("policy/clip_fraction", report.clip_fraction);
        record.add("policy/grad_norm", report.grad_norm);
        record.add("optimizer/lr", lr);
        if let Some(gram) = &report.gram {
            add_gramian(&mut record, &names, gram);
        }
        let interference = interference(&scores.values, scores.m, &signal.rewards, &rollouts.groups)?;
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
