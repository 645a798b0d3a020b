//! Chat templates: Jinja as transformers runs it. That is trimmed blocks, loop controls, `raise_exception`,
//! `strftime_now`, `{% generation %}`, `tojson` as Python writes it, and the methods of Python's str and dict.
//!
//! A template comes from a stranger's folder. It has a budget of instructions, and it runs on a thread of
//! [`super::watched`], which bounds its stack, its memory and its time.

mod json;
mod python;
mod source;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use crate::config::Date;
use crate::data::Message;

use super::error::ModelError;

/// Instructions of one rendering. A turn of a conversation takes about a hundred.
const FUEL: u64 = 1_000_000;
/// Longest template in bytes. The longest published ones have 20 kB.
const LONGEST_SOURCE: usize = 1 << 20;
/// Calls within calls of macros.
const DEEPEST_CALL: usize = 100;

/// A chat template, compiled.
pub(super) struct Template {
    environment: Environment<'static>,
    asks_for_date: bool,
}

/// What a template sees besides the messages.
pub(super) struct Context<'a> {
    pub(super) bos: &'a str,
    pub(super) eos: &'a str,
    /// The date that `strftime_now` formats.
    pub(super) date: Date,
    /// Variables of the user, such as `enable_thinking`.
    pub(super) arguments: &'a serde_json::Map<String, serde_json::Value>,
}

impl Template {
    /// Compiles the text of a template.
    ///
    /// # Errors
    /// It does not parse, or it is longer than any template.
    pub(super) fn new(text: &str) -> Result<Self, ModelError> {
        if text.len() > LONGEST_SOURCE {
            return Err(ModelError::Template {
                message: format!("{} bytes, expected at most {LONGEST_SOURCE}", text.len()),
            });
        }
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        environment.set_syntax(syntax.build().map_err(failed)?);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEEPEST_CALL);
        environment.set_unknown_method_callback(python::method);
        environment.add_filter("tojson", json::tojson);
        environment.add_filter("format", |_: &Value, _: Rest<Value>| -> Result<Value, Error> {
            Err(Error::new(
                ErrorKind::InvalidOperation,
                "the filter `format` is not known",
            ))
        });
        // Python's text has a length and an index, and a dict too
        environment.add_test("sequence", |v: &Value| {
            matches!(
                v.kind(),
                ValueKind::Undefined | ValueKind::String | ValueKind::Seq | ValueKind::Map
            )
        });
        environment.add_test("iterable", |v: &Value| !v.is_none() && v.try_iter().is_ok());
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment
            .add_template_owned("chat template", source::without_generation(text))
            .map_err(failed)?;
        Ok(Template {
            environment,
            asks_for_date: text.contains("strftime_now"),
        })
    }

    /// Whether the text depends on the date.
    pub(super) fn asks_for_date(&self) -> bool {
        self.asks_for_date
    }

    /// The prompt for `messages`, up to where the assistant answers.
    ///
    /// # Errors
    /// The template does not run, raises an exception or uses up its budget.
    pub(super) fn render(&self, messages: &[Message], context: &Context<'_>) -> Result<String, ModelError> {
        let date = context.date;
        let strftime = move |format: &str| {
            date.format(format)
                .map_err(|message| Error::new(ErrorKind::InvalidOperation, message))
        };
        let mut variables: Vec<(&str, Value)> = vec![
            (
                "messages",
                messages
                    .iter()
                    .map(|m| Value::from_pairs([("role", m.role.as_str()), ("content", m.content.as_str())]))
                    .collect(),
            ),
            ("bos_token", Value::from(context.bos)),
            ("eos_token", Value::from(context.eos)),
            ("add_generation_prompt", Value::from(true)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            ("strftime_now", Value::from_function(strftime)),
        ];
        variables.extend(
            context
                .arguments
                .iter()
                .map(|(name, value)| (name.as_str(), json::value(value))),
        );
        let template = self.environment.get_template("chat template").map_err(failed)?;
        template.render(Value::from_pairs(variables)).map_err(failed)
    }
}

fn failed(error: Error) -> ModelError {
    let line = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    let message = match error.detail() {
        _ if error.kind() == ErrorKind::OutOfFuel => {
            format!("it ran for more than {FUEL} instructions{line}, which no conversation needs")
        }
        Some(detail) => format!("{detail}{line}"),
        None => format!("{error}{line}"),
    };
    ModelError::Template { message }
}

#[cfg(test)]
mod tests;
