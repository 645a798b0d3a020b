//! Rows turned into prompts of token ids, with the length limit.

use std::collections::BTreeSet;

pub use crate::config::Overlong;

use super::error::DataError;
use super::row::{PromptText, Row};

/// A prompt after the chat template and the tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The rendered text.
    pub text: String,
    /// Its token ids.
    pub tokens: Vec<u32>,
}

/// The error of an encoder.
pub type EncodeError = Box<dyn std::error::Error + Send + Sync>;

/// Renders and tokenizes prompts, in order: the seam to `model`, which stands below this module. An error names the index
/// of the first prompt that fails.
pub type Encode<'a> = dyn FnMut(Vec<PromptText>) -> Result<Vec<Encoded>, (usize, EncodeError)> + 'a;

/// Rows that are encoded at a time: bounds what is in memory twice.
const BLOCK: usize = 8192;

/// Encodes the prompts of `rows`, and gives each row to `each` with what became of its prompt, and whether that was plain
/// text.
///
/// # Errors
/// `encode` refuses a prompt.
pub(super) fn encode_rows(
    rows: Vec<Row>,
    encode: &mut Encode<'_>,
    each: &mut dyn FnMut(Row, bool, Encoded) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut rows = rows.into_iter();
    loop {
        let mut block: Vec<Row> = rows.by_ref().take(BLOCK).collect();
        if block.is_empty() {
            return Ok(());
        }
        let empty = || PromptText::Text(String::new());
        let texts: Vec<bool> = block
            .iter()
            .map(|row| matches!(row.prompt, PromptText::Text(_)))
            .collect();
        let prompts = block.iter_mut().map(|row| std::mem::replace(&mut row.prompt, empty()));
        let encoded = encode(prompts.collect()).map_err(|(at, error)| DataError::Encode {
            row: block.get(at).map_or(at, |row| row.index),
            message: error.to_string(),
        })?;
        for ((row, is_text), encoded) in block.into_iter().zip(texts).zip(encoded) {
            each(row, is_text, encoded)?;
        }
    }
}

/// A prompt ready for the model, with what rewards need to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// [`Row::index`] of its row.
    pub row: usize,
    /// The rendered text, in full even where the tokens were truncated.
    pub text: String,
    /// Token ids, at least one.
    pub tokens: Vec<u32>,
    /// See [`Row::ground_truth`].
    pub ground_truth: String,
    /// See [`Row::data_source`].
    pub data_source: String,
    /// See [`Row::extra`].
    pub extra: String,
}

/// The prompts of a run; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// In the file's order.
    pub prompts: Vec<Prompt>,
    /// Prompts that the file has as plain text and not as messages.
    pub texts: usize,
    /// Columns besides those of the papers' layout that the ground truth came from, `answer` or `solution`.
    pub other_truths: BTreeSet<&'static str>,
    /// Rows left out because of their length.
    pub dropped: usize,
    /// Prompts that lost tokens on the left.
    pub truncated: usize,
}

impl Dataset {
    /// Encodes every row and applies the limit `max_prompt_tokens`.
    ///
    /// # Errors
    /// `encode` refuses a row; a row has no tokens; a row is overlong under [`Overlong::Error`]; no row is left.
    pub fn new(
        rows: Vec<Row>,
        max_prompt_tokens: usize,
        overlong: Overlong,
        encode: &mut Encode<'_>,
    ) -> Result<Self, DataError> {
        let total = rows.len();
        let mut shortest = usize::MAX;
        let mut dataset = Self {
            prompts: Vec::with_capacity(total),
            texts: 0,
            other_truths: BTreeSet::new(),
            dropped: 0,
            truncated: 0,
        };
        encode_rows(rows, encode, &mut |row, is_text, encoded| {
            let Encoded { text, mut tokens } = encoded;
            if tokens.is_empty() {
                return Err(DataError::NoTokens { row: row.index });
            }
            shortest = shortest.min(tokens.len());
            if tokens.len() > max_prompt_tokens {
                match overlong {
                    // A limit of no tokens leaves nothing to truncate to.
                    Overlong::Truncate if max_prompt_tokens > 0 => {
                        tokens.drain(..tokens.len() - max_prompt_tokens);
                        tokens.shrink_to_fit();
                        dataset.truncated += 1;
                    }
                    Overlong::Drop | Overlong::Truncate => {
                        dataset.dropped += 1;
                        return Ok(());
                    }
                    Overlong::Error => {
                        return Err(DataError::Overlong {
                            row: row.index,
                            tokens: tokens.len(),
                            max: max_prompt_tokens,
                        });
                    }
                }
            }
            dataset.texts += usize::from(is_text);
            dataset.other_truths.extend(row.truth_column);
            dataset.prompts.push(Prompt {
                row: row.index,
                text,
                tokens,
                ground_truth: row.ground_truth,
                data_source: row.data_source,
                extra: row.extra,
            });
            Ok(())
        })?;
        if dataset.prompts.is_empty() {
            return Err(DataError::AllDropped {
                rows: total,
                max: max_prompt_tokens,
                shortest: if total == 0 { 0 } else { shortest },
            });
        }
        Ok(dataset)
    }

