//! A line of validation.jsonl.

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
