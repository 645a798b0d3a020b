//! Validation and test: the first response to each prompt, and the performance of every objective.

use std::sync::atomic::AtomicUsize;

use serde_json::{Map, Value};

use super::run::Run;
use crate::{
    data::Prompt,
    error::Error,
    metrics::JsonLines,
    num::to_f32,
    rollout::{Sampling, Stream},
    run::{ResponseRecord, RunFolder, ValidationRecord},
};

impl Run {
    /// Measures the policy on the validation prompts, writes a line to validation.jsonl and tells the scalarizer.
    ///
    /// # Errors
    /// Sampling, a reward or the scalarizer fails; the line cannot be written.
    pub fn validate(&mut self, step: u64, folder: &mut RunFolder) -> Result<ValidationRecord, Error> {
        let stream = Stream::validation(self.setup.config.train.seed, step);
        let Measured {
            mut record,
            performance,
            responses,
        } = self.measure(&self.setup.validation.prompts, step, stream)?;
        self.scalarizer.on_validation(step, &performance)?;
        record.weights = self.scalarizer.weights()?.or_else(|| self.weights.clone());
        folder.validation.write(&record)?;
        folder.validation_responses.write_all(&responses)?;
        Ok(record)
    }

    /// Measures the policy on the test prompts, where there are any, and writes test_responses.jsonl and test.json. The scalarizer is not told:
    /// nothing in the run depends on these numbers.
    ///
    /// # Errors
    /// Sampling or a reward fails; the file cannot be written.
    pub fn test(&self, step: u64, folder: &RunFolder) -> Result<Option<ValidationRecord>, Error> {
        let Some(test) = &self.setup.test else { return Ok(None) };
        let stream = Stream::test(self.setup.config.train.seed, step);
        let Measured { record, responses, .. } = self.measure(&test.prompts, step, stream)?;
        let mut lines = JsonLines::append(&folder.path().join("test_responses.jsonl"))?;
        lines.truncate(0)?; // those of a run with fewer steps
        lines.write_all(&responses)?;
        lines.sync()?;
        // Last: a run that has test.json has been tested.
        folder.write_test(&record)?;
        Ok(Some(record))
    }

    /// Samples one response to each prompt and measures it.
    fn measure(&self, prompts: &[Prompt], step: u64, stream: Stream) -> Result<Measured, Error> {
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
        let each = objectives.performance_of_each(&rollouts, &scores); // [B, M]
        let (m, names) = (scores.m, objectives.names());
        let response = |b: usize| {
            let prompt = rollouts.prompt(b);
            let failed = scores.failed.iter().filter(|&&(of, _)| of == b);
            ResponseRecord {
                step,
                row: prompt.row,
                prompt: prompt.text.clone(),
                ground_truth: prompt.ground_truth.clone(),
                response: rollouts.texts[b].clone(),
                tokens: rollouts.response(b).len(),
                truncated: rollouts.truncated[b],
                scores: scores.values[b * m..(b + 1) * m].to_vec(),
                performance: each[b * m..(b + 1) * m].to_vec(),
                failed: failed.map(|&(_, objective)| names[objective].clone()).collect(),
            }
        };
        Ok(Measured {
            responses: (0..rollouts.len()).map(response).collect(),
            record,
            performance,
        })
    }
}

/// What one response to each prompt shows.
struct Measured {
    record: ValidationRecord,
    /// `[M]`
    performance: Vec<f64>,
    /// `[P]`
    responses: Vec<ResponseRecord>,
}
