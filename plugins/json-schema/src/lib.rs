//! JSON schema: 1 if the response is JSON and satisfies a schema, else 0.
//!
//! The schema is a param, a table in the config or its JSON as text; without one any JSON will do. Its language is a
//! part of JSON Schema, draft 2020-12 (`schema` lists the keywords); what is not part of it is an error when the run
//! starts, not a keyword without effect. What of the response is read:
//! ```text
//! whole   all of it
//! fenced  the last block between ```json (or ```) and ```
//! first   the first object or array
//! auto    the last fenced block, if there is one; else all of it, if that is JSON; else the first object or array
//! ```
//! A first object or array that breaks off is passed over as far as it was read. JSON is that of RFC 8259, nested at
//! most 127 deep; of a key that stands twice the last counts. Time is linear in the length of the response.

use moa_sdk::prelude::*;
use moa_sdk::serde_json::{Deserializer, Map, Value};

mod canonical;
mod schema;
mod validate;

use schema::Schema;

/// What of the response is read.
#[derive(Choice, Clone, Copy, Default)]
pub enum Part {
    /// A fenced block, all of it, or the first value, whatever is there.
    #[default]
    Auto,
    /// All of it.
    Whole,
    /// The last fenced block.
    Fenced,
    /// The first object or array.
    First,
}

/// What is looked for.
#[derive(Params)]
pub struct Params {
    /// The schema, as a table or as its JSON; none: any JSON.
    schema: Map<String, Value>,
    /// Where the JSON is: the last fenced block ("fenced"), the first object or array, the whole response, or "auto".
    part: Part,
    /// Read only what follows the last of these, `</think>` for one; a response without it scores 0.
    after: Option<String>,
}

/// The reward.
pub struct JsonSchema {
    schema: Schema,
    part: Part,
    after: Option<String>,
}

impl Reward for JsonSchema {
    const NAME: &str = "json-schema";
    const ABOUT: &str = "1 if the response, or the JSON in it, is valid and satisfies a JSON schema, else 0";
    type Params = Params;

    fn new(params: Params) -> Result<Self> {
        let Params { schema, part, after } = params;
        Ok(Self {
            schema: Schema::new(&Value::Object(schema))?,
            part,
            after,
        })
    }

    fn score(&self, completion: &Completion<'_>) -> Result<f32> {
        let text = completion.response;
        let text = match &self.after {
            None => Some(text),
            Some(marker) => text.rfind(marker).map(|at| &text[at + marker.len()..]),
        };
        let value = text.and_then(|text| value_in(text, self.part));
        let valid = value.is_some_and(|value| validate::is_valid(&self.schema, &value));
        Ok(f32::from(u8::from(valid)))
    }
}

/// The JSON that counts, if there is any.
fn value_in(text: &str, part: Part) -> Option<Value> {
    let parsed = |text: &str| moa_sdk::serde_json::from_str(text).ok();
    match part {
        Part::Whole => parsed(text),
        Part::Fenced => fenced(text).and_then(parsed),
        Part::First => first(text),
        Part::Auto => match fenced(text) {
            Some(block) => parsed(block),
            None => parsed(text).or_else(|| first(text)),
        },
    }
}

/// What stands in the last block between lines of three backticks, the first of them with or without `json`.
fn fenced(text: &str) -> Option<&str> {
    const FENCE: &str = "```";
    let mut last = None;
    let mut open: Option<Option<usize>> = None; // in a block; where its contents start if it is one of JSON
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(label) = line.trim().strip_prefix(FENCE) {
            match open.take() {
                Some(start) => last = start.map(|start| &text[start..at]).or(last),
                None => {
                    let json = label.is_empty() || label.eq_ignore_ascii_case("json");
                    open = Some(json.then_some(at + line.len()));
                }
            }
        }
        at += line.len();
    }
    last
}

/// The first object or array.
fn first(mut text: &str) -> Option<Value> {
    loop {
        text = &text[text.find(['{', '['])?..];
        match Deserializer::from_str(text).into_iter().next()? {
            Ok(value) => return Some(value),
            // Going on where it broke off, and not behind its first brace, keeps the whole linear in the length.
            Err(error) => {
                let mut at = read_until(text, error.line(), error.column()).max(1);
                while !text.is_char_boundary(at) {
                    at += 1;
                }
                text = &text[at..];
            }
        }
    }
}

/// The bytes before the one at a line and column, both from 1, as serde_json counts them.
fn read_until(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    let before: usize = lines.map(str::len).sum();
    (before + column.saturating_sub(1)).min(text.len())
}

