//! Supervised fine-tuning: prompts with a response each, the loss is minus the log-probability of the response's
//! tokens. It makes the embedded model.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::setup;
use crate::{
    config::{Config, Sft, SftStart, Source},
    data::{self, Cursor, Prompt, PromptText, Row},
    engine::GradientSet,
    error::Error,
    metrics::{JsonLines, Progress},
    model::{Architecture, Cotangent, Model, Tokenizer},
    rollout::{Policy, Rollouts},
    update::{AdamW, Schedule},
};

/// What a finished fine-tuning has to show.
#[derive(Clone, Copy, Debug)]
pub struct SftOutcome {
    /// Loss of the last steps in nats a token, mean over the last tenth of the run.
    pub loss: f64,
    /// Rows seen.
    pub rows: u64,
    /// Response tokens seen.
    pub tokens: u64,
}

/// Trains on rows with responses as `[sft]` says and writes the model to `out`, and a line a step to
/// `<out>.metrics.jsonl` beside it.
///
/// # Errors
/// Rows or model cannot be read, a gradient is not finite, `out` cannot be written.
pub fn fine_tune(config: &Config, sft: &Sft, out: &Path, progress: &Progress) -> Result<SftOutcome, Error> {
    Model::check_place(out)?; // before the work, not after it
    let model = match sft.start {
        SftStart::Model => setup::load_model(config)?,
        SftStart::Fresh => fresh(sft, config.train.seed)?,
    };
    let examples = examples(&rows(sft, config)?, &model)?;
    let mut optimizer = AdamW::new((&config.optimizer).into(), model.params().trainable());
    let schedule = Schedule::new(&config.optimizer, sft.steps);
    let mut policy = Policy::new(model, 1.0);
    let mut cursor = Cursor::new(config.train.seed);
    // Beside the model's folder, which is written whole at the end.
    let mut metrics = JsonLines::append(&lines_beside(out))?;
    let (mut tokens, mut tail) = (0, Vec::new());

    progress.phase("sft");
    for step in 1..=sft.steps {
        let batch = batch(&examples, &cursor.next(examples.len(), sft.batch));
        // A constant divisor gives every token of the run the same weight, whatever the length of its batch.
        let weight = 1.0 / (sft.batch as f64 * sft.tokens_per_row);
        let mut total: Option<GradientSet> = None;
        let mut sum = 0.0;
        for chunk in batch.chunks(config.algorithm.micro_batch_tokens) {
            let part = batch.select(&chunk.collect::<Vec<_>>());
            let forward = policy.forward(&part)?;
            sum -= forward.logprobs().iter().map(|&l| f64::from(l)).sum::<f64>();
            #[allow(clippy::cast_possible_truncation, reason = "cotangents are f32")]
            let cotangent = vec![-weight as f32; part.tokens.len()];
            let mut sets = forward.gradients(&[Cotangent::of(&cotangent)])?;
            match (&mut total, sets.pop()) {
                (Some(total), Some(set)) => total.add(&set)?,
                (None, set) => total = set,
                (Some(_), None) => {}
            }
        }
        let lr = config.optimizer.lr * schedule.factor(step - 1);
        let Some(gradient) = total else { continue };
        let report = optimizer.step(policy.params_mut().trainable_mut(), &gradient, lr)?;
        tokens += batch.tokens.len() as u64;
        let loss = sum / batch.tokens.len().max(1) as f64;
        if step * 10 > sft.steps * 9 {
            tail.push(loss);
        }
        let (norm, count) = (report.gradient_norm, batch.tokens.len());
        metrics.write(&json!({"step": step, "loss": loss, "lr": lr, "grad_norm": norm, "tokens": count}))?;
        progress.step(format!("loss {loss:.4} nat/token  lr {lr:.1e}"));
    }
    policy.save(out)?;
    let loss = tail.iter().sum::<f64>() / tail.len().max(1) as f64;
    Ok(SftOutcome {
        loss,
        rows: sft.steps * sft.batch as u64,
        tokens,
    })
}

/// `<out>.metrics.jsonl`, whatever dots `out` has.
fn lines_beside(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".metrics.jsonl");
    out.with_file_name(name)
}

/// A new model with random weights.
fn fresh(sft: &Sft, seed: u64) -> Result<Model, Error> {
    let fresh = &sft.fresh;
    let tokenizer = match &fresh.tokenizer {
        Source::Embedded => Tokenizer::embedded()?,
        Source::Path(path) => Tokenizer::from_folder(Path::new(path))?,
    };
    Ok(Model::init(Architecture::fresh(fresh), tokenizer, seed)?)
}

