//! What every boundary's error has in common: one line that says what was found and expected, and a hint.

/// An error that may carry a `hint:` with what to change. Each module's error enum implements it.
pub trait Hint: std::error::Error {
    /// What the user can do about it, one line, without the word "hint".
    fn hint(&self) -> Option<String>;
}
