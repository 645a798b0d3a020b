//! Match: how well the response, or a part of it, is the ground truth as a text.
//! ```text
//! exact     1 if the two are equal, else 0
//! contains  1 if the ground truth stands in the part, else 0
//! fuzzy     1 − d / max(|a|, |b|), d the Levenshtein distance, lengths in characters; with `threshold`,
//!           1 if that is at least the threshold, else 0
//! ```
//! The part is the whole response, its last box, its last line that is not blank, what follows the last `marker`, or
//! what an expression captures. Both sides are trimmed, and on request compared in small letters and with every run
//! of blanks as one. A part that is not there and an empty ground truth score 0. Answers that are mathematics are the
//! subject of another reward, accuracy.
//!
//! The distance takes at most about 10^7 steps (`distance`); where two long texts differ in more than these allow,
//! the similarity is a lower bound. Everything else is linear in the length of the response.

use moa_sdk::prelude::*;
use moa_sdk::regex::Regex;

mod distance;

/// What counts as a match.
#[derive(Choice, Clone, Copy, Default)]
pub enum Mode {
    /// Equal.
    #[default]
    Exact,
    /// The ground truth stands in the part.
    Contains,
    /// By edit distance.
    Fuzzy,
}

/// Which part of the response is compared.
#[derive(Choice, Clone, Copy, Default)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// The last `\boxed{…}`.
    Boxed,
    /// The last line that is not blank.
    LastLine,
    /// What follows the last `marker`.
    After,
    /// What `pattern` captures.
    Pattern,
}

/// What is compared, and how.
#[derive(Params)]
pub struct Params {
    /// "exact", "contains" (the ground truth stands in the part), or "fuzzy" (1 less the share of edits).
    mode: Mode,
    /// What is compared: the whole response, the last box, the last line, what is after the last `marker`, or what
    /// `pattern` captures.
    part: Part,
    /// With part = "after": the text that the answer follows.
    #[param(default = "Answer:")]
    marker: String,
    /// With part = "pattern": a regular expression; its first group counts, or all of it where it has none. Its first
    /// match is taken; begin it with "(?s).*" for the last.
    pattern: Option<String>,
    /// With mode = "fuzzy": 1 from this similarity on and 0 below it, in place of the similarity.
    threshold: Option<f32>,
    /// Compare in small letters.
    ignore_case: bool,
    /// Leave out blanks at both ends.
    #[param(default = true)]
    trim: bool,
    /// Take every run of blanks and line breaks as one blank.
    fold_blanks: bool,
}

/// The reward.
pub struct Match {
    params: Params,
    pattern: Option<Regex>,
}

impl Reward for Match {
    const NAME: &str = "match";
    const ABOUT: &str =
        "whether the response, or a part of it, is the ground truth as a text: exactly, within, or nearly";
    type Params = Params;

    fn new(params: Params) -> Result<Self> {
        let refuse = |what: String, hint: &str| Err(Error::new(what).hint(hint));
        if params
            .threshold
            .is_some_and(|threshold| !(0.0..=1.0).contains(&threshold))
        {
            let found = params.threshold.unwrap_or_default();
            return refuse(format!("threshold is {found}, expected 0 to 1"), "1 is equality");
        }
        let pattern = match (params.part, params.pattern.as_deref()) {
            (Part::Pattern, None) => {
                return refuse("part is \"pattern\", and there is no `pattern`".into(), "give one");
            }
            (Part::After, _) if params.marker.is_empty() => {
                return refuse("marker is empty".into(), "for all of the response, part = \"whole\"");
            }
            (_, None) => None,
            (_, Some(pattern)) => match Regex::new(pattern) {
                Ok(regex) => Some(regex),
                Err(error) => {
                    let message = error.to_string();
                    let last = message.lines().last().unwrap_or_default();
                    return refuse(
                        format!("param `pattern` is {pattern:?}: {last}"),
                        "expressions are those of the regex crate: no look-around, no back-references",
                    );
                }
            },
        };
        Ok(Self { params, pattern })
    }

    fn score(&self, completion: &Completion<'_>) -> Result<f32> {
        let truth = self.normal(completion.ground_truth);
        if truth.is_empty() {
            return Ok(0.0);
        }
        let Some(part) = self.part(completion.response) else {
            return Ok(0.0);
        };
        let part = self.normal(part);
        Ok(match (self.params.mode, self.params.threshold) {
            (Mode::Exact, _) => one_if(part == truth),
            (Mode::Contains, _) => one_if(part.contains(&truth)),
            (Mode::Fuzzy, None) => distance::similarity(&part, &truth),
            (Mode::Fuzzy, Some(threshold)) => one_if(distance::similarity(&part, &truth) >= threshold),
        })
    }
}

fn one_if(matches: bool) -> f32 {
    f32::from(u8::from(matches))
}

