//! The string normalisation of the MATH benchmark (Hendrycks et al., arXiv 2103.03874, `math_equivalence.py`).
//!
//! Departures from the benchmark's code, each against a wrong "same": `\left` and `\right` are removed only as
//! whole commands (there, `\leftarrow` and `\rightarrow` become equal), a text that is nothing but a unit is kept,
//! and an empty answer is the same as nothing. Beyond it: `-1/2` and `\frac{-1}{2}` are `-\frac{1}{2}`, a bare `%`
//! goes as `\%` does, and a decimal that starts with its point gets its zero anywhere.

/// Whether two answers are the same after normalisation. An empty one is the same as nothing.
pub fn is_same(answer: &str, truth: &str) -> bool {
    let answer = normalize(answer);
    !answer.is_empty() && answer == normalize(truth)
}

/// As [`is_same`], for answers that cannot be read as mathematics: words are kept, which may be more than a unit,
/// and so are blanks between digits, which may part two numbers.
pub(super) fn is_same_as_written(answer: &str, truth: &str) -> bool {
    is_same(&with_words(answer), &with_words(truth))
}

/// With nothing that [`normalize`] would take for a unit, and a mark for each blank between digits.
fn with_words(answer: &str) -> String {
    let answer = answer.replace("\\text{ ", "\\text{");
    let mut out = String::with_capacity(answer.len());
    let mut chars = answer.chars().peekable();
    while let Some(c) = chars.next() {
        let after_digit = out.ends_with(|before: char| before.is_ascii_digit());
        if c == ' ' && after_digit && chars.peek().is_some_and(char::is_ascii_digit) {
            out.push('\u{1}');
        } else {
            out.push(c);
        }
    }
    out
}

/// The string normalisation of the MATH benchmark: line breaks, spaces, `\!`, `tfrac` and `dfrac`, `\left`
/// and `\right`, degrees, `\$`, units in `\text{ …}`, percent, leading zeros, `k = `, `\sqrt3`, `\frac12`,
/// `1/2` and `0.5`.
pub fn normalize(answer: &str) -> String {
    let mut text = answer
        .replace('\n', "")
        .replace("\\!", "")
        .replace("\\\\", "\\")
        .replace("tfrac", "frac")
        .replace("dfrac", "frac");
    text = without_command(&text, "\\left");
    text = without_command(&text, "\\right");
    text = text.replace("^{\\circ}", "").replace("^\\circ", "").replace("\\$", "");
    text = without_unit(&text).replace("\\%", "").replace('%', "");
    // `k = 5`: what stands before the only equals sign, if it is as short as a variable's name.
    if let Some((name, value)) = text.trim().split_once('=')
        && name.chars().count() <= 2
        && !value.contains('=')
    {
        text = value.to_owned();
    }
    text.retain(|c| !c.is_whitespace());
    let text = braced_fractions(&braced_roots(&with_leading_zeros(&text)));
    match simple_fraction(&text) {
        Some(fraction) => fraction,
        None if text == "0.5" => "\\frac{1}{2}".to_owned(),
        None => text,
    }
}

/// `command` removed where no letter follows, which would make it another command.
fn without_command(text: &str, command: &str) -> String {
    let mut parts = text.split(command);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if part.starts_with(|c: char| c.is_ascii_alphabetic()) {
            out.push_str(command);
        }
        out.push_str(part);
    }
    out
}

/// A unit at the end: everything from the only `\text{ `, unless that is all there is.
fn without_unit(text: &str) -> &str {
    match text.split_once("\\text{ ") {
        Some((value, unit)) if !unit.contains("\\text{ ") && !value.trim().is_empty() => value,
        _ => text,
    }
}

/// `.5` -> `0.5`, also inside: `(.5,-.25)`.
fn with_leading_zeros(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let starts = c == '.' && !before.is_some_and(|b: char| b.is_ascii_digit());
        if starts && chars.peek().is_some_and(char::is_ascii_digit) {
            out.push('0');
        }
        out.push(c);
        before = Some(c);
    }
    out
}

/// `\sqrt3` -> `\sqrt{3}`.
fn braced_roots(text: &str) -> String {
    let mut parts = text.split("\\sqrt");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("\\sqrt");
        match first_plain(part) {
            Some((radicand, rest)) => {
                out.extend(['{', radicand, '}']);
                out.push_str(rest);
            }
            None => out.push_str(part),
        }
    }
    out
}

