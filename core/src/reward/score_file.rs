//! Scores of the completions of a file by one reward, for `moa-host reward score`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write,
    sync::atomic::AtomicUsize,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use thiserror::Error;

use crate::{
    data::{PromptText, Row},
    error::{self, Report},
    metrics::Progress,
    model::Tokenizer,
    plugin::{Cause, Completion, MeanTokens, RewardPlugin},
};

/// A row has a column of another type than the reward needs.
#[derive(Debug, Error)]
#[error("row {row}: {key} is {found}, expected {expected}")]
pub struct ColumnError {
    row: usize,
    key: &'static str,
    found: String,
    expected: &'static str,
}

impl Report for ColumnError {
    fn hint(&self) -> Option<String> {
        Some("leave the column out, or give it that type in every row".into())
    }
}

/// Completions that are scored before their lines are written: bounds what is lost when a run is stopped.
const BLOCK: usize = 4096;

/// What a file of completions got.
#[derive(Debug, Default)]
pub struct Summary {
    /// Completions.
    pub count: usize,
    /// Those with a score.
    pub scored: usize,
    /// Their sum, least and greatest score.
    sum: f64,
    least: f32,
    greatest: f32,
    /// Failures by cause.
    pub failures: BTreeMap<Cause, usize>,
    /// The first failure, with the number of its completion.
    first: Option<String>,
    /// Time spent in the reward.
    pub scoring: Duration,
}

impl Summary {
    fn add(&mut self, score: f32) {
        if self.scored == 0 {
            (self.least, self.greatest) = (score, score);
        }
        self.scored += 1;
        self.sum += f64::from(score);
        self.least = self.least.min(score);
        self.greatest = self.greatest.max(score);
    }

    /// One line, or two if something failed.
    #[must_use]
    pub fn text(&self, reward: &str) -> String {
        let seconds = self.scoring.as_secs_f64();
        let mut text = format!(
            "{reward}: {} completions in {seconds:.3} s ({:.0}/s)",
            self.count,
            self.count as f64 / seconds.max(1e-9)
        );
        if self.scored > 0 {
            let mean = self.sum / self.scored as f64;
            // Writing to a String cannot fail.
            let _ = write!(text, "; mean {mean:.4}, min {}, max {}", self.least, self.greatest);
        }
        let failed: usize = self.failures.values().sum();
        if failed > 0 {
            let causes: Vec<String> = self
                .failures
                .iter()
                .map(|(cause, n)| format!("{} {n}", cause.name()))
                .collect();
            let _ = write!(text, "; {failed} failed ({})", causes.join(", "));
            if let Some(first) = &self.first {
                let _ = write!(text, "\nfirst failure: {first}");
            }
        }
        text
    }
}

/// A completion of the file, with what its line says beyond the columns of [`Row`].
struct ScoredRow {
    prompt: String,
    response: String,
    response_tokens: u32,
    running: Option<f32>,
    truncated: bool,
    extra: String,
}

/// Writes a line `{"score"}` for each row, in order; `{"score": null, "error", "cause"}` where the reward failed. A row
/// may have `response_tokens`, `mean_response_tokens` and `truncated`; without the first the response is counted with
/// the embedded model's tokenizer, without the second the running mean is that of the file. Rows with the same prompt
/// are a group.
///
/// # Errors
/// A column has another type, a native reward fails as a whole, `out` cannot be written.
pub fn score(
    reward: &RewardPlugin,
    rows: &[Row],
    progress: &Progress,
    out: &mut dyn Write,
) -> Result<Summary, error::Error> {
    let tokenizer = Tokenizer::embedded()?;
    let given = rows
        .iter()
        .map(|row| read(row, &tokenizer))
        .collect::<Result<Vec<_>, _>>()?;
    let means = means(&given);
    let mut summary = Summary {
        count: rows.len(),
        ..Summary::default()
    };
    let done = AtomicUsize::new(0);
    for (block, start) in given.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
        let completions: Vec<Completion<'_>> = (start..)
            .zip(block)
            .map(|(i, given)| Completion {
                prompt: &given.prompt,
                response: &given.response,
                ground_truth: &rows[i].ground_truth,
                data_source: &rows[i].data_source,
                response_tokens: given.response_tokens,
                means: Some(means[i]),
                truncated: given.truncated,
                extra: &given.extra,
            })
            .collect();
        let clock = Instant::now();
        let scores = progress.counting("score", rows.len(), &done, || reward.score_counted(&completions, &done))?;
        summary.scoring += clock.elapsed();
        for (i, score) in (start..).zip(scores) {
            let line = match score {
                Ok(score) => {
                    summary.add(score);
                    json!({ "score": score })
                }
                Err(failure) => {
                    *summary.failures.entry(failure.cause).or_default() += 1;
                    summary
                        .first
                        .get_or_insert_with(|| format!("completion {i}: {}", failure.message));
                    json!({ "score": null, "error": failure.message, "cause": failure.cause.name() })
                }
            };
            writeln!(out, "{line}")?;
        }
    }
    Ok(summary)
}

fn read(row: &Row, tokenizer: &Tokenizer) -> Result<ScoredRow, error::Error> {
    let wrong = |key: &'static str, found: &Value, expected: &'static str| ColumnError {
        row: row.index,
        key,
        found: found.to_string().chars().take(40).collect(),
        expected,
    };
    let mut extra: Map<String, Value> = serde_json::from_str(&row.extra).unwrap_or_default();
    let response = row.response.clone().unwrap_or_default();
    let response_tokens = match extra.remove("response_tokens") {
        None => u32::try_from(tokenizer.encode(&response, false)?.len()).unwrap_or(u32::MAX),
        Some(value) => value
            .as_u64()
            .and_then(|tokens| u32::try_from(tokens).ok())
            .ok_or_else(|| wrong("response_tokens", &value, "a whole number"))?,
    };
    let running = match extra.remove("mean_response_tokens") {
        None => None,
        Some(value) => {
            let mean = value.as_f64().filter(|mean| *mean >= 0.0);
            #[allow(clippy::cast_possible_truncation, reason = "a mean length fits f32")]
            let mean = mean.ok_or_else(|| wrong("mean_response_tokens", &value, "a number, 0 or more"))? as f32;
            Some(mean)
        }
    };
    let truncated = match extra.remove("truncated") {
        None => false,
        Some(value) => value
            .as_bool()
            .ok_or_else(|| wrong("truncated", &value, "true or false"))?,
    };
    Ok(ScoredRow {
        prompt: match &row.prompt {
            PromptText::Text(text) => text.clone(),
            PromptText::Messages(messages) => {
                let contents: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
                contents.join("\n")
            }
        },
        response,
        response_tokens,
        running,
        truncated,
        extra: Value::Object(extra).to_string(),
    })
}

/// Mean lengths of the file and of the rows with the same prompt.
fn means(given: &[ScoredRow]) -> Vec<MeanTokens> {
    let mut groups: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for one in given {
        let group = groups.entry(&one.prompt).or_default();
        group.0 += f64::from(one.response_tokens);
        group.1 += 1.0;
    }
    #[allow(clippy::cast_possible_truncation, reason = "a mean length fits f32")]
    let mean = |(sum, count): (f64, f64)| (sum / count.max(1.0)) as f32;
    let all = groups.values().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    given
        .iter()
        .map(|one| MeanTokens {
            running: one.running.unwrap_or(mean(all)),
            batch: mean(all),
            group: mean(groups[one.prompt.as_str()]),
        })
        .collect()
}
