//! A validation: the first response to each validation prompt, and the performance of every objective.

use serde_json::{Map, Value};

use super::{Session, SessionError};
use crate::{
    report::{RunFolder, ValidationRecord},
    rollout::{Sampling, Stream},
};

impl Session {
    /// Measures the policy on the validation prompts, writes a line to validation.jsonl and tells the scalarizer.
    ///
    /// # Errors
    /// Sampling, a reward or the scalarizer fails; the line cannot be written.
    pub fn validate(&mut self, step: u64, folder: &mut RunFolder) -> Result<ValidationRecord, SessionError> {
        let settings = &self.config.validation;
        #[allow(clippy::cast_possible_truncation, reason = "a temperature is a small number")]
        let sampling = Sampling {
            temperature: settings.temperature as f32,
            max_new_tokens: settings.max_new_tokens.unwrap_or(self.config.rollout.max_new_tokens),
            top_p: 1.0,
            top_k: 0,
        };
        let stream = Stream::validation(self.config.train.seed, step);
        let rollouts = self
            .policy
            .sample(self.validation.prompts.clone(), 1, &sampling, stream)?;
        let scores = self.objectives.score(&rollouts, &self.baseline)?;
        let performance = self.objectives.performance(&rollouts, &scores);
        self.scalarizer.on_validation(step, &performance)?;

        let named = self.objectives.performance_names().into_iter().zip(performance);
        let performance: Map<String, Value> = named.map(|(name, value)| (name, Value::from(value))).collect();
        let n = rollouts.len().max(1) as f64;
        let record = ValidationRecord {
            step,
            prompts: rollouts.len(),
            performance,
            length: rollouts.mean_length(),
            truncated: rollouts.truncated.iter().filter(|t| **t).count() as f64 / n,
            weights: self.scalarizer.weights()?,
        };
        folder.validation.write(&record)?;
        Ok(record)
    }
}
