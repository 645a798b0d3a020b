//! What an estimator refuses.

use crate::error::{Fault, Report};

/// Why advantages could not be estimated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AdvantageError {
    /// Two arrays that describe the same completions differ in length.
    #[error("advantages: {what} has {found} entries, expected {expected}")]
    Length {
        /// Which array.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
    /// A reward, score or weight is NaN or infinite.
    #[error("advantages: {what} at index {index} is {value}, expected a finite number")]
    NotFinite {
        /// Which array.
        what: &'static str,
        /// Flat index into it.
        index: usize,
        /// What was there.
        value: f32,
    },
    /// The estimator needs the rewards of greedy completions.
    #[error("advantages: estimator {estimator} needs the rewards of greedy completions, found none")]
    NoGreedy {
        /// Name of the estimator.
        estimator: &'static str,
    },
    /// The estimator compares the completions of a prompt and there is one only.
    #[error("advantages: estimator {estimator} needs at least 2 completions per prompt, group {group} has 1")]
    GroupOfOne {
        /// Name of the estimator.
        estimator: &'static str,
        /// The group's number.
        group: u32,
    },
    /// Something that is defined on the scalar reward of a completion meets a method that has none.
    #[error("scalarizer `{scalarizer}` returns {found}, found {setting}, which needs {needs}")]
    NoReward {
        /// The scalarizer.
        scalarizer: String,
        /// What the scalarizer returns.
        found: &'static str,
        /// The setting that needs more, as it is written.
        setting: &'static str,
        /// What the setting needs.
        needs: &'static str,
        /// What to set instead.
        instead: &'static str,
    },
}

impl Report for AdvantageError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Length { .. } | Self::NoGreedy { .. } => None,
            Self::NotFinite { .. } => {
                Some("look at the reward functions and the scalarizer: one of them gave this number".into())
            }
            Self::GroupOfOne { .. } => {
                Some("set rollout.group_size to 2 or more, or choose another algorithm.estimator".into())
            }
            Self::NoReward { instead, .. } => Some(format!("set {instead}, or choose another scalarizer")),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::NoReward { .. } => Fault::Usage,
            _ => Fault::Run,
        }
    }
}

pub(super) fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), AdvantageError> {
    if found == expected {
        Ok(())
    } else {
        Err(AdvantageError::Length { what, found, expected })
    }
}

pub(super) fn finite(what: &'static str, values: &[f32]) -> Result<(), AdvantageError> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(AdvantageError::NotFinite {
            what,
            index,
            value: values[index],
        }),
        None => Ok(()),
    }
}
