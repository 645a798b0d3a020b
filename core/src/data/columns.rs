//! From the columns of a row to a [`Row`] and back: one place for both file formats, over JSON values.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::{DataError, Place};
use super::kind::Kind;
use super::row::{Keys, Message, PromptText, Row};

/// The columns of one row, in the file's order.
pub(super) type Columns = Map<String, Value>;

/// A file read whole, with columns as they are in the file.
pub(super) struct Table {
    /// The file, for messages.
    pub(super) path: PathBuf,
    /// The format's name.
    pub(super) format: &'static str,
    /// All rows, at least one.
    pub(super) rows: Vec<(Place, Columns)>,
}

impl Table {
    /// Turns the columns into rows.
    ///
    /// # Errors
    /// There is no prompt column, a cell has the wrong type, or what `keys` requires is missing.
    pub(super) fn rows(self, keys: &Keys) -> Result<Vec<Row>, DataError> {
        let path = self.path;
        self.rows
            .into_iter()
            .enumerate()
            .map(|(index, (place, columns))| Cell { path: &path, place }.row(index, columns, keys))
            .collect()
    }
}

/// The place of a row, for messages.
struct Cell<'a> {
    path: &'a Path,
    place: Place,
}

impl Cell<'_> {
    fn row(&self, index: usize, mut columns: Columns, keys: &Keys) -> Result<Row, DataError> {
        let prompt = match columns.shift_remove(&keys.prompt_key) {
            Some(value) => self.prompt(&keys.prompt_key, value)?,
            None => {
                return Err(DataError::NoPrompt {
                    path: self.path.to_owned(),
                    place: self.place,
                    column: keys.prompt_key.clone(),
                    found: columns.keys().cloned().collect(),
                });
            }
        };
        let ground_truth = self.ground_truth(&mut columns)?;
        if keys.require_ground_truth && ground_truth.is_none() {
            return Err(self.missing("ground truth", "`reward_model.ground_truth` and `ground_truth`"));
        }
        let response = self.optional_text("response", columns.shift_remove("response"))?;
        if keys.require_response && response.is_none() {
            return Err(self.missing("response", "`response`"));
        }
        let data_source = self.optional_text("data_source", columns.shift_remove("data_source"))?;
        Ok(Row {
            index,
            prompt,
            ground_truth: ground_truth.unwrap_or_default(),
            data_source: data_source.unwrap_or_default(),
            extra: Value::Object(columns).to_string(),
            response,
        })
    }

    fn prompt(&self, column: &str, value: Value) -> Result<PromptText, DataError> {
        let expected = "text or a list of {role, content}";
        match value {
            Value::String(text) if !text.is_empty() => Ok(PromptText::Text(text)),
            Value::String(_) => Err(self.wrong(column, "empty text".to_owned(), expected)),
            Value::Array(items) if items.is_empty() => Err(self.wrong(column, "an empty list".to_owned(), expected)),
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(i, item)| self.message(&format!("{column}[{i}]"), item))
                .collect::<Result<_, _>>()
                .map(PromptText::Messages),
            other => Err(self.wrong(column, Kind::of(&other).to_string(), expected)),
        }
    }

    fn message(&self, column: &str, value: Value) -> Result<Message, DataError> {
        let Value::Object(mut fields) = value else {
            return Err(self.wrong(column, Kind::of(&value).to_string(), "{role, content}"));
        };
        let mut text = |name: &str| match fields.shift_remove(name) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(self.wrong(&format!("{column}.{name}"), Kind::of(&other).to_string(), "text")),
            None => Err(self.wrong(&format!("{column}.{name}"), "missing".to_owned(), "text")),
        };
        Ok(Message {
            role: text("role")?,
            content: text("content")?,
        })
    }

    /// Takes the ground truth out of the columns; what else `reward_model` holds stays.
    fn ground_truth(&self, columns: &mut Columns) -> Result<Option<String>, DataError> {
        let nested = match columns.get_mut("reward_model") {
            None | Some(Value::Null) => None,
            Some(Value::Object(fields)) => fields.shift_remove("ground_truth"),
            Some(other) => {
                let found = Kind::of(other).to_string();
                return Err(self.wrong("reward_model", found, "a struct with ground_truth"));
            }
        };
        if columns
            .get("reward_model")
            .is_some_and(|v| v.is_null() || v.as_object().is_some_and(Map::is_empty))
        {
            columns.shift_remove("reward_model");
        }
        match nested {
            None | Some(Value::Null) => Ok(columns.shift_remove("ground_truth").and_then(plain_text)),
            Some(value) => Ok(plain_text(value)),
        }
    }

    fn optional_text(&self, column: &str, value: Option<Value>) -> Result<Option<String>, DataError> {
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(column, Kind::of(&other).to_string(), "text")),
        }
    }

    fn wrong(&self, column: &str, found: String, expected: &'static str) -> DataError {
        DataError::WrongType {
            path: self.path.to_owned(),
            place: self.place,
            column: column.to_owned(),
            found,
            expected,
        }
    }

    fn missing(&self, what: &'static str, columns: &'static str) -> DataError {
        DataError::Missing {
            path: self.path.to_owned(),
            place: self.place,
            what,
            columns,
        }
    }
}

