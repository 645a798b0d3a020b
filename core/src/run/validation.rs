//! A line of validation.jsonl, and of the responses behind it.

use serde::{Deserialize, Serialize};
use serde_json::Map;

/// One line of validation.jsonl.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// Training steps done before it; 0 is the model as it was loaded.
    pub step: u64,
    /// Validation prompts.
    pub prompts: usize,
    /// Performance per objective in its own unit, in the order of the objectives.
    pub performance: Map<String, serde_json::Value>,
    /// Mean response length in tokens.
    pub length: f64,
    /// Share of responses that hit the length cap.
    pub truncated: f64,
    /// The scalarizer's weights at this point, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<f32>>,
}

/// One line of validation_responses.jsonl or test_responses.jsonl: a prompt, the response to it, and what it was worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponseRecord {
    /// Training steps done before it.
    pub step: u64,
    /// Row of the data file.
    pub row: usize,
    /// The rendered prompt.
    pub prompt: String,
    /// What the row says is right.
    pub ground_truth: String,
    /// The response as text.
    pub response: String,
    /// Its length in tokens.
    pub tokens: usize,
    /// Whether it hit the length cap.
    pub truncated: bool,
    /// Scores in the order of the objectives `[M]`, larger is better.
    pub scores: Vec<f32>,
    /// Performance in the order of the objectives `[M]`, in their own units. Its mean over the lines of a step is the
    /// performance in validation.jsonl.
    pub performance: Vec<f32>,
    /// Names of the objectives whose reward failed on it; their score is 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}
