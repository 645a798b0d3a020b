//! From the hub's own files to the papers' layout: `data convert`.
//!
//! ```text
//! math500         problem, answer, …   -> prompt, ground truth; solution, subject, level, unique_id stay
//! math-lighteval  problem, solution, … -> prompt, ground truth = last box of the solution; level, type stay
//! gsm8k           question, answer     -> prompt, ground truth = number after "####"; the working stays as solution
//! ```
//! A prompt is one user message: the problem, then [`INSTRUCTION`]. Splits are the papers'. One file is cut 60/20/20 by the
//! permutation that the `datasets` library draws from a seed (42 in the papers' scripts): the hub's MATH-500 becomes the
//! papers' 300/100/100 rows, in their order. With a test file, the first file is the training split as it is, and the first
//! half of the test file is the validation split.

use std::path::{Path, PathBuf};

use moa_sdk::answer::last_boxed;
use serde_json::{Value, json};

use super::columns::Columns;
use super::error::{DataError, Place};
use super::kind::Kind;
use super::parquet_write::write_parquet;
use super::permutation::permutation;
use super::read::read_table;
use super::row::{Message, PromptText, Row};

/// What the papers' prompts end with, after a blank.
pub const INSTRUCTION: &str = "Let's think step by step and output the final answer within \\boxed{}.";

/// The seed of the papers' splits.
pub const SPLIT_SEED: u64 = 42;

/// A data set whose files are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubData {
    /// MATH-500: 500 problems of MATH's test split (Lightman et al., arXiv 2305.20050).
    Math500,
    /// MATH (Hendrycks et al., arXiv 2103.03874) as the lighteval project stores it.
    MathLighteval,
    /// GSM8K (Cobbe et al., arXiv 2110.14168).
    Gsm8k,
}

impl HubData {
    /// Every data set.
    pub const ALL: [Self; 3] = [Self::Math500, Self::MathLighteval, Self::Gsm8k];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Math500 => "math500",
            Self::MathLighteval => "math-lighteval",
            Self::Gsm8k => "gsm8k",
        }
    }

    /// The data set of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|data| data.name() == name)
    }

    /// `data_source` of its rows.
    const fn source(self) -> &'static str {
        match self {
            Self::Math500 => "HuggingFaceH4/MATH-500",
            Self::MathLighteval => "DigitalLearningGmbH/MATH-lighteval",
            Self::Gsm8k => "openai/gsm8k",
        }
    }

    /// The fields that every row must have, the problem first, then what holds the answer.
    const fn fields(self) -> [&'static str; 2] {
        match self {
            Self::Math500 => ["problem", "answer"],
            Self::MathLighteval => ["problem", "solution"],
            Self::Gsm8k => ["question", "answer"],
        }
    }

    /// The field with the subject of a problem.
    const fn subject_field(self) -> Option<&'static str> {
        match self {
            Self::Math500 => Some("subject"),
            Self::MathLighteval => Some("type"),
            Self::Gsm8k => None,
        }
    }

    /// The ground truth in the field that holds the answer.
    fn answer(self, text: &str) -> Option<String> {
        let found = match self {
            Self::Math500 => text.to_owned(),
            Self::MathLighteval => boxed(text)?.to_owned(),
            // thousands are written 1,000
            Self::Gsm8k => text.rsplit_once("####")?.1.trim().replace(',', ""),
        };
        (!found.trim().is_empty()).then_some(found)
    }

    /// How the answer is written, for messages.
    const fn answer_form(self) -> &'static str {
        match self {
            Self::Math500 => "text",
            Self::MathLighteval => "a closed \\boxed{…}",
            Self::Gsm8k => "a number after \"####\"",
        }
    }
}

/// What to convert, and how to split it.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// Which data set.
    pub data: HubData,
    /// The hub's file, .parquet or JSON lines; the training file where `test` is given.
    pub file: PathBuf,
    /// The hub's test file.
    pub test: Option<PathBuf>,
    /// Keep the problems of this subject only ("Algebra"); all where it is none.
    pub subject: Option<String>,
    /// Seed of the split of one file.
    pub seed: u64,
}

/// Writes `train.parquet`, `val.parquet` and `test.parquet` into the folder `out`, and returns each path with its number
/// of rows. The same files and seed make the same bytes.
///
/// # Errors
/// A file cannot be read or written; a row lacks the data set's fields or an answer; no row is of the subject; there are
/// too few rows for three splits.
pub fn convert(conversion: &Conversion, out: &Path) -> Result<Vec<(PathBuf, usize)>, DataError> {
    let mut written = Vec::new();
    for (name, problems) in ["train", "val", "test"].into_iter().zip(split(conversion)?) {
        let rows: Vec<Row> = problems
            .into_iter()
            .enumerate()
            .map(|(index, problem)| problem.row(index, name, conversion.data))
            .collect();
        let path = out.join(format!("{name}.parquet"));
        write_parquet(&path, &rows)?;
        written.push((path, rows.len()));
    }
    Ok(written)
}