moa_sdk::export!(rewards: [JsonSchema]);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::json;

    fn score(params: &Value, response: &str) -> Result<f32> {
        let completion = Completion {
            response,
            ..Completion::default()
        };
        moa_sdk::testing::score::<JsonSchema>(params, &completion)
    }

    #[test]
    fn where_the_json_is() -> Result<()> {
        let schema = json!({ "required": ["a"] });
        for (part, response, expected) in [
            ("whole", r#" {"a": 1} "#, 1.0),
            ("whole", r#"{"a": 1} done"#, 0.0),
            ("whole", r#"{"a": 1,}"#, 0.0),
            ("whole", "", 0.0),
            ("fenced", "So:\n```json\n{\"a\": 1}\n```\nDone.", 1.0),
            ("fenced", "```\n{\"a\": 1}\n```", 1.0),
            ("fenced", "```JSON\r\n{\"a\": 1}\r\n```\r\n", 1.0),
            ("fenced", "```json\n{}\n```\n```json\n{\"a\": 1}\n```", 1.0),
            ("fenced", "```json\n{\"a\": 1}\n```\n```json\n{}\n```", 0.0),
            ("fenced", "```json\n{\"a\": 1}\n```\n```rust\n{}\n```", 1.0),
            ("fenced", "```rust\n```\n{\"a\": 1}\n", 0.0),
            ("fenced", "```json\n{\"a\": 1}", 0.0),
            ("first", r#"It is {"a": 1}, not {}"#, 1.0),
            ("first", r#"It is {}, not {"a": 1}"#, 0.0),
            ("first", r#"[see {there}] {"a": 1}"#, 1.0),
            ("first", "{é} {\"a\": 1}", 1.0),
            ("first", "{\n\"b\":\n x {\"a\": 1}", 1.0),
            ("first", "nothing", 0.0),
            ("auto", "{}\n```json\n{\"a\": 1}\n```", 1.0),
            ("auto", "{\"a\": 1}\n```json\nbroken\n```", 0.0),
            ("auto", "\"a text\"", 1.0),
            ("auto", r#"It is {"a": 1}."#, 1.0),
        ] {
            let found = score(&json!({ "schema": schema, "part": part }), response)?;
            assert_eq!(found, expected, "{part}: {response:?}");
        }
        Ok(())
    }

    #[test]
    fn only_what_follows_a_marker() -> Result<()> {
        let params = json!({ "schema": { "type": "array" }, "after": "</think>" });
        assert_eq!(score(&params, "<think>{}</think>[]")?, 1.0);
        assert_eq!(score(&params, "<think>[]</think>{}")?, 0.0);
        assert_eq!(score(&params, "[]")?, 0.0);
        Ok(())
    }

    #[test]
    fn a_schema_as_text_and_what_is_none() -> Result<()> {
        let text = json!({ "schema": r#"{ "type": "object" }"# });
        assert_eq!(score(&text, "{}")?, 1.0);
        assert_eq!(score(&text, "[]")?, 0.0);
        for schema in [json!("no schema"), json!({ "no": "keyword" }), json!(3), json!("[]")] {
            let error = score(&json!({ "schema": schema }), "").expect_err("must be refused");
            assert!(error.message.contains("schema"), "{error}");
        }
        Ok(())
    }

    #[test]
    fn on_every_family_of_completions() -> Result<()> {
        let schema = json!({
            "$defs": { "tree": { "anyOf": [{ "items": { "$ref": "#/$defs/tree" } }, { "type": "integer" }] } },
            "$ref": "#/$defs/tree", "uniqueItems": true,
        });
        for part in ["auto", "whole", "fenced", "first"] {
            let params = json!({ "schema": schema, "part": part });
            moa_sdk::testing::check_reward::<JsonSchema>(&params, 0.0..=1.0)?;
        }
        Ok(())
    }

    /// Linear time: each of these has a place where a scan could start over, or a schema where it could branch.
    #[test]
    fn long_texts() -> Result<()> {
        let schema = json!({
            "anyOf": [{ "items": { "$ref": "#" } }, { "items": { "$ref": "#" }, "minItems": 9 }],
            "type": ["array", "number", "object"], "additionalProperties": { "$ref": "#" }, "uniqueItems": true,
        });
        for piece in [
            "[",
            "{\"a\":",
            "[1,",
            "{[",
            "```json\n",
            "\"[",
            "[\"[\",",
            "[]",
            "[[[1]]] ",
            "[\n",
            "é{",
        ] {
            for part in ["auto", "whole", "fenced", "first"] {
                let text = piece.repeat(1_000_000 / piece.len());
                score(&json!({ "schema": schema, "part": part }), &text)?;
            }
        }
        let deep = format!("{}\"a text\"{}", "[".repeat(120), "]".repeat(120));
        assert_eq!(score(&json!({ "schema": schema }), &deep)?, 0.0);
        let numbers: Vec<String> = (0..100_000).map(|i| format!("[{i}]")).collect();
        let wide = format!("[{}]", numbers.join(","));
        assert_eq!(score(&json!({ "schema": schema }), &wide)?, 1.0);
        Ok(())
    }
}
