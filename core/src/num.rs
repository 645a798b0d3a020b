//! Conversions between number types, each with the reason why nothing is lost.

/// The nearest f32: for values that are computed in f64 and kept in f32.
#[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
pub(crate) fn to_f32(x: f64) -> f32 {
    x as f32
}
