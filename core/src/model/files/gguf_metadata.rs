//! The metadata of a GGUF file, with errors that name the key.

#[allow(
    clippy::disallowed_types,
    reason = "candle returns the metadata so; it is only looked up by key"
)]
use std::collections::HashMap;
use std::path::Path;

use candle_core::quantized::gguf_file::Value;

use crate::model::error::ModelError;

/// Metadata with errors that name the key.
pub(super) struct Metadata<'a> {
    pub(super) path: &'a Path,
    #[allow(clippy::disallowed_types, reason = "as above")]
    pub(super) values: &'a HashMap<String, Value>,
}

impl Metadata<'_> {
    pub(super) fn get<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, ModelError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| ModelError::BadValue {
                path: self.path.to_path_buf(),
                key: key.to_string(),
                found: format!("{:?}", value.value_type()),
                expected: expected.to_string(),
            }),
        }
    }

    pub(super) fn need<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, ModelError> {
        self.get(key, expected, read)?.ok_or_else(|| ModelError::MissingKey {
            path: self.path.to_path_buf(),
            key: key.to_string(),
            expected: expected.to_string(),
        })
    }
}

pub(super) fn count(value: &Value) -> Option<usize> {
    let value = match value {
        Value::I32(v) => u64::try_from(*v).ok()?,
        other => other.to_u64().ok()?,
    };
    usize::try_from(value).ok().filter(|v| *v > 0)
}

pub(super) fn number(value: &Value) -> Option<f64> {
    value.to_f32().map(f64::from).or_else(|_| value.to_f64()).ok()
}

pub(super) fn text(value: &Value) -> Option<String> {
    value.to_string().ok().cloned()
}