    /// Number of prompts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prompts.len()
    }

    /// Never true: a data set has at least one prompt.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prompts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Report;

    fn rows(lengths: &[usize]) -> Vec<Row> {
        let row = |(index, &n): (usize, &usize)| Row {
            index,
            prompt: PromptText::Text("abcdefgh"[..n].to_owned()),
            ground_truth: index.to_string(),
            data_source: String::new(),
            extra: "{}".to_owned(),
            response: None,
            truth_column: None,
        };
        lengths.iter().enumerate().map(row).collect()
    }

    /// A token for each letter.
    fn letters(prompts: Vec<PromptText>) -> Result<Vec<Encoded>, (usize, EncodeError)> {
        let letters = |(i, prompt): (usize, PromptText)| match prompt {
            PromptText::Text(text) => Ok(Encoded {
                text: format!("<{text}>"),
                tokens: text.bytes().map(u32::from).collect(),
            }),
            PromptText::Messages(_) => Err((i, "only text".into())),
        };
        prompts.into_iter().enumerate().map(letters).collect()
    }

    #[test]
    fn overlong_prompts_are_dropped_truncated_or_refused() {
        let dropped = Dataset::new(rows(&[2, 5, 3]), 3, Overlong::Drop, &mut letters).expect("two fit");
        assert_eq!((dropped.len(), dropped.dropped), (2, 1));
        assert_eq!(
            (dropped.prompts[1].row, dropped.prompts[1].ground_truth.as_str()),
            (2, "2")
        );
        let truncated = Dataset::new(rows(&[2, 5]), 3, Overlong::Truncate, &mut letters).expect("all fit");
        assert_eq!(
            (truncated.prompts[1].tokens.as_slice(), truncated.truncated),
            (&[99, 100, 101][..], 1)
        ); // c d e
        assert_eq!(truncated.prompts[1].text, "<abcde>");
        let error = Dataset::new(rows(&[2, 5]), 3, Overlong::Error, &mut letters).expect_err("row 1 is too long");
        assert_eq!(
            error.to_string(),
            "row 1 (from 0): the prompt has 5 tokens, expected at most 3"
        );
        assert!(error.hint().is_some_and(|hint| hint.contains("data.max_prompt_tokens")));
    }

    #[test]
    fn nothing_left_and_prompts_that_do_not_encode_are_errors() {
        let error = Dataset::new(rows(&[6, 5]), 3, Overlong::Drop, &mut letters).expect_err("nothing fits");
        assert_eq!(
            error.to_string(),
            "all 2 prompts are longer than 3 tokens (the shortest has 5)"
        );
        let error = Dataset::new(rows(&[1, 0]), 3, Overlong::Drop, &mut letters).expect_err("row 1 is empty");
        assert_eq!(error.to_string(), "row 1 (from 0): the prompt has no tokens");
        let mut many = rows(&vec![1; BLOCK + 2]);
        many[BLOCK + 1].prompt = PromptText::Messages(Vec::new());
        let error = Dataset::new(many, 3, Overlong::Drop, &mut letters).expect_err("the encoder refuses");
        assert_eq!(
            error.to_string(),
            "row 8193 (from 0): the prompt cannot be turned into tokens: only text"
        );
    }
}
