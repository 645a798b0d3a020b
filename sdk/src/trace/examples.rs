//! Examples as JSON lines: a line that says what is shown and how the scalarizer is made, then its events, one a line.

use serde::Deserialize;
use serde_json::Value;

use super::{Event, Example};
use crate::Objective;
use crate::{Error, Result};

/// The first line of an example: an [`Example`] without its events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    about: String,
    objectives: Vec<Objective>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    seed: u64,
}

impl Example {
    /// Reads the examples of a file; an empty text has none. A line with the key `hook` is an event of the example
    /// above it, every other line begins an example:
    /// ```
    /// # use moa_sdk::trace::Example;
    /// let examples = Example::parse_all(r#"
    /// {"about": "a weighted sum", "objectives": [{"name": "a"}, {"name": "b"}], "params": {"weights": [0.75, 0.25]}}
    /// {"hook": "scalarize", "step": 1, "groups": [0], "lengths": [1], "scores": [[1, 0]], "expect": {"rewards": [0.75]}}
    /// "#)?;
    /// assert_eq!(examples[0].events.len(), 1);
    /// # Ok::<(), moa_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// Names the first line that is neither, or that is an event without an example.
    pub fn parse_all(text: &str) -> Result<Vec<Self>> {
        let mut examples: Vec<Self> = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let at = |error: &dyn std::fmt::Display| Error::new(format!("line {}: {error}", index + 1));
            let value: Value = serde_json::from_str(line).map_err(|error| at(&error))?;
            if value.get("hook").is_none() {
                let head = serde_json::from_value(value).map_err(|error| at(&error))?;
                let Head {
                    about,
                    objectives,
                    params,
                    seed,
                } = head;
                examples.push(Self {
                    about,
                    objectives,
                    params,
                    seed,
                    events: Vec::new(),
                });
                continue;
            }
            let example = examples
                .last_mut()
                .ok_or_else(|| at(&"an event, expected the example's `about`"))?;
            // From the text: only there a number keeps its last digit.
            example.events.push(Event::parse(line).map_err(|error| at(&error))?);
        }
        Ok(examples)
    }
}

#[cfg(test)]
mod tests {
    use super::Example;

    #[test]
    fn examples_are_read_and_a_bad_line_is_named() -> crate::Result<()> {
        let head = r#"{"about": "x", "objectives": [{"name": "a"}]}"#;
        let event = r#"{"hook": "on_validation", "step": 0, "values": [0.1]}"#;
        let two = Example::parse_all(&format!("\n{head}\n{event}\n{event}\n\n{head}\n"))?;
        assert_eq!(
            two.iter().map(|example| example.events.len()).collect::<Vec<_>>(),
            [2, 0]
        );
        assert_eq!(Example::parse_all("")?, []);
        for (text, part) in [
            (event.to_owned(), "line 1: an event, expected"),
            (format!("{head}\n{{\"hook\": \"none\"}}"), "line 2: not an event"),
            (format!("{head}\n{event}}}"), "line 2: trailing characters"),
            (head.replace("about", "title"), "line 1: unknown field `title`"),
        ] {
            let error = Example::parse_all(&text).expect_err(part);
            assert!(error.message.contains(part), "{error}");
        }
        Ok(())
    }
}
