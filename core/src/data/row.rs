//! One row of a data file, and which columns it is read from.

use serde::{Deserialize, Serialize};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// A prompt as the file has it, before the chat template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PromptText {
    /// Plain text.
    Text(String),
    /// A conversation; the papers' files hold one user message.
    Messages(Vec<Message>),
}

impl PromptText {
    /// Number of characters (Unicode scalar values) of the text, or of all messages' contents.
    #[must_use]
    pub fn characters(&self) -> usize {
        match self {
            Self::Text(text) => text.chars().count(),
            Self::Messages(messages) => messages.iter().map(|m| m.content.chars().count()).sum(),
        }
    }
}

/// One row of a data file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Position in the file, from 0; blank lines of a JSON lines file are not counted.
    pub index: usize,
    /// The prompt column.
    pub prompt: PromptText,
    /// What [`Keys::ground_truth_key`] names, else `reward_model.ground_truth`, or a column `ground_truth`, `answer` or
    /// `solution`; empty where the file has none of them.
    pub ground_truth: String,
    /// Where the problem comes from; empty where the file does not say.
    pub data_source: String,
    /// JSON object of every other column, and of what `reward_model` holds besides the ground truth.
    pub extra: String,
    /// The response to imitate, in files for supervised training.
    pub response: Option<String>,
    /// The column of the ground truth, if it is one that only other people's files have: `answer` or `solution`.
    #[serde(skip)]
    pub truth_column: Option<&'static str>,
}

/// Which columns to read, and what must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Column with the prompt.
    pub prompt_key: String,
    /// Column with the ground truth, or a path to it such as `extra_info.answer`; none for the usual ones.
    pub ground_truth_key: Option<String>,
    /// A row without ground truth is an error. Rewards that compare answers need it; others do not.
    pub require_ground_truth: bool,
    /// A row without a response is an error. Supervised training needs it.
    pub require_response: bool,
    /// An empty prompt is a prompt. Rewards may not look at it; a model needs one.
    pub allow_empty_prompt: bool,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            prompt_key: "prompt".to_owned(),
            ground_truth_key: None,
            require_ground_truth: false,
            require_response: false,
            allow_empty_prompt: false,
        }
    }
}
