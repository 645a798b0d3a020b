//! Format: 1 if the response has a layout, else 0. A layout is a regular expression (`pattern`), or one of these:
//! ```text
//! think-answer  <think> … </think> <answer> … </answer>   and nothing else: the format of DeepSeek-R1-Zero
//!               (arXiv 2501.12948), each tag exactly once
//! think         <think> … </think> and then something, each tag exactly once
//! ```
//! Where the prompt ends with `<think>`, as some chat templates do, the response need not open it.
//!
//! Expressions are those of the regex crate, which has neither look-around nor back-references and takes linear
//! time. A `.` does not match a line break unless the expression says `(?s)`.

use moa_sdk::prelude::*;
use moa_sdk::regex::Regex;

/// A layout that has a name.
#[derive(Choice, Clone, Copy, Default)]
pub enum Layout {
    /// A thought and an answer in tags.
    #[default]
    ThinkAnswer,
    /// A thought in tags, then text.
    Think,
}

/// What is looked for.
#[derive(Params)]
pub struct Params {
    /// The layout, where no pattern is given.
    layout: Layout,
    /// A regular expression, in place of a layout.
    pattern: Option<String>,
    /// Whether the pattern must match the whole response; else somewhere in it is enough.
    #[param(default = true)]
    full: bool,
}

const OPEN: &str = "<think>";

/// The reward.
pub struct Format {
    regex: Regex,
    /// Each must be there exactly once.
    once: &'static [&'static str],
}

impl Reward for Format {
    const NAME: &str = "format";
    const ABOUT: &str = "1 if the response matches a regular expression or a layout such as <think>…</think>, else 0";
    type Params = Params;

    fn new(params: Params) -> Result<Self> {
        let regex = |pattern: &str| {
            Regex::new(pattern).map_err(|error| {
                // The crate's message draws the expression over several lines; the last says what is wrong.
                let message = error.to_string();
                let last = message.lines().last().unwrap_or_default();
                Error::new(format!("param `pattern` is {pattern:?}: {last}"))
                    .hint("expressions are those of the regex crate: no look-around, no back-references")
            })
        };
        let whole = |pattern: &str| format!(r"\A(?:{pattern})\z");
        if let Some(pattern) = &params.pattern {
            let bare = regex(pattern)?; // by itself first, so that no part of it can close the group around it
            let regex = if params.full { regex(&whole(pattern))? } else { bare };
            return Ok(Self { regex, once: &[] });
        }
        let (pattern, once): (_, &[&str]) = match params.layout {
            Layout::ThinkAnswer => (
                r"(?s)\s*<think>.*</think>\s*<answer>.*</answer>\s*",
                &[OPEN, "</think>", "<answer>", "</answer>"],
            ),
            Layout::Think => (r"(?s)\s*<think>.*</think>.*\S.*", &[OPEN, "</think>"]),
        };
        Ok(Self {
            regex: regex(&whole(pattern))?,
            once,
        })
    }

    fn score(&self, completion: &Completion<'_>) -> Result<f32> {
        let begun;
        let text = if !self.once.is_empty() && completion.prompt.trim_end().ends_with(OPEN) {
            begun = format!("{OPEN}{}", completion.response);
            begun.as_str()
        } else {
            completion.response
        };
        let once = self.once.iter().all(|tag| text.matches(tag).take(2).count() == 1);
        Ok(f32::from(u8::from(once && self.regex.is_match(text))))
    }
}

moa_sdk::export!(rewards: [Format]);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::{Value, json};

    fn score(params: &Value, prompt: &str, response: &str) -> Result<f32> {
        let completion = Completion {
            prompt,
            response,
            ..Completion::default()
        };
        moa_sdk::testing::score::<Format>(params, &completion)
    }

    #[test]
    fn a_thought_and_an_answer() -> Result<()> {
        for (layout, prompt, response, expected) in [
            ("think-answer", "", "<think>2 + 3</think><answer>5</answer>", 1.0),
            (
                "think-answer",
                "",
                "\n<think>\n2 < 3\n</think>\n\n<answer>\n5\n</answer>\n",
                1.0,
            ),
            ("think-answer", "", "<think></think><answer></answer>", 1.0),
            ("think-answer", "", "<answer>5</answer><think>2 + 3</think>", 0.0),
            ("think-answer", "", "<think>2 + 3</think> so <answer>5</answer>", 0.0),
            ("think-answer", "", "<think>2 + 3</think><answer>5</answer> done", 0.0),
            ("think-answer", "", "<think>2 + 3</think><answer>5", 0.0),
            (
                "think-answer",
                "",
                "<think>a</think><answer>5</answer><answer>6</answer>",
                0.0,
            ),
            ("think-answer", "", "<think>a<think>b</think><answer>5</answer>", 0.0),
            ("think-answer", "Add. <think>\n", "2 + 3</think><answer>5</answer>", 1.0),
            (
                "think-answer",
                "Add. <think>\n",
                "<think>2 + 3</think><answer>5</answer>",
                0.0,
            ),
            ("think-answer", "Add.", "2 + 3</think><answer>5</answer>", 0.0),
            ("think-answer", "", "", 0.0),
            ("think", "", "<think>2 + 3</think>It is 5.", 1.0),
            ("think", "", "<think>2 + 3</think>\n", 0.0),
            ("think", "", "It is 5. <think>2 + 3</think> So", 0.0),
        ] {
            let found = score(&json!({ "layout": layout }), prompt, response)?;
            assert_eq!(found, expected, "{layout}: {prompt:?}, {response:?}");
        }
        Ok(())
    }

    #[test]
    fn a_pattern_on_the_whole_or_anywhere() -> Result<()> {
        for (pattern, full, response, expected) in [
            (r"\d+", true, "42", 1.0),
            (r"\d+", true, "42\n", 0.0),
            (r"\d+", true, "a 42", 0.0),
            (r"\d+", false, "a 42", 1.0),
            (r"a|b", true, "ab", 0.0),
            (r"a.b", true, "a\nb", 0.0),
            (r"(?s)a.b", true, "a\nb", 1.0),
            (r"", true, "", 1.0),
            (r"", true, "a", 0.0),
        ] {
            let found = score(&json!({ "pattern": pattern, "full": full }), "<think>", response)?;
            assert_eq!(found, expected, "{pattern:?}, full {full}, {response:?}");
        }
        Ok(())
    }

    #[test]
    fn what_is_no_expression_is_refused_by_name() {
        for pattern in ["(", "a)|(b", "(?=a)", r"(a)\1", "[", "a{1000}{1000}{1000}"] {
            let error = score(&json!({ "pattern": pattern }), "", "").expect_err(pattern);
            assert!(
                error.message.contains("`pattern`") && !error.message.contains('\n'),
                "{error}"
            );
        }
    }

    #[test]
    fn on_every_family_of_completions() -> Result<()> {
        for params in [
            json!({ "layout": "think-answer" }),
            json!({ "layout": "think" }),
            json!({ "pattern": r"(?s).*\\boxed\{.*\}.*" }),
            json!({ "pattern": r"(\{|\w+\s)*x", "full": false }),
        ] {
            moa_sdk::testing::check_reward::<Format>(&params, 0.0..=1.0)?;
        }
        let long = "<think>".repeat(150_000);
        assert_eq!(score(&json!({}), "", &long)?, 0.0);
        Ok(())
    }
}