fn rows(sft: &Sft, config: &Config) -> Result<Vec<Row>, Error> {
    if sft.data == "tiny-math" {
        let whole = usize::try_from(sft.steps)
            .unwrap_or(usize::MAX)
            .saturating_mul(sft.batch);
        let count = if sft.rows == 0 { whole } else { sft.rows };
        return Ok(data::tiny_math::supervised(config.train.seed, count));
    }
    Ok(data::read_supervised(Path::new(&sft.data), &config.data.prompt_key)?)
}

/// A prompt and the response to learn, the end token included.
struct Example {
    prompt: Prompt,
    response: Vec<u32>,
}

fn examples(rows: &[Row], model: &Model) -> Result<Vec<Example>, Error> {
    let tokenizer = &model.tokenizer;
    let (turn_end, text_end) = (turn_end(tokenizer)?, tokenizer.eos());
    rows.iter()
        .map(|row| {
            let (text, tokens, response) = match (&row.response, &row.prompt) {
                (None, PromptText::Text(text)) => {
                    let mut tokens = tokenizer.encode(text, true)?;
                    tokens.extend(text_end);
                    let response = tokens.split_off(1.min(tokens.len())); // nothing foretells the first token
                    (String::new(), tokens, response)
                }
                (response, prompt) => {
                    let (text, tokens) = tokenizer.prompt(prompt)?;
                    let mut response = tokenizer.encode(response.as_deref().unwrap_or_default(), false)?;
                    // A text that no template renders is no chat, and ends as texts do.
                    let end = if tokenizer.renders(prompt) {
                        turn_end
                    } else {
                        text_end.or(turn_end)
                    };
                    response.extend(end);
                    (text, tokens, response)
                }
            };
            let prompt = Prompt {
                row: row.index,
                text,
                tokens,
                ground_truth: row.ground_truth.clone(),
                data_source: row.data_source.clone(),
                extra: String::new(),
            };
            Ok(Example { prompt, response })
        })
        .collect()
}

/// The token that ends a response as the model's chat does: what its template writes after the assistant's words, if that
/// ends a generation too. Otherwise, and without a template, it is the tokenizer's own end token.
fn turn_end(tokenizer: &Tokenizer) -> Result<Option<u32>, Error> {
    const WORDS: &str = "moa looks for what follows";
    let own = tokenizer.eos().or_else(|| tokenizer.eos_ids().first().copied());
    let chat = [("user", "a"), ("assistant", WORDS), ("user", "b")];
    // A template that refuses such a chat says nothing about its turns.
    let rendered = tokenizer
        .render_messages(&chat)
        .ok()
        .filter(|_| tokenizer.has_template());
    let Some((_, rest)) = rendered.as_deref().and_then(|text| text.split_once(WORDS)) else {
        return Ok(own);
    };
    let rest = tokenizer.encode(rest, false)?;
    let ends = rest.into_iter().find(|token| tokenizer.eos_ids().contains(token));
    Ok(ends.or(own))
}

/// The examples `indices` as one batch, each a group of its own.
fn batch(examples: &[Example], indices: &[usize]) -> Rollouts {
    let mut batch = Rollouts {
        offsets: vec![0],
        ..Rollouts::default()
    };
    for &index in indices {
        let Example { prompt, response } = &examples[index];
        batch.groups.extend(u32::try_from(batch.prompts.len()));
        batch.prompts.push(prompt.clone());
        batch.tokens.extend_from_slice(response);
        batch.logprobs.resize(batch.tokens.len(), 0.0);
        batch.offsets.push(batch.tokens.len());
        batch.truncated.push(false);
        batch.texts.push(String::new());
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TokenizerFiles;

    /// The embedded tokenizer with another template, and three tokens that end a generation, as real models have.
    fn tokenizer(template: &str, eos: &str) -> Tokenizer {
        let embedded = Tokenizer::embedded().unwrap();
        let config = json!({"eos_token": eos, "chat_template": template}).to_string();
        Tokenizer::from_bytes(&TokenizerFiles {
            tokenizer: &embedded.files()[0].1,
            config: Some(config.as_bytes()),
            template: None,
            model: [Some(br#"{"eos_token_id": [0, 1, 3]}"#), None],
        })
        .unwrap()
    }

    #[test]
    fn a_response_ends_as_the_chat_does_and_not_with_the_smallest_end_token() {
        let turns = "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}<|assistant|>";
        assert_eq!(
            turn_end(&tokenizer(turns, "<|pad|>")).unwrap(),
            Some(1),
            "<|end|>, not <|pad|>"
        );
        // A template without ends, and one that refuses the chat: the tokenizer's own.
        let bare = "{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}";
        assert_eq!(turn_end(&tokenizer(bare, "<|end|>")).unwrap(), Some(1));
        let refuses = "{{ raise_exception('no') }}";
        assert_eq!(turn_end(&tokenizer(refuses, "<|assistant|>")).unwrap(), Some(3));
        assert_eq!(turn_end(&Tokenizer::embedded().unwrap()).unwrap(), Some(1));
    }
}
