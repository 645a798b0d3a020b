//! The tokenizer of the tiny model: byte-level BPE over the corpus of problems and responses.
//!
//! Training writes the same file each time. The `tokenizers` crate breaks ties between pairs by token id. The order of
//! its hash maps could matter only if one string were merged in two ways: a test checks that this corpus has no such
//! string, and another that two trainings agree.

use serde_json::json;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use super::problem::Problem;
use super::response;
use crate::data::draw::Draw;
use crate::data::error::DataError;

/// Padding.
pub const PAD: &str = "<|pad|>";
/// End of a response, and the end-of-text token.
pub const END: &str = "<|end|>";
/// The special tokens; their ids are 0, 1, 2, 3.
pub const SPECIAL_TOKENS: [&str; 4] = [PAD, END, "<|user|>", "<|assistant|>"];
/// Chat template: `<|user|>…<|assistant|>…<|end|>`. A system message is a turn of the user's.
pub const CHAT_TEMPLATE: &str = "{% for message in messages %}\
    {% if message['role'] == 'assistant' %}<|assistant|>{{ message['content'] }}<|end|>\
    {% else %}<|user|>{{ message['content'] }}{% endif %}\
    {% endfor %}\
    {% if add_generation_prompt %}<|assistant|>{% endif %}";

/// Qwen2's pre-tokenizer: words with one character before them, single digits, runs of signs, line ends.
const PATTERN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The stream of the seed that the corpus is drawn from.
const STREAM: u64 = 2;
/// At most this many tokens; the corpus runs out of pairs a little below.
const LARGEST_VOCABULARY: usize = 544;

/// Trains the tokenizer on `n` problems and their responses, and returns the text of `tokenizer.json`.
///
/// # Errors
/// [`DataError::Encoder`] with the message of the `tokenizers` crate.
pub fn train_tokenizer(seed: u64, n: usize) -> Result<String, DataError> {
    let mut draw = Draw::new(seed, STREAM);
    let mut corpus = Vec::with_capacity(2 * n);
    for _ in 0..n {
        let problem = Problem::draw(&mut draw);
        let (_, response) = response::draw_response(&mut draw, &problem);
        corpus.push(problem.prompt);
        corpus.push(response);
    }
    train(&corpus).map_err(|e| DataError::Encoder {
        what: "training the tokenizer",
        message: e.to_string(),
    })
}

fn train(corpus: &[String]) -> tokenizers::Result<String> {
    let mut tokenizer = Tokenizer::new(BPE::default());
    let split = Split::new(
        SplitPattern::Regex(PATTERN.to_owned()),
        SplitDelimiterBehavior::Isolated,
        false,
    )?;
    let bytes = ByteLevel::new(false, true, false); // no blank before the text, no pattern of its own
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![
        PreTokenizerWrapper::Split(split),
        PreTokenizerWrapper::ByteLevel(bytes),
    ])));
    tokenizer.with_decoder(Some(bytes));
    let trainer = BpeTrainer::builder()
        .vocab_size(LARGEST_VOCABULARY)
        .special_tokens(
            SPECIAL_TOKENS
                .iter()
                .map(|token| AddedToken::from(*token, true))
                .collect(),
        )
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    tokenizer.train(&mut TrainerWrapper::BpeTrainer(trainer), corpus.iter())?;
    let mut text = tokenizer.to_string(true)?;
    text.push('\n');
    Ok(text)
}

/// The text of `tokenizer_config.json`.
pub fn tokenizer_config() -> String {
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": null,
        "eos_token": END,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": false,
        "chat_template": CHAT_TEMPLATE,
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_merge_makes_a_token_of_its_own() {
        let text = train_tokenizer(0, 3_000).expect("the corpus trains");
        let json: serde_json::Value = serde_json::from_str(&text).expect("tokenizer.json is JSON");
        let merges = json["model"]["merges"].as_array().expect("merges");
        let vocabulary = json["model"]["vocab"].as_object().expect("vocab");
        assert_eq!(vocabulary.len(), SPECIAL_TOKENS.len() + 256 + merges.len());
        assert!(vocabulary.len() <= LARGEST_VOCABULARY);
    }

    #[test]
    fn training_twice_gives_the_same_file() {
        let train = || train_tokenizer(7, 500).expect("the corpus trains");
        assert_eq!(train(), train());
    }
}
