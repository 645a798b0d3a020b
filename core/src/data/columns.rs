//! From the columns of a row to a [`Row`] and back: one place for both file formats, over JSON values.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::{DataError, Place};
use super::kind::Kind;
use super::row::{Keys, Message, PromptText, Row};

/// The columns of one row, in the file's order.
pub(super) type Columns = Map<String, Value>;

/// One row as it is in the file.
pub(super) struct Record {
    /// Where it stands.
    pub(super) place: Place,
    /// What JSON can hold.
    pub(super) columns: Columns,
    /// Names of columns with bytes that are not text.
    pub(super) binary: Vec<String>,
}

/// Takes the records of a file or of several, one by one, so that nothing is in memory twice.
pub(super) type Visit<'a> = dyn FnMut(&Path, Record) -> Result<(), DataError> + 'a;

/// A file read whole, with columns as they are in the file.
pub(super) struct Table {
    /// The file, for messages.
    pub(super) path: PathBuf,
    /// The format's name.
    pub(super) format: &'static str,
    /// All rows, at least one.
    pub(super) rows: Vec<Record>,
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
            .map(|(index, record)| row(&path, index, record, keys))
            .collect()
    }
}

/// Turns one record into the row `index`.
///
/// # Errors
/// As [`Table::rows`].
pub(super) fn row(path: &Path, index: usize, record: Record, keys: &Keys) -> Result<Row, DataError> {
    let Record { place, columns, binary } = record;
    let cell = Cell { path, place };
    for key in [Some(&keys.prompt_key), keys.ground_truth_key.as_ref()]
        .into_iter()
        .flatten()
    {
        if binary.contains(key) {
            return Err(cell.wrong(key, "bytes that are not UTF-8".to_owned(), "text"));
        }
    }
    cell.row(index, columns, keys)
}

/// The place of a row, for messages.
struct Cell<'a> {
    path: &'a Path,
    place: Place,
}

