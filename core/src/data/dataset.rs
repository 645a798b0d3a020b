//! Rows turned into prompts of token ids, with the length limit.

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

/// Renders and tokenizes one prompt: the seam to `model`, which stands below this module.
pub type Encode<'a> = dyn FnMut(&PromptText) -> Result<Encoded, EncodeError> + 'a;

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
            dropped: 0,
            truncated: 0,
        };
        for row in rows {
            let Encoded { text, mut tokens } = encode(&row.prompt).map_err(|e| DataError::Encode {
                row: row.index,
                message: e.to_string(),
            })?;
            if tokens.is_empty() {
                return Err(DataError::NoTokens { row: row.index });
            }
            shortest = shortest.min(tokens.len());
            if tokens.len() > max_prompt_tokens {
                match overlong {
                    // A limit of no tokens leaves nothing to truncate to.
                    Overlong::Truncate if max_prompt_tokens > 0 => {
                        tokens.drain(..tokens.len() - max_prompt_tokens);
                        dataset.truncated += 1;
                    }
                    Overlong::Drop | Overlong::Truncate => {
                        dataset.dropped += 1;
                        continue;
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
            dataset.prompts.push(Prompt {
                row: row.index,
                text,
                tokens,
                ground_truth: row.ground_truth,
                data_source: row.data_source,
                extra: row.extra,
            });
        }
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
        };
        lengths.iter().enumerate().map(row).collect()
    }

    /// A token for each letter.
    fn letters(prompt: &PromptText) -> Result<Encoded, EncodeError> {
        let PromptText::Text(text) = prompt else {
            return Err("only text".into());
        };
        Ok(Encoded {
            text: format!("<{text}>"),
            tokens: text.bytes().map(u32::from).collect(),
        })
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
        let mut refuses = |_: &PromptText| Err("no such role".into());
        let error = Dataset::new(rows(&[1]), 3, Overlong::Drop, &mut refuses).expect_err("the encoder refuses");
        assert_eq!(
            error.to_string(),
            "row 0 (from 0): the prompt cannot be turned into tokens: no such role"
        );
    }
}
