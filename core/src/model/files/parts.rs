//! What the files of a model hold.

use super::kept::Kept;
use crate::engine::Params;
use crate::model::architecture::Architecture;
use crate::model::tokenizer::Tokenizer;

/// The parts of a model.
pub(in crate::model) struct Parts {
    pub(in crate::model) architecture: Architecture,
    pub(in crate::model) tokenizer: Tokenizer,
    pub(in crate::model) params: Params,
    pub(in crate::model) kept: Kept,
}