/// The problems of train, val and test, none of them empty.
fn split(conversion: &Conversion) -> Result<[Vec<Problem>; 3], DataError> {
    let few = |path: &Path, rows: usize, needed: usize| DataError::TooFewRows {
        path: path.to_owned(),
        rows,
        needed,
    };
    let first = problems(&conversion.file, conversion)?;
    if let Some(path) = &conversion.test {
        let mut validation = problems(path, conversion)?;
        if validation.len() < 2 {
            return Err(few(path, validation.len(), 2));
        }
        let test = validation.split_off(validation.len() / 2);
        return Ok([first, validation, test]);
    }
    if first.len() < 3 {
        return Err(few(&conversion.file, first.len(), 3));
    }
    // train_test_split(0.4), then train_test_split(0.5) of the second part; each takes its test rows, rounded up, from
    // the front of a permutation. The papers' validation rows are those test rows.
    let held_out = (2 * first.len()).div_ceil(5);
    let order = permutation(conversion.seed, first.len());
    let again = permutation(conversion.seed, held_out);
    let (validation, test) = again.split_at(held_out.div_ceil(2));
    let held = |rows: &[usize]| rows.iter().map(|&row| first[order[row]].clone()).collect();
    let train = order[held_out..].iter().map(|&row| first[row].clone()).collect();
    Ok([train, held(validation), held(test)])
}

/// A problem with its answer, and the columns that stay.
#[derive(Clone)]
struct Problem {
    text: String,
    answer: String,
    columns: Columns,
}

impl Problem {
    fn row(self, index: usize, split: &str, data: HubData) -> Row {
        let mut extra = self.columns;
        extra.insert("ability".to_owned(), Value::from("math"));
        extra.insert("reward_model".to_owned(), json!({"style": "rule"}));
        extra.insert("extra_info".to_owned(), json!({"index": index, "split": split}));
        Row {
            index,
            prompt: PromptText::Messages(vec![Message {
                role: "user".to_owned(),
                content: format!("{} {INSTRUCTION}", self.text),
            }]),
            ground_truth: self.answer,
            data_source: data.source().to_owned(),
            extra: Value::Object(extra).to_string(),
            response: None,
            truth_column: None,
        }
    }
}

/// The problems of a file, those of the subject.
fn problems(path: &Path, conversion: &Conversion) -> Result<Vec<Problem>, DataError> {
    let data = conversion.data;
    let wanted = conversion.subject.as_deref().zip(data.subject_field());
    let mut kept = Vec::new();
    let mut subjects: Vec<String> = Vec::new();
    for record in read_table(path)?.rows {
        let (place, mut columns) = (record.place, record.columns);
        let file = File { path, place, data };
        if let Some((subject, field)) = wanted {
            let found = file.text(&columns, field)?;
            if !found.eq_ignore_ascii_case(subject) {
                if !subjects.iter().any(|known| known == found) {
                    subjects.push(found.to_owned());
                }
                continue;
            }
        }
        let [problem, answer] = data.fields();
        let text = file.text(&columns, problem)?.to_owned();
        let working = file.text(&columns, answer)?.to_owned();
        let answer_text = data.answer(&working).ok_or_else(|| DataError::NoAnswer {
            path: path.to_owned(),
            place,
            field: answer,
            expected: data.answer_form(),
        })?;
        columns.shift_remove(problem);
        columns.shift_remove(answer);
        if data == HubData::Gsm8k {
            columns.insert("solution".to_owned(), Value::from(working));
        }
        kept.push(Problem {
            text,
            answer: answer_text,
            columns,
        });
    }
    match wanted {
        Some((subject, _)) if kept.is_empty() => Err(DataError::NoSubject {
            path: path.to_owned(),
            subject: subject.to_owned(),
            found: subjects,
        }),
        _ => Ok(kept),
    }
}

/// The contents of the last box with its blanks, as the papers' files have them.
fn boxed(solution: &str) -> Option<&str> {
    let answer = last_boxed(solution)?;
    let braced = solution.rfind("\\boxed{").map(|at| &solution[at + "\\boxed{".len()..]);
    let Some(inner) = braced.filter(|inner| inner.trim_start().starts_with(answer)) else {
        return Some(answer);
    };
    let blanks = |text: &str| text.len() - text.trim_start().len();
    let end = blanks(inner) + answer.len();
    Some(&inner[..end + blanks(&inner[end..])])
}

/// The place of a row, for messages.
struct File<'a> {
    path: &'a Path,
    place: Place,
    data: HubData,
}

impl File<'_> {
    /// The text of a field.
    fn text<'c>(&self, columns: &'c Columns, field: &'static str) -> Result<&'c str, DataError> {
        match columns.get(field) {
            Some(Value::String(text)) => Ok(text),
            None | Some(Value::Null) => Err(DataError::NoField {
                path: self.path.to_owned(),
                place: self.place,
                field,
                data: self.data.name(),
                found: columns.keys().cloned().collect(),
                // MATH-500 has the fields of MATH-lighteval, too, so that the order of `ALL` matters
                other: HubData::ALL
                    .into_iter()
                    .find(|other| other.fields().iter().all(|name| columns.contains_key(*name)))
                    .filter(|other| *other != self.data)
                    .map(HubData::name),
            }),
            Some(other) => Err(DataError::WrongType {
                path: self.path.to_owned(),
                place: self.place,
                column: field.to_owned(),
                found: Kind::of(other).to_string(),
                expected: "text",
            }),
        }
    }
}
