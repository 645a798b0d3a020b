//! Validation and test: the first response to each prompt, and the performance of every objective.

use std::sync::atomic::AtomicUsize;

use serde_json::{Map, Value};

use super::run::Run;
use crate::{
    data::Prompt,
    error::Error,
    num::to_f32,
    rollout::{Sampling, Stream},
    run::{RunFolder, ValidationRecord},
};

impl Run {
    /// Measures the policy on the validation prompts, writes a line to validation.jsonl and tells the scalarizer.
    ///
    /// # Errors
    /// Sampling, a reward or the scalarizer fails; the line cannot be written.
    pub fn validate(&mut self, step: u64, folder: &mut RunFolder) -> Result<ValidationRecord, Error> {
        let stream = Stream::validation(self.setup.config.train.seed, step);
        let (mut record, performance) = self.measure(&self.setup.validation.prompts, step, stream)?;
        self.scalarizer.on_validation(step, &performance)?;
        record.weights = self.scalarizer.weights()?.or_else(|| self.weights.clone());
        folder.validation.write(&record)?;
        Ok(record)
    }

    /// Measures the policy on the test prompts, where there are any, and writes test.json. The scalarizer is not told:
    /// nothing in the run depends on these numbers.
    ///
    /// # Errors
    /// Sampling or a reward fails; the file cannot be written.
    pub fn test(&self, step: u64, folder: &RunFolder) -> Result<Option<ValidationRecord>, Error> {
        let Some(test) = &self.setup.test else { return Ok(None) };
        let (record, _) = self.measure(&test.prompts, step, Stream::test(self.setup.config.train.seed, step))?;
        folder.write_test(&record)?;
        Ok(Some(record))
    }

    /// The record of one response to each prompt, and the performance `[M]` alone.
    fn measure(&self, prompts: &[Prompt], step: u64, stream: Stream) -> Result<(ValidationRecord, Vec<f64>), Error> {
        let settings = &self.setup.config.validation;
        let sampling = Sampling {
            temperature: to_f32(settings.temperature),
            max_new_tokens: settings
                .max_new_tokens
                .unwrap_or(self.setup.config.rollout.max_new_tokens),
            top_p: 1.0,
            top_k: 0,
        };
        let (rollouts, early) = self.sample(prompts.to_vec(), 1, &sampling, stream)?;
        let (objectives, done) = (&self.setup.objectives, AtomicUsize::new(0));
        let scores = objectives.score(&rollouts, &self.mean_length, early, &done)?;
        let performance = objectives.performance(&rollouts, &scores);
        let named = objectives.display_names().into_iter().zip(&performance);
        let record = ValidationRecord {
            step,
            prompts: rollouts.len(),
            performance: named
                .map(|(name, &value)| (name, Value::from(value)))
                .collect::<Map<_, _>>(),
            length: rollouts.mean_length(),
            truncated: rollouts.truncated.iter().filter(|t| **t).count() as f64 / rollouts.len().max(1) as f64,
            weights: None,
        };
        Ok((record, performance))
    }
}
