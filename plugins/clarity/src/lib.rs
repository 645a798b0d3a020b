//! Clarity: 1 if the response has a non-empty `\boxed{…}` and visible steps, else 0. Visible steps are two
//! enumerators or bullets (`1.`, `a)`, `iv.`, `Step 2:`, `- ` at a line's start), or two ordinal words (first …
//! tenth, next, then).
//!
//! From arXiv 2509.11452 and arXiv 2602.06869. The scanner below does what these patterns do, both
//! case-insensitive and multi-line, in linear time, with digits and letters of ASCII only:
//! ```text
//! enumerator  (?:^|\s|\()(?:step\s*)?(?:\d+|[a-z]|[ivxlcdm]+)[).:-]      bullet  ^\s*[-*•]\s
//! ordinal     \b(?:first|second|…|tenth|next|then)\b
//! ```
//! Departure from the released code: there a bullet may stand after any blank, so that each minus sign of
//! `5 - 3 - 1` is a bullet. The independent form is easily won without any meaning ("then then \boxed{5}"); with
//! `gated`, a wrong answer scores 0.

use moa_sdk::prelude::*;

/// Which form.
#[derive(Params)]
pub struct Params {
    /// 0 unless the last boxed answer is the ground truth.
    #[param(default = false)]
    gated: bool,
    /// How the gate compares answers: "string" or "math", as accuracy does.
    mode: answer::Mode,
}

/// The reward.
pub struct Clarity {
    gated: bool,
    mode: answer::Mode,
}

impl Reward for Clarity {
    const NAME: &str = "clarity";
    const ABOUT: &str = "1 if there is a non-empty box and at least two enumerated or ordinal steps, else 0";
    type Params = Params;

    fn new(params: Params) -> Result<Self> {
        let Params { gated, mode } = params;
        Ok(Self { gated, mode })
    }

    fn score(&self, completion: &Completion<'_>) -> Result<f32> {
        let text = completion.response;
        let clear = answer::has_boxed(text)
            && (markers(text) >= 2 || ordinals(text) >= 2)
            && (!self.gated || answer::is_correct_with(self.mode, text, completion.ground_truth));
        Ok(f32::from(u8::from(clear)))
    }
}

/// Matches of the enumerator's pattern and of the bullet's, each counted by itself.
fn markers(text: &str) -> usize {
    let text: Vec<char> = text.chars().collect();
    enumerators(&text) + bullets(&text)
}

/// Matches of the ordinal words, as whole words.
fn ordinals(text: &str) -> usize {
    const WORDS: [&str; 12] = [
        "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "next", "then",
    ];
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| WORDS.iter().any(|ordinal| ordinal.eq_ignore_ascii_case(word)))
        .count()
}

fn enumerators(text: &[char]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < text.len() {
        let at_line_start = (at == 0 || text[at - 1] == '\n').then_some(at);
        let after_boundary = (is_blank(text[at]) || text[at] == '(').then_some(at + 1);
        match at_line_start
            .into_iter()
            .chain(after_boundary)
            .find_map(|start| enumerator_end(text, start))
        {
            Some(end) => {
                count += 1;
                at = end;
            }
            None => at += 1,
        }
    }
    count
}

/// Where the enumerator that starts at `start` ends: a number, letter or roman number, with or without "step"
/// before it, and a closing mark.
fn enumerator_end(text: &[char], start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    let step = "step"
        .chars()
        .zip(rest)
        .filter(|(a, b)| *a == b.to_ascii_lowercase())
        .count()
        == 4;
    let blanks = |from: usize| run(text, from, is_blank);
    let numbered = step.then(|| token_end(text, blanks(start + 4))).flatten();
    numbered.or_else(|| token_end(text, start))
}

/// Where a number, letter or roman number at `start` and its closing mark end.
fn token_end(text: &[char], start: usize) -> Option<usize> {
    let digits = run(text, start, |c| c.is_ascii_digit());
    let roman = run(text, start, |c| "ivxlcdm".contains(c.to_ascii_lowercase()));
    let letter = start + usize::from(text.get(start).is_some_and(char::is_ascii_alphabetic));
    [digits, letter, roman]
        .into_iter()
        .find(|&end| end > start && text.get(end).is_some_and(|c| ").:-".contains(*c)))
        .map(|end| end + 1)
}

