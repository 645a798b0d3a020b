//! Log-probabilities of given responses, for `moa-host logprobs`.

use std::io::Write;

use serde_json::json;

use crate::{
    data::{Prompt, Row},
    error::Error,
    model::Model,
    rollout::{Policy, Rollouts},
};

/// Packed tokens of one forward pass: bounds memory, not the result.
const MICRO_BATCH_TOKENS: usize = 4096;

/// Writes a JSON line `{"tokens", "logprobs"}` for each row, in order: the tokens of its response, encoded by itself
/// without special tokens, and the log-probability of each after the prompt and the tokens before it.
///
/// # Errors
/// A prompt cannot be rendered or tokenized, the model fails, `out` cannot be written.
pub fn logprobs(model: Model, rows: &[Row], out: &mut dyn Write) -> Result<(), Error> {
    let mut pairs = Rollouts {
        offsets: vec![0],
        ..Rollouts::default()
    };
    let tokenizer = &model.tokenizer;
    for row in rows {
        let (text, tokens) = tokenizer.prompt(&row.prompt)?;
        let prompt = Prompt {
            row: row.index,
            text,
            tokens,
            ground_truth: String::new(),
            data_source: String::new(),
            extra: String::new(),
        };
        let response = tokenizer.encode(row.response.as_deref().unwrap_or_default(), false)?;
        pairs.groups.extend(u32::try_from(pairs.prompts.len()));
        pairs.prompts.push(prompt);
        pairs.tokens.extend(response);
        pairs.logprobs.resize(pairs.tokens.len(), 0.0);
        pairs.offsets.push(pairs.tokens.len());
        pairs.truncated.push(false);
        pairs.texts.push(String::new());
    }
    let policy = Policy::new(model, 1.0);
    for chunk in pairs.chunks(MICRO_BATCH_TOKENS) {
        let part = pairs.select(&chunk.collect::<Vec<_>>());
        let logprobs = policy.logprobs(&part)?; // [N]
        for b in 0..part.len() {
            let line = json!({"tokens": part.response(b), "logprobs": logprobs[part.range(b)]});
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}