/// Text as it is, numbers and lists of accepted answers as JSON; null is none.
fn plain_text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// The columns of a row in the papers' layout: the inverse of [`Table::rows`] with the default [`Keys`]. Names in
/// [`Row::extra`] that the layout itself uses are left out.
pub(super) fn to_columns(row: &Row) -> Columns {
    let extra: Columns = serde_json::from_str(&row.extra).unwrap_or_default();
    let mut columns = Columns::new();
    columns.insert("data_source".to_owned(), Value::from(row.data_source.as_str()));
    columns.insert("prompt".to_owned(), prompt_value(&row.prompt));
    if let Some(response) = &row.response {
        columns.insert("response".to_owned(), Value::from(response.as_str()));
    }
    let mut reward_model = Columns::new();
    reward_model.insert("ground_truth".to_owned(), Value::from(row.ground_truth.as_str()));
    if !extra.contains_key("reward_model") {
        columns.insert("reward_model".to_owned(), Value::Object(reward_model.clone()));
    }
    for (name, value) in extra {
        let value = match value {
            Value::Object(rest) if name == "reward_model" => {
                let rest = rest.into_iter().filter(|(field, _)| field != "ground_truth");
                Value::Object(reward_model.clone().into_iter().chain(rest).collect())
            }
            other => other,
        };
        columns.entry(name).or_insert(value);
    }
    columns
}

/// A prompt as JSON, the fields of a message in the papers' order.
fn prompt_value(prompt: &PromptText) -> Value {
    match prompt {
        PromptText::Text(text) => Value::from(text.as_str()),
        PromptText::Messages(messages) => messages
            .iter()
            .map(|m| serde_json::json!({"content": m.content, "role": m.role}))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use serde_json::json;

    use super::*;

    fn prompts() -> impl Strategy<Value = PromptText> {
        let message = (".{0,12}", ".{0,12}").prop_map(|(role, content)| Message { role, content });
        prop_oneof![
            ".{1,20}".prop_map(PromptText::Text),
            prop::collection::vec(message, 1..4).prop_map(PromptText::Messages),
        ]
    }

    /// Columns besides those of the layout, the rest of `reward_model` among them.
    fn extras() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
            prop::collection::vec(any::<u8>(), 0..3).prop_map(Value::from),
        ];
        let columns = prop::collection::btree_map("[a-c]{1,2}", value, 0..4);
        (columns, any::<bool>()).prop_map(|(columns, style)| {
            let mut extra: Columns = columns.into_iter().collect();
            if style {
                extra.insert("reward_model".to_owned(), json!({"style": "rule"}));
            }
            Value::Object(extra).to_string()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 64,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(9),
            ..ProptestConfig::default()
        })]

        #[test]
        fn columns_and_rows_are_inverse(
            prompt in prompts(), ground_truth in ".{0,8}", data_source in ".{0,8}",
            extra in extras(), response in prop::option::of(".{0,8}"),
        ) {
            let row = Row { index: 0, prompt, ground_truth, data_source, extra, response };
            let table = Table {
                path: PathBuf::from("x.jsonl"),
                format: "JSON lines",
                rows: vec![(Place::Line(1), to_columns(&row))],
            };
            prop_assert_eq!(table.rows(&Keys::default()).expect("its own layout"), vec![row]);
        }
    }
}
