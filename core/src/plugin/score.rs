//! What a reward returns for one completion: a finite score, or why there is none.

/// A finite score, or why there is none.
pub type Score = Result<f32, Failure>;

/// Why one completion has no score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub cause: Cause,
    /// In words, one line.
    pub message: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Kinds of failures, which the metrics count. Only components have others than the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The reward returned an error for the completion.
    Refused,
    /// The score is NaN or infinite.
    NotFinite,
    /// It computed longer than its fuel.
    Fuel,
    /// It took longer than its time.
    Time,
    /// It asked for more than its memory.
    Memory,
    /// It returned more bytes than it may.
    Result,
    /// It returned another number of results.
    Output,
    /// It panicked, or did something that stops a WebAssembly program.
    Trap,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::NotFinite,
        Self::Fuel,
        Self::Time,
        Self::Memory,
        Self::Result,
        Self::Output,
        Self::Trap,
    ];

    /// Its name in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotFinite => "not-finite",
            Self::Fuel => "fuel",
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Result => "result",
            Self::Output => "output",
            Self::Trap => "trap",
        }
    }
}
