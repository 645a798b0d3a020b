//! Buffers that do not fit together.

use crate::error::Report;

/// A buffer does not have what it should hold.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another number of values.
    #[error("{what}: found {found} values, expected {expected}")]
    Length {
        /// Which buffer.
        what: &'static str,
        /// Its values.
        found: usize,
        /// What its layout has.
        expected: usize,
    },
    /// Two buffers whose names or shapes differ.
    #[error("{what}: names and shapes are not those of the parameters")]
    Layout {
        /// Which buffer.
        what: &'static str,
    },
    /// A sum of nothing.
    #[error("{what}: there are none")]
    Empty {
        /// Of what.
        what: &'static str,
    },
}

impl Report for EngineError {}