/// `\frac12` -> `\frac{1}{2}`, `\frac1{72}` -> `\frac{1}{72}`.
fn braced_fractions(text: &str) -> String {
    let mut parts = text.split("\\frac");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("\\frac");
        let Some((numerator, rest)) = first_plain(part) else {
            out.push_str(part);
            continue;
        };
        out.extend(['{', numerator, '}']);
        match first_plain(rest) {
            Some((denominator, rest)) => {
                out.extend(['{', denominator, '}']);
                out.push_str(rest);
            }
            None => out.push_str(rest),
        }
    }
    out
}

/// The first character, if it can be an argument without braces, and what follows.
fn first_plain(text: &str) -> Option<(char, &str)> {
    let first = text.chars().next().filter(char::is_ascii_alphanumeric)?;
    Some((first, &text[first.len_utf8()..]))
}

/// `3/4` -> `\frac{3}{4}`, `-3/4` and `\frac{-3}{4}` -> `-\frac{3}{4}`, where that is the whole answer: whole
/// numbers without leading zeros.
fn simple_fraction(text: &str) -> Option<String> {
    let (numerator, denominator) = match text.strip_prefix("\\frac{") {
        Some(braced) => braced.strip_suffix('}')?.split_once("}{")?,
        None => text.split_once('/')?,
    };
    let (sign, numerator) = match numerator.strip_prefix('-') {
        Some(absolute) => ("-", absolute),
        None => ("", numerator),
    };
    let whole = |number: &str| {
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        digits && (number == "0" || !number.starts_with('0'))
    };
    (whole(numerator) && whole(denominator)).then(|| format!("{sign}\\frac{{{numerator}}}{{{denominator}}}"))
}

#[cfg(test)]
mod tests {
    use super::{is_same, is_same_as_written, normalize};

    #[test]
    fn what_the_benchmark_calls_the_same() {
        for (answer, truth) in [
            ("1\n2", "12"),
            (r"1\!000", "1000"),
            (r"\tfrac{1}{2}", r"\dfrac{1}{2}"),
            (r"\left(1, 2\right)", "(1,2)"),
            (r"90^\circ", r"90^{\circ}"),
            (r"\$5", "5"),
            (r"5\text{ cm}", "5"),
            (r"20\%", "20"),
            ("20%", "20"),
            (".5", "0.5"),
            ("{.25}", "{0.25}"),
            ("(-.5,1.5)", "(-0.5,1.5)"),
            ("k = 7", "7"),
            (r"\sqrt3", r"\sqrt{3}"),
            (r"2\sqrt 3", r"2\sqrt{3}"),
            (r"\frac12", r"\frac{1}{2}"),
            (r"\frac1{72}", r"\frac{1}{72}"),
            ("1/2", r"\frac{1}{2}"),
            ("-3/4", r"-\frac{3}{4}"),
            (r"\frac{-3}{4}", r"-\frac{3}{4}"),
            ("0.5", r"\frac12"),
            ("x \\in [1,2]", r"x\in[1,2]"),
        ] {
            assert!(
                is_same(answer, truth),
                "{answer} is {} and not {}",
                normalize(answer),
                normalize(truth)
            );
        }
    }

    #[test]
    fn what_stays_different() {
        for (answer, truth) in [
            ("1", "2"),
            ("", ""),
            (" ", ""),
            (r"\leftarrow", r"\rightarrow"),
            (r"\text{ red}", r"\text{ blue}"),
            ("x=1, y=2", "y=2"),
            ("abc=5", "5"),
            ("1/2/3", r"\frac{1}{2}"),
            ("01/2", "1/2"),
            (r"\frac{-3}{4}^2", r"-\frac{3}{4}^2"),
            ("1/-2", r"-\frac{1}{2}"),
            (r"\frac{12}{3}", r"\frac{1}{23}"),
            ("1.5", "15"),
        ] {
            assert!(
                !is_same(answer, truth),
                "{answer} and {truth} are both {}",
                normalize(answer)
            );
        }
    }

    #[test]
    fn as_written_keeps_words_and_blanks_between_digits() {
        assert!(is_same(r"5\text{ million}", "5") && !is_same_as_written(r"5\text{ million}", "5"));
        assert!(is_same("2 3", "23") && !is_same_as_written("2 3", "23"));
        assert!(is_same_as_written(r"\foo{ 2 } x", r"\foo{2}x"));
    }
}
