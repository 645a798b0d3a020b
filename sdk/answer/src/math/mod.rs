//! Whether two answers are mathematically the same.
//!
//! Text → [`lexer`] → [`kinds`] (with [`parser`] for expressions) → [`answer`] → [`compare`] (with [`identity`] for equal
//! expressions). What cannot be read or decided is `None`, and such answers are compared as strings.

mod algebra;
mod answer;
mod budget;
mod compare;
mod expr;
mod field;
mod float;
mod identity;
mod kinds;
mod lexer;
mod number;
mod parser;
mod words;

#[cfg(test)]
mod tests;

use budget::Budget;
use identity::Verdict;

/// Longer answers are compared as strings only.
const LONGEST: usize = 4000;

/// Whether two answers are the same, where that can be decided.
pub(super) fn same(a: &str, b: &str) -> Option<bool> {
    let (a, b) = (trimmed(a)?, trimmed(b)?);
    let (a, b) = (lexer::lex(a)?, lexer::lex(b)?);
    let (a, b) = (kinds::answer(&a)?, kinds::answer(&b)?);
    if let (Some(a), Some(b)) = (compare::fraction(&a), compare::fraction(&b)) {
        return Some(a == b);
    }
    match compare::compare(&a, &b, &mut Budget::new()) {
        Verdict::Same => Some(true),
        Verdict::Different => Some(false),
        Verdict::Unknown => None,
    }
}

/// Without what stands around a formula: dollar signs, `\(…\)`, `\[…\]`, asterisks, a final point.
fn trimmed(text: &str) -> Option<&str> {
    if text.len() > LONGEST {
        return None;
    }
    let mut text = text.trim();
    loop {
        let before = text.len();
        for around in ["$$", "$", "**", "`"] {
            if let Some(inner) = text.strip_prefix(around).and_then(|inner| inner.strip_suffix(around)) {
                text = inner.trim();
            }
        }
        for (open, close) in [("\\(", "\\)"), ("\\[", "\\]")] {
            if let Some(inner) = text.strip_prefix(open).and_then(|inner| inner.strip_suffix(close)) {
                text = inner.trim();
            }
        }
        if !text.ends_with("\\.") && !text.ends_with("..") && !text.ends_with(".m.") {
            text = text.strip_suffix('.').unwrap_or(text).trim_end();
        }
        if !text.ends_with("\\,") && !text.ends_with("\\;") {
            text = text.strip_suffix([',', ';']).unwrap_or(text).trim_end();
        }
        if text.len() == before {
            return (!text.is_empty()).then_some(text);
        }
    }
}