fn bullets(text: &[char]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < text.len() {
        if at > 0 && text[at - 1] != '\n' {
            at += 1;
            continue;
        }
        let mark = run(text, at, is_blank);
        if text.get(mark).is_some_and(|c| "-*•".contains(*c)) && text.get(mark + 1).is_some_and(|&c| is_blank(c)) {
            count += 1;
            at = mark + 2;
        } else {
            // All line starts within these blanks come to the same mark.
            at = mark.max(at) + 1;
        }
    }
    count
}

/// The end of the run of characters from `start` that are `of` a kind.
fn run(text: &[char], start: usize, of: impl Fn(char) -> bool) -> usize {
    text.iter()
        .skip(start)
        .position(|&c| !of(c))
        .map_or(text.len().max(start), |length| start + length)
}

/// What `\s` matches in Python, whose `re` the papers' code uses.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

moa_sdk::export!(rewards: [Clarity]);

#[cfg(test)]
mod tests {
    use super::*;

    fn score(gated: bool, response: &str) -> Result<f32> {
        by(answer::Mode::String, gated, response)
    }

    fn by(mode: answer::Mode, gated: bool, response: &str) -> Result<f32> {
        Clarity::new(Params { gated, mode })?.score(&Completion {
            response,
            ground_truth: "5",
            ..Completion::default()
        })
    }

    #[test]
    fn a_box_and_two_steps() -> Result<()> {
        for (response, expected) in [
            ("1) 2 + 2 = 4\n2) 4 + 1 = 5\n\\boxed{5}", 1.0),
            ("Step 1: we add 2. Step 2: we add 1. \\boxed{5}", 1.0),
            ("First 2 + 2, next 4 + 1: \\boxed{5}", 1.0),
            ("- two\n- three\n\\boxed{5}", 1.0),
            ("then then \\boxed{5}", 1.0),
            ("1) 2 + 3 = \\boxed{5}", 0.0),
            ("First, then 2 + 3 = 5", 0.0),
            ("First, then \\boxed{}", 0.0),
            ("8 - 2 - 1 = \\boxed{5}", 0.0),
            ("", 0.0),
        ] {
            assert_eq!(score(false, response)?, expected, "{response:?}");
        }
        Ok(())
    }

    #[test]
    fn gated_by_the_answer() -> Result<()> {
        assert_eq!(score(true, "First, then \\boxed{5}")?, 1.0);
        assert_eq!(score(true, "First, then \\boxed{6}")?, 0.0);
        assert_eq!(score(false, "First, then \\boxed{6}")?, 1.0);
        assert_eq!(by(answer::Mode::String, true, "First, then \\boxed{2+3}")?, 0.0);
        assert_eq!(by(answer::Mode::Math, true, "First, then \\boxed{2+3}")?, 1.0);
        Ok(())
    }

    /// Counts of the three patterns by Python's `re` on texts of random pieces; a line is
    /// `[text, enumerators, bullets, ordinals]`.
    #[test]
    fn counts_are_those_of_the_patterns() {
        let mut lines = 0;
        for line in include_str!("../../../tests/golden/clarity-counts.jsonl").lines() {
            let (text, expected): (String, [usize; 3]) = {
                let (text, a, b, c): (String, usize, usize, usize) =
                    moa_sdk::serde_json::from_str(line).expect("a line of the table");
                (text, [a, b, c])
            };
            let chars: Vec<char> = text.chars().collect();
            assert_eq!(
                [enumerators(&chars), bullets(&chars), ordinals(&text)],
                expected,
                "{text:?}"
            );
            lines += 1;
        }
        assert_eq!(lines, 400);
    }

    #[test]
    fn on_every_family_of_completions() -> Result<()> {
        for gated in [false, true] {
            let params = moa_sdk::serde_json::json!({ "gated": gated });
            moa_sdk::testing::check_reward::<Clarity>(&params, 0.0..=1.0)?;
        }
        Ok(())
    }

    /// What stands behind a megabyte of near misses is found, in linear time: a quadratic scan would run for minutes.
    #[test]
    fn long_texts() {
        for piece in [" ", "\n", "(", "1", "i", "step ", "- ", "\n ", "step\n", "(step"] {
            let text = piece.repeat(1_000_000 / piece.len()) + "\n1) then\n- x";
            let chars: Vec<char> = text.chars().collect();
            // Of "- - -" only the first is at a line's start.
            let expected = [1, 1 + usize::from(piece == "- "), 1];
            assert_eq!(
                [enumerators(&chars), bullets(&chars), ordinals(&text)],
                expected,
                "{piece:?}"
            );
        }
    }
}
