//! Rows for supervised training, in the layouts that trainers of language models take.
//!
//! | columns | prompt | response |
//! |---|---|---|
//! | `prompt`, `response` | `prompt` | `response` |
//! | `prompt`, `completion` (TRL), each text or messages | `prompt` | `completion`, its last message |
//! | `messages` (TRL), `conversations` (ShareGPT) | all but the last message | the last one, of the assistant |
//! | `instruction`, `input`, `output` (Alpaca) | a user's message: instruction and input, an empty line between | `output` |
//! | `question`, `answer` | a user's message: `question` | `answer` |
//! | `text` | the whole text is learned: [`Row::response`] is none | |

use std::path::Path;

use serde_json::{Value, json};

use super::columns::Columns;
use super::error::DataError;
use super::read::read_table;
use super::row::{Keys, Row};

/// Reads the rows of a file for supervised training; the first layout of the table above whose columns a row has is taken.
/// Rows without a response are those of the layout `text`.
///
/// # Errors
/// As [`read_rows`](super::read_rows); a row has no response in any of the layouts.
pub fn read_supervised(path: &Path, prompt_key: &str) -> Result<Vec<Row>, DataError> {
    let mut table = read_table(path)?;
    let mut all_text = true;
    for record in &mut table.rows {
        let columns = &mut record.columns;
        all_text &= !rename(columns, prompt_key) && take_text(columns, prompt_key);
    }
    table.rows(&Keys {
        prompt_key: prompt_key.to_owned(),
        require_response: !all_text,
        ..Keys::default()
    })
}

/// Puts prompt and response under the names that [`Row`] is read from. False: the row has neither layout.
fn rename(columns: &mut Columns, prompt_key: &str) -> bool {
    if columns.get("response").is_some_and(|response| !response.is_null()) {
        return true;
    }
    let has = |columns: &Columns, name: &str| columns.get(name).is_some_and(|value| !value.is_null());
    let pair = if has(columns, "completion") && has(columns, prompt_key) {
        let response = columns.shift_remove("completion").map(last_content);
        columns.shift_remove(prompt_key).zip(response)
    } else if has(columns, "messages") {
        columns.shift_remove("messages").and_then(split)
    } else if has(columns, "conversations") {
        columns.shift_remove("conversations").map(roles).and_then(split)
    } else if has(columns, "instruction") && has(columns, "output") {
        let mut prompt = text(columns.shift_remove("instruction"));
        let input = text(columns.shift_remove("input"));
        if !input.is_empty() {
            prompt = format!("{prompt}\n\n{input}");
        }
        columns
            .shift_remove("output")
            .map(|output| (user(Value::from(prompt)), output))
    } else if has(columns, "question") && has(columns, "answer") {
        columns
            .shift_remove("question")
            .map(user)
            .zip(columns.shift_remove("answer"))
    } else {
        return false;
    };
    if let Some((prompt, response)) = pair {
        columns.insert(prompt_key.to_owned(), prompt);
        columns.insert("response".to_owned(), response);
    }
    true
}

/// A row of plain text: the prompt is the whole text. False: it has none.
fn take_text(columns: &mut Columns, prompt_key: &str) -> bool {
    match columns.shift_remove("text") {
        Some(text @ Value::String(_)) if !columns.contains_key(prompt_key) => {
            columns.insert(prompt_key.to_owned(), text);
            true
        }
        _ => false,
    }
}

fn text(value: Option<Value>) -> String {
    match value {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// A conversation of one message: what a person asks.
fn user(content: Value) -> Value {
    json!([{"role": "user", "content": content}])
}

/// The content of the last message, or the text itself.
fn last_content(value: Value) -> Value {
    match value {
        Value::Array(mut messages) => messages.pop().map_or(Value::Null, |mut last| last["content"].take()),
        other => other,
    }
}

/// All messages but the last, and what the assistant says there; none where it does not speak last.
fn split(messages: Value) -> Option<(Value, Value)> {
    let Value::Array(mut messages) = messages else {
        return None;
    };
    let mut last = messages.pop()?;
    (last["role"] == "assistant").then(|| (Value::Array(messages), last["content"].take()))
}

/// ShareGPT's `from` and `value` as role and content.
fn roles(messages: Value) -> Value {
    let Value::Array(messages) = messages else {
        return messages;
    };
    let message = |message: Value| match (message["from"].as_str(), &message["value"]) {
        (Some(from), value) => {
            let role = match from {
                "human" => "user",
                "gpt" => "assistant",
                other => other,
            };
            json!({"role": role, "content": value})
        }
        _ => message,
    };
    messages.into_iter().map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Message, PromptText};

    fn read(line: &Value) -> Result<Row, DataError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, format!("{line}\n")).expect("written");
        read_supervised(&path, "prompt").map(|mut rows| rows.remove(0))
    }

    #[test]
    fn every_layout_gives_the_same_prompt_and_response() {
        let user = json!({"role": "user", "content": "2 + 2?"});
        let answer = json!({"role": "assistant", "content": "4"});
        let chat = PromptText::Messages(vec![Message {
            role: "user".to_owned(),
            content: "2 + 2?".to_owned(),
        }]);
        let plain = PromptText::Text("2 + 2?".to_owned());
        for (row, prompt) in [
            (json!({"prompt": "2 + 2?", "response": "4"}), &plain),
            (json!({"prompt": "2 + 2?", "completion": "4"}), &plain),
            (json!({"prompt": [user], "completion": [answer]}), &chat),
            (json!({"messages": [user, answer]}), &chat),
            (
                json!({"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]}),
                &chat,
            ),
            (json!({"instruction": "2 + 2?", "input": "", "output": "4"}), &chat),
            (json!({"question": "2 + 2?", "answer": "4"}), &chat),
        ] {
            let found = read(&row).unwrap_or_else(|e| panic!("{row}: {e}"));
            assert_eq!((&found.prompt, found.response.as_deref()), (prompt, Some("4")), "{row}");
        }
        let alpaca = read(&json!({"instruction": "Add.", "input": "2 2", "output": "4"})).expect("read");
        let PromptText::Messages(asked) = alpaca.prompt else {
            panic!("messages are expected")
        };
        assert_eq!(asked[0].content, "Add.\n\n2 2");
        let text = read(&json!({"text": "All of it."})).expect("read");
        assert_eq!(
            (text.prompt, text.response),
            (PromptText::Text("All of it.".to_owned()), None)
        );
    }

    #[test]
    fn a_row_without_a_response_is_refused() {
        for row in [
            json!({"prompt": "2 + 2?"}),
            json!({"messages": [{"role": "user", "content": "2 + 2?"}]}),
        ] {
            assert!(read(&row).is_err(), "{row}");
        }
    }
}
