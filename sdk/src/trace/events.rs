//! The events of the hooks but `scalarize`.

use serde::{Deserialize, Serialize};

use super::compare::Expect;

/// Inputs of `on_validation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationEvent {
    /// Steps trained so far.
    pub step: u64,
    /// `[M]`.
    pub values: Vec<f64>,
    /// What is expected, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
}

/// Inputs of `observe_gradients` and `weigh_gradients`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradientsEvent {
    /// Training step.
    pub step: u64,
    /// Mini-batch of the step, from 0; none: the whole batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minibatch: Option<u32>,
    /// Learning rate.
    pub lr: f64,
    /// `[M, M]`.
    pub gram: Vec<Vec<f64>>,
    /// `[M]`.
    pub losses: Vec<f64>,
    /// What is expected, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
}

/// Inputs of `after_update`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateEvent {
    /// Training step.
    pub step: u64,
    /// `[B]`.
    pub groups: Vec<u32>,
    /// `[B, M]`.
    pub scores: Vec<Vec<f32>>,
    /// `[B]`.
    pub advantages: Vec<f32>,
    /// `[N]` as B rows.
    pub old_logprobs: Vec<Vec<f32>>,
    /// `[N]` as B rows.
    pub new_logprobs: Vec<Vec<f32>>,
    /// ε below 1.
    pub clip_low: f64,
    /// ε above 1.
    pub clip_high: f64,
    /// What is expected, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
}
