//! The final answer of a mathematical text, for rewards: the functions of moa-answer, and how a param chooses between
//! its two comparisons. Needs the feature `answer`.

pub use moa_answer::{has_boxed, is_correct, is_equivalent, is_same, last_boxed, normalize};

use crate::Choice;

/// How answers are compared.
#[derive(Choice, Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As strings, after the normalisation of the MATH benchmark ([`is_same`]).
    #[default]
    String,
    /// As mathematics: numbers, expressions, sets, intervals, matrices and so on by their values ([`is_equivalent`]).
    Math,
}

/// Whether the last boxed answer of `response` is `truth`, by `mode`.
pub fn is_correct_with(mode: Mode, response: &str, truth: &str) -> bool {
    last_boxed(response).is_some_and(|answer| match mode {
        Mode::String => is_same(answer, truth),
        Mode::Math => is_equivalent(answer, truth),
    })
}

#[cfg(test)]
mod tests {
    use super::{Mode, is_correct_with};

    #[test]
    fn the_mode_decides() {
        for (mode, response, correct) in [
            (Mode::String, r"so \boxed{\dfrac12}", true),
            (Mode::String, r"so \boxed{0.50}", false),
            (Mode::Math, r"so \boxed{0.50}", true),
            (Mode::Math, "so 0.5", false),
        ] {
            assert_eq!(is_correct_with(mode, response, "1/2"), correct, "{mode:?} {response}");
        }
    }
}