impl Match {
    /// The part that is compared, or `None` where the response has none.
    fn part<'a>(&self, response: &'a str) -> Option<&'a str> {
        match self.params.part {
            Part::Whole => Some(response),
            Part::Boxed => answer::last_boxed(response),
            Part::LastLine => response.lines().rev().find(|line| !line.trim().is_empty()),
            Part::After => {
                let marker = &self.params.marker;
                response.rfind(marker).map(|at| &response[at + marker.len()..])
            }
            Part::Pattern => {
                let captures = self.pattern.as_ref()?.captures(response)?;
                let group = if captures.len() > 1 { 1 } else { 0 };
                captures.get(group).map(|found| found.as_str())
            }
        }
    }

    fn normal(&self, text: &str) -> String {
        let Params {
            ignore_case,
            trim,
            fold_blanks,
            ..
        } = self.params;
        let mut out = if trim { text.trim() } else { text }.to_owned();
        if fold_blanks {
            out = folded(&out);
        }
        if ignore_case { out.to_lowercase() } else { out }
    }
}

/// Every run of blanks as one.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_whitespace() {
            true if out.ends_with(' ') => {}
            true => out.push(' '),
            false => out.push(c),
        }
    }
    out
}

moa_sdk::export!(rewards: [Match]);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::{Value, json};

    fn score(params: &Value, response: &str, ground_truth: &str) -> Result<f32> {
        let completion = Completion {
            response,
            ground_truth,
            ..Completion::default()
        };
        moa_sdk::testing::score::<Match>(params, &completion)
    }

    #[test]
    fn parts_and_modes() -> Result<()> {
        for (params, response, truth, expected) in [
            (json!({}), " Paris\n", "Paris", 1.0),
            (json!({}), "paris", "Paris", 0.0),
            (json!({}), "", "", 0.0),
            (json!({}), "a  b", "a b", 0.0),
            (json!({ "trim": false }), " Paris", "Paris", 0.0),
            (json!({ "ignore_case": true }), "STRASSE Ä", "strasse ä", 1.0),
            (json!({ "fold_blanks": true }), "a \n\u{a0} b", "a b", 1.0),
            (json!({ "mode": "contains" }), "It is Paris.", "Paris", 1.0),
            (json!({ "mode": "contains" }), "It is paris.", "Paris", 0.0),
            (json!({ "mode": "contains" }), "It is Paris.", " ", 0.0),
            (json!({ "mode": "fuzzy" }), "kitten", "sitting", 4.0 / 7.0),
            (json!({ "mode": "fuzzy" }), "", "abc", 0.0),
            (json!({ "mode": "fuzzy", "threshold": 0.5 }), "kitten", "sitting", 1.0),
            (json!({ "mode": "fuzzy", "threshold": 0.6 }), "kitten", "sitting", 0.0),
            (json!({ "part": "boxed" }), r"\boxed{A} or \boxed{B}", "B", 1.0),
            (json!({ "part": "boxed" }), "B", "B", 0.0),
            (json!({ "part": "last-line" }), "so\n\nB \n \n", "B", 1.0),
            (json!({ "part": "last-line" }), "\n \n", "B", 0.0),
            (json!({ "part": "after" }), "Answer: A, no. Answer: B", "B", 1.0),
            (json!({ "part": "after" }), "answer: B", "B", 0.0),
            (json!({ "part": "after", "marker": "####" }), "3\n#### 5", "5", 1.0),
            (
                json!({ "part": "pattern", "pattern": r"is (\w+)" }),
                "it is A, it is B",
                "A",
                1.0,
            ),
            (
                json!({ "part": "pattern", "pattern": r"(?s).*is (\w+)" }),
                "it is A,\nit is B",
                "B",
                1.0,
            ),
            (json!({ "part": "pattern", "pattern": r"\d+" }), "it is 42.", "42", 1.0),
            (json!({ "part": "pattern", "pattern": r"(\d)?x" }), "x", "x", 0.0),
        ] {
            let found = score(&params, response, truth)?;
            assert!(
                (found - expected).abs() < 1e-6,
                "{params}: {response:?}, {truth:?}: {found}"
            );
        }
        Ok(())
    }

    #[test]
    fn params_that_say_nothing_are_refused() {
        for (params, word) in [
            (json!({ "part": "pattern" }), "`pattern`"),
            (json!({ "part": "pattern", "pattern": "(" }), "`pattern`"),
            (json!({ "part": "after", "marker": "" }), "marker"),
            (json!({ "threshold": 1.5 }), "threshold"),
        ] {
            let error = score(&params, "", "").expect_err("must be refused");
            assert!(error.message.contains(word), "{params}: {error}");
        }
    }

    #[test]
    fn on_every_family_of_completions() -> Result<()> {
        for mode in ["exact", "contains", "fuzzy"] {
            for part in ["whole", "boxed", "last-line", "after", "pattern"] {
                let params = json!({
                    "mode": mode, "part": part, "marker": "{", "pattern": r"(?s).*\{(.*)", "ignore_case": true,
                    "fold_blanks": part == "whole",
                });
                moa_sdk::testing::check_reward::<Match>(&params, 0.0..=1.0)?;
            }
        }
        Ok(())
    }

    /// Two megabytes that have nothing in common, and two that are nearly the same.
    #[test]
    fn long_texts_on_both_sides() -> Result<()> {
        let params = json!({ "mode": "fuzzy", "ignore_case": true, "fold_blanks": true });
        let (a, b) = ("ab ".repeat(350_000), "cde".repeat(350_000));
        assert_eq!(score(&params, &a, &b)?, 0.0);
        let near = format!("x{a}x");
        assert!(score(&params, &near, &a)? > 0.99);
        Ok(())
    }
}
