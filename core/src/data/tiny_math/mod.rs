//! tiny-math: word problems that a model of 0.3 million parameters can learn, and responses to learn them from.
//!
//! Everything is a pure function of a seed. The problems have two to four steps with all values in 0..=30. The
//! supervised responses come in ten styles, whose mixture depends on the item of the problem, and hold errors on
//! purpose. So a policy that imitates them is neither always right nor always readable, and reinforcement learning has
//! something to gain.
//!
//! | stream of the seed | use |
//! |---|---|
//! | 0 | the problems of train, validation and test, all different |
//! | 1 | problems and responses for supervised training; those of validation and test are left out |
//! | 2 | problems and responses for the tokenizer |

mod problem;
mod response;
mod tokenizer;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::draw::Draw;
use super::error::DataError;
use super::jsonl::write_jsonl;
use super::parquet_write::write_parquet;
use super::row::{Message, PromptText, Row};
use super::write::write_file;

pub use problem::{ITEMS, NAMES, Op, Problem, Step};
pub use response::{Style, clean_response};
pub use tokenizer::{CHAT_TEMPLATE, END, PAD, SPECIAL_TOKENS, tokenizer_config, train_tokenizer};

/// The seed of the files in data/tiny-math.
pub const SEED: u64 = 0;
/// Rows of the training split.
pub const TRAIN_ROWS: usize = 4_000;
/// Rows of the validation split, and of the test split.
pub const VALIDATION_ROWS: usize = 200;
/// Problems, with a response each, that the tokenizer of data/tiny-math was trained on.
pub const TOKENIZER_PROBLEMS: usize = 5_000;

const PROBLEMS: u64 = 0;
const SUPERVISED: u64 = 1;

/// The rows for reinforcement learning; no prompt occurs twice, within a split or across.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// [`TRAIN_ROWS`] rows.
    pub train: Vec<Row>,
    /// [`VALIDATION_ROWS`] rows.
    pub validation: Vec<Row>,
    /// [`VALIDATION_ROWS`] rows.
    pub test: Vec<Row>,
}

/// The three splits of a seed.
pub fn splits(seed: u64) -> Splits {
    let mut problems = problems(seed);
    let mut seen = BTreeSet::new();
    let mut split = |name: &str, rows: usize| -> Vec<Row> {
        let fresh = problems.by_ref().filter(|problem| seen.insert(problem.prompt.clone()));
        fresh
            .take(rows)
            .enumerate()
            .map(|(index, problem)| row(index, problem, name, None))
            .collect()
    };
    // Validation and test first: they stay the same if the training split is ever made longer.
    let validation = split("validation", VALIDATION_ROWS);
    let test = split("test", VALIDATION_ROWS);
    let train = split("train", TRAIN_ROWS);
    Splits {
        train,
        validation,
        test,
    }
}

/// The problems of a seed one after the other, as [`splits`] draws them, repeated ones included; endless.
pub fn problems(seed: u64) -> impl Iterator<Item = Problem> {
    let mut draw = Draw::new(seed, PROBLEMS);
    std::iter::repeat_with(move || Problem::draw(&mut draw))
}

/// `n` rows with a response for supervised training, none with a prompt of the seed's validation or test split.
pub fn supervised(seed: u64, n: usize) -> Vec<Row> {
    let Splits { validation, test, .. } = splits(seed);
    let held_out: BTreeSet<&str> = validation.iter().chain(&test).map(|row| text(&row.prompt)).collect();
    let mut draw = Draw::new(seed, SUPERVISED);
    let mut rows = Vec::with_capacity(n);
    while rows.len() < n {
        let problem = Problem::draw(&mut draw);
        if held_out.contains(problem.prompt.as_str()) {
            continue;
        }
        let (_, response) = response::draw_response(&mut draw, &problem);
        rows.push(row(rows.len(), problem, "sft", Some(response)));
    }
    rows
}

/// What [`generate`] writes besides the three splits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Seed of everything.
    pub seed: u64,
    /// Number of supervised rows to write to `sft.jsonl`; none: no such file.
    pub supervised: Option<usize>,
    /// Write `tokenizer.json` and `tokenizer_config.json`.
    pub tokenizer: bool,
}

/// Writes `train.parquet`, `validation.parquet`, `test.parquet` and what `options` asks for into the folder `out`, and
/// returns the paths. The same options write the same bytes.
///
/// # Errors
/// A file cannot be written, or the tokenizer cannot be trained.
pub fn generate(out: &Path, options: Options) -> Result<Vec<PathBuf>, DataError> {
    let Splits {
        train,
        validation,
        test,
    } = splits(options.seed);
    let mut written = Vec::new();
    for (name, rows) in [("train", train), ("validation", validation), ("test", test)] {
        let path = out.join(format!("{name}.parquet"));
        write_parquet(&path, &rows)?;
        written.push(path);
    }
    if let Some(n) = options.supervised {
        let path = out.join("sft.jsonl");
        write_jsonl(&path, &supervised(options.seed, n))?;
        written.push(path);
    }
    if options.tokenizer {
        let tokenizer = train_tokenizer(options.seed, TOKENIZER_PROBLEMS)?;
        for (name, text) in [
            ("tokenizer.json", tokenizer),
            ("tokenizer_config.json", tokenizer_config()),
        ] {
            let path = out.join(name);
            write_file(&path, text.as_bytes())?;
            written.push(path);
        }
    }
    Ok(written)
}

/// A problem in the papers' layout.
fn row(index: usize, problem: Problem, split: &str, response: Option<String>) -> Row {
    Row {
        index,
        ground_truth: problem.answer.to_string(),
        prompt: PromptText::Messages(vec![Message {
            role: "user".to_owned(),
            content: problem.prompt,
        }]),
        data_source: "tiny-math".to_owned(),
        extra: json!({
            "reward_model": {"style": "rule"},
            "ability": "math",
            "extra_info": {"index": index, "split": split},
        })
        .to_string(),
        response,
        truth_column: None,
    }
}

/// The text of a prompt made by [`row`].
fn text(prompt: &PromptText) -> &str {
    match prompt {
        PromptText::Text(text) => text,
        PromptText::Messages(messages) => messages.first().map_or("", |m| &m.content),
    }
}
