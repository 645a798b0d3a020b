//! The final answer of a mathematical text: finds `\boxed{…}` and compares it with the ground truth.
//!
//! Rewards reach this crate as `moa_sdk::answer`, with the feature `answer` of moa-sdk.
//!
//! [`is_same`] compares **strings**, after the normalisation of the MATH benchmark ([`normalize`]).
//! [`is_equivalent`] compares **mathematics**, as below.
//! All functions take any text, never panic, and take time linear in its length.
//!
//! # Mathematical equivalence
//!
//! [`is_equivalent`] is symmetric, and true for
//! - texts that are equal but for blanks at their ends;
//! - answers of one kind whose parts are equal, by the table;
//! - answers that cannot be read or decided, if their strings are the same after normalisation.
//!
//! | kind | written | the same if |
//! |---|---|---|
//! | value | `\frac12`, `1/2`, `2\frac13`, `0.5`, `0.\overline{3}`, `1,000`, `1{,}000`, `6\times10^{-5}`, `1.5e3`, `2516_8`, `\sqrt[3]{2}`, `3+4i`, `\log_2 8`, `5!`, `\binom52`, `\|x\|`, `\lfloor x\rfloor`, `x^2+1`, `5 million` | equal for all values of the variables; `0.333` is not `1/3`, and `3.14` is not `\pi` |
//! | with a unit | `5\text{ cm}`, `5 cm^2`, `\$5`, `90^\circ`, `50\%` | values equal, and units the same or only on one side; `50\%` is `50` and `1/2` |
//! | named | `x = 5`, `f(x) = …`, `x \in …`, `AB = 5` | the right sides are the same; two names must be one name or make one equation |
//! | words | `\text{Evelyn}`, `(C)`, `C.` | same letters and digits, whatever the case |
//! | list | `1, 2`, `1 \text{ and } 2`, `1 \pm \sqrt2` | same items in any order; also a set |
//! | set | `\{1, 2\}`, `\emptyset` | same members, each counted once |
//! | point, vector, interval | `(1, 2)`, `[0, \infty)`, `\langle 1, 2 \rangle` | same items in order, same brackets |
//! | region | `(0,1) \cup [2,3]`, `x > 2`, `x<1 \text{ or } x>2`, `\mathbb{R} \setminus \{2\}` | same intervals in any order |
//! | matrix | `pmatrix`, `bmatrix`, `array`, …; `vmatrix` is a determinant | same entries |
//! | ratio | `2:3` | same numbers in order |
//! | equation | `2x + 3y = 6`, `x \ne 2` | left less right is a constant multiple of the other's |
//! | inequality | `0 < x \le 1`, `2x > 4` | the same, by a positive constant |
//!
//! Equality of expressions is decided by exact arithmetic: fractions of 128 bits; otherwise modulo three primes of
//! 61 bits, with the variables, π and e at random points and with exact roots of fractions and i. Only where sines,
//! logarithms, powers with variable exponents or roots of such things are in it, and they are not the same term by
//! term, rounded values decide: "different" where they differ, "the same" if both sides together have no more than
//! 12 significant digits (constants: 8), their values agree to 12 digits, and nothing on the way has lost digits.
//! Variables are real numbers of both signs: `\sqrt{x^2}` is `|x|` and not `x`. `\log` is to base 10.
//!
//! Not read, so compared as strings: what has two readings (`1/2x`, `\sin x/2`, `\frac123`, `2e-3`), sums, limits,
//! integrals, dots, answers of more than 4000 bytes or 40 levels of brackets, and comparisons that take more than
//! about 20 ms. Where the normalisation loses a difference (`11/2` and `1 1/2`, `5\text{ cm}` and `5\text{ m}`,
//! `x = 5` and `y = 5`, `5` and `5\text{ and a half}`), strings are the same and mathematics is not.

mod boxed;
mod math;
mod string;

pub use boxed::{has_boxed, last_boxed};
pub use string::{is_same, normalize};

/// Whether two answers are mathematically the same; see the [crate](self). An empty one is the same as nothing.
pub fn is_equivalent(answer: &str, truth: &str) -> bool {
    let (answer, truth) = (answer.trim(), truth.trim());
    if answer.is_empty() || truth.is_empty() {
        return false;
    }
    answer == truth || math::same(answer, truth).unwrap_or_else(|| string::is_same_as_written(answer, truth))
}

/// Whether the last boxed answer of `response` is `truth` after normalisation of both.
pub fn is_correct(response: &str, truth: &str) -> bool {
    last_boxed(response).is_some_and(|answer| is_same(answer, truth))
}

#[cfg(test)]
mod tests {
    use super::{has_boxed, is_correct, last_boxed, normalize};

    #[test]
    fn the_last_box_with_balanced_braces() {
        for (text, expected) in [
            (r"so \boxed{4} and \boxed{\frac{1}{2}}.", Some(r"\frac{1}{2}")),
            (r"\boxed{ 5 }", Some("5")),
            (r"\boxed {5}", Some("5")),
            (r"\boxed{\boxed{6}}", Some("6")),
            (r"\boxed{\{1,2\}}", Some(r"\{1,2\}")),
            (r"\boxed{\left\{ x \right.}", Some(r"\left\{ x \right.")),
            (r"$\boxed 7$ is it", Some("7")),
            (r"\fbox{8}", Some("8")),
            (r"\boxed{9} or \fbox{8}", Some("9")),
            (r"\boxed{}", Some("")),
            (r"\boxed{5} then \boxed{6", None),
            (r"\boxedx", None),
            (r"\boxed", None),
            ("no box", None),
            ("", None),
        ] {
            assert_eq!(last_boxed(text), expected, "{text}");
        }
    }

    #[test]
    fn some_box_is_not_blank() {
        for (text, expected) in [
            (r"\boxed{5}", true),
            (r"\boxed{} \boxed{ }", false),
            (r"\boxed{} \boxed{x}", true),
            (r"\boxed{x} \boxed{", true),
            (r"\boxed{x", false),
            (r"\boxed{{}}", true),
            (r"\boxed{\}", false),
            (r"}} \boxed{1}", true),
            (r"\fbox{1}", false),
            ("", false),
        ] {
            assert_eq!(has_boxed(text), expected, "{text}");
        }
    }

    #[test]
    fn the_last_box_is_compared() {
        assert!(!is_correct(r"\boxed{}", ""));
        assert!(is_correct(r"so \boxed{\dfrac{1}{2}}", "1/2"));
    }

    /// Truncated and hostile texts: no panic, and no more than linear time (a quadratic scan of a megabyte
    /// of open boxes would run for minutes).
    #[test]
    fn any_text() {
        let pieces = [
            "\\", "\\boxed", "\\boxed{", "{", "}", "\\frac", "\\sqrt", "é", "½", "=", "/", ".", "\\text{ ", "-",
            "\u{0}",
        ];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    let text = format!("{a}{b}{c}");
                    is_correct(&text, &text);
                    has_boxed(&text);
                    normalize(&text);
                }
            }
        }
        for piece in [
            "\\boxed{",
            "\\boxed{ }",
            "{",
            "}",
            "\\frac",
            "\\sqrt",
            "\\left",
            ".",
            "=",
            "\\text{ ",
            "\\boxed ",
        ] {
            let text = piece.repeat(1_000_000 / piece.len());
            assert!(!has_boxed(&text), "{piece}");
            is_correct(&text, &text);
            normalize(&text);
        }
    }
}
