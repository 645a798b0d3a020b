//! The data inside the binary, so that a first run needs no file: data/tiny-math, made by `data generate`.

/// Training rows, Parquet.
pub const TRAIN: &[u8] = include_bytes!("../../../data/tiny-math/train.parquet");
/// Validation rows, Parquet.
pub const VALIDATION: &[u8] = include_bytes!("../../../data/tiny-math/validation.parquet");
/// Test rows, Parquet.
pub const TEST: &[u8] = include_bytes!("../../../data/tiny-math/test.parquet");