impl Cell<'_> {
    fn row(&self, index: usize, mut columns: Columns, keys: &Keys) -> Result<Row, DataError> {
        let prompt = match columns.shift_remove(&keys.prompt_key) {
            Some(Value::String(text)) if text.is_empty() && keys.allow_empty_prompt => PromptText::Text(text),
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
        let (ground_truth, truth_column) = match &keys.ground_truth_key {
            Some(key) => (at_key(&mut columns, key), None),
            None => ground_truth(&mut columns),
        };
        if keys.require_ground_truth && ground_truth.is_none() {
            let looked_for = match &keys.ground_truth_key {
                None => "`reward_model.ground_truth`, `ground_truth`, `answer` and `solution`".to_owned(),
                Some(key) => format!("data.ground_truth_key = \"{key}\""),
            };
            return Err(self.missing("ground truth", looked_for));
        }
        let response = match take_text(&mut columns, "response") {
            Err(kind) if keys.require_response => return Err(self.wrong("response", kind, "text")),
            response => response.ok().flatten(),
        };
        if keys.require_response && response.is_none() {
            return Err(self.missing("response", "`response`".to_owned()));
        }
        let data_source = take_text(&mut columns, "data_source").ok().flatten();
        let mut extra = Value::Object(columns).to_string();
        extra.shrink_to_fit();
        Ok(Row {
            index,
            prompt,
            ground_truth: ground_truth.unwrap_or_default(),
            data_source: data_source.unwrap_or_default(),
            extra,
            response,
            truth_column,
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

    /// A turn: `{role, content}`, or `{from, value}` as ShareGPT has it.
    fn message(&self, column: &str, value: Value) -> Result<Message, DataError> {
        let Value::Object(mut fields) = value else {
            return Err(self.wrong(column, Kind::of(&value).to_string(), "{role, content}"));
        };
        let share_gpt = !fields.contains_key("role") && fields.contains_key("from");
        let [role, content] = if share_gpt {
            ["from", "value"]
        } else {
            ["role", "content"]
        };
        let (role_at, content_at) = (format!("{column}.{role}"), format!("{column}.{content}"));
        let role = match fields.shift_remove(role) {
            Some(Value::String(text)) => text,
            Some(other) => return Err(self.wrong(&role_at, Kind::of(&other).to_string(), "text")),
            None => return Err(self.wrong(&role_at, "missing".to_owned(), "text")),
        };
        let role = match role.as_str() {
            "human" if share_gpt => "user".to_owned(),
            "gpt" if share_gpt => "assistant".to_owned(),
            _ => role,
        };
        let content = match fields.shift_remove(content) {
            Some(Value::String(text)) => text,
            Some(Value::Null) => String::new(),
            Some(Value::Array(parts)) => self.parts(&content_at, parts)?,
            Some(other) => return Err(self.wrong(&content_at, Kind::of(&other).to_string(), "text")),
            None => return Err(self.wrong(&content_at, "missing".to_owned(), "text")),
        };
        Ok(Message { role, content })
    }

    /// Content as a list of parts, `{"type": "text", "text": …}` or plain texts: their texts, one after the other.
    fn parts(&self, column: &str, parts: Vec<Value>) -> Result<String, DataError> {
        let mut content = String::new();
        for (i, part) in parts.into_iter().enumerate() {
            let text = match &part {
                Value::String(text) => Some(text.as_str()),
                Value::Object(fields) if fields.get("type").is_none_or(|kind| kind == "text") => {
                    fields.get("text").and_then(Value::as_str)
                }
                _ => None,
            };
            match text {
                Some(text) => content.push_str(text),
                None => {
                    let kind = part.get("type").and_then(Value::as_str);
                    let found = kind.map_or_else(|| Kind::of(&part).to_string(), |kind| format!("of type \"{kind}\""));
                    return Err(self.wrong(&format!("{column}[{i}]"), found, "a part of type \"text\""));
                }
            }
        }
        Ok(content)
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

    fn missing(&self, what: &'static str, columns: String) -> DataError {
        DataError::Missing {
            path: self.path.to_owned(),
            place: self.place,
            what,
            columns,
        }
    }
}

/// The value of a column, or at a path into one.
fn at_key(columns: &mut Columns, key: &str) -> Option<String> {
    if let Some(value) = columns.shift_remove(key) {
        return plain_text(value);
    }
    let mut parts = key.split('.');
    let first = columns.get(parts.next()?)?;
    plain_text(parts.try_fold(first, |value, part| value.get(part))?.clone())
}

/// The ground truth of a row, and its column where that is one of [`OTHER_TRUTHS`]. What the papers' layout holds is taken
/// out of the columns; what else `reward_model` holds stays. A row of that layout without a ground truth has none, whatever
/// its other columns are.
fn ground_truth(columns: &mut Columns) -> (Option<String>, Option<&'static str>) {
    let nested = match columns.get_mut("reward_model") {
        Some(Value::Object(fields)) => fields.shift_remove("ground_truth"),
        _ => None,
    };
    let is_left = |v: &Value| !v.is_null() && !v.as_object().is_some_and(Map::is_empty);
    if !columns.get("reward_model").is_none_or(is_left) {
        columns.shift_remove("reward_model");
    }
    let top = match &nested {
        None | Some(Value::Null) => columns.shift_remove("ground_truth"),
        Some(_) => None,
    };
    if nested.is_some() || top.is_some() {
        let own = nested.and_then(plain_text);
        return (own.or_else(|| top.and_then(plain_text)), None);
    }
    OTHER_TRUTHS
        .into_iter()
        .find_map(|name| Some((plain_text(columns.get(name)?.clone())?, name)))
        .unzip()
}

/// Columns that hold the ground truth in other people's files. They stay among the extra ones.
const OTHER_TRUTHS: [&str; 2] = ["answer", "solution"];

/// Takes a text out of the columns; none for null. Anything else stays there, and its kind is the error.
fn take_text(columns: &mut Columns, name: &str) -> Result<Option<String>, String> {
    match columns.get(name) {
        None => Ok(None),
        Some(Value::Null | Value::String(_)) => Ok(columns.shift_remove(name).and_then(plain_text)),
        Some(other) => Err(Kind::of(other).to_string()),
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
            let row = Row { index: 0, prompt, ground_truth, data_source, extra, response, truth_column: None };
            let table = Table {
                path: PathBuf::from("x.jsonl"),
                format: "JSON lines",
                rows: vec![Record { place: Place::Line(1), columns: to_columns(&row), binary: Vec::new() }],
            };
            prop_assert_eq!(table.rows(&Keys::default()).expect("its own layout"), vec![row]);
        }
    }
}
