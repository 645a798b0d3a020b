//! Chat templates: Jinja as transformers runs it (trimmed blocks, `raise_exception`, Python's string and dict methods).

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value, context};

use super::error::ModelError;

/// Renders `source` for (role, content) messages with `add_generation_prompt`.
///
/// # Errors
/// The template does not parse or run, or raises an exception.
pub(crate) fn render(source: &str, messages: &[(&str, &str)], bos: &str, eos: &str) -> Result<String, ModelError> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    environment.set_syntax(syntax.build().map_err(failed)?);
    environment.set_unknown_method_callback(python_method);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    let messages: Vec<Value> = messages
        .iter()
        .map(|(role, content)| context! { role => *role, content => *content })
        .collect();
    environment
        .render_str(
            source,
            context! { messages, bos_token => bos, eos_token => eos, add_generation_prompt => true },
        )
        .map_err(failed)
}

fn failed(error: Error) -> ModelError {
    let line = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    let message = match error.detail() {
        Some(detail) => format!("{detail}{line}"),
        None => format!("{error}{line}"),
    };
    ModelError::Template { message }
}

/// The methods of Python's str and dict that published templates call.
fn python_method(_: &mut State<'_, '_>, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let unknown = || {
        Error::new(
            ErrorKind::UnknownMethod,
            format!("a template calls .{method}(), which is not known"),
        )
    };
    if value.kind() == ValueKind::Map {
        return match (method, args) {
            ("items", []) => {
                let pairs: Result<Vec<Value>, Error> = value
                    .try_iter()?
                    .map(|key| value.get_item(&key).map(|item| Value::from(vec![key, item])))
                    .collect();
                pairs.map(Value::from)
            }
            ("keys", []) => Ok(Value::from(value.try_iter()?.collect::<Vec<_>>())),
            ("values", []) => {
                let values: Result<Vec<Value>, Error> = value.try_iter()?.map(|key| value.get_item(&key)).collect();
                values.map(Value::from)
            }
            ("get", [key]) => value.get_item(key),
            ("get", [key, default]) => {
                let item = value.get_item(key)?;
                Ok(if item.is_undefined() { default.clone() } else { item })
            }
            _ => Err(unknown()),
        };
    }
    let Some(text) = value.as_str() else {
        return Err(unknown());
    };
    let arg = |i: usize| args.get(i).and_then(|v| v.as_str());
    let keywords = args.last().is_some_and(|v| v.is_kwargs());
    let count = args.len() - usize::from(keywords);
    if keywords {
        let kwargs = Kwargs::try_from(args[count].clone())?;
        kwargs.assert_all_used()?;
    }
    let set = |c: char| arg(0).map_or(c.is_whitespace(), |set| set.contains(c));
    Ok(match (method, count) {
        ("strip", 0 | 1) => Value::from(text.trim_matches(set)),
        ("lstrip", 0 | 1) => Value::from(text.trim_start_matches(set)),
        ("rstrip", 0 | 1) => Value::from(text.trim_end_matches(set)),
        ("lower", 0) => Value::from(text.to_lowercase()),
        ("upper", 0) => Value::from(text.to_uppercase()),
        ("startswith", 1) => Value::from(text.starts_with(arg(0).ok_or_else(unknown)?)),
        ("endswith", 1) => Value::from(text.ends_with(arg(0).ok_or_else(unknown)?)),
        ("replace", 2) => Value::from(text.replace(arg(0).ok_or_else(unknown)?, arg(1).ok_or_else(unknown)?)),
        ("split", 0) => Value::from(text.split_whitespace().map(Value::from).collect::<Vec<_>>()),
        ("split", 1) => Value::from(
            text.split(arg(0).ok_or_else(unknown)?)
                .map(Value::from)
                .collect::<Vec<_>>(),
        ),
        ("title", 0) => {
            let mut start = true;
            let title: String = text
                .chars()
                .flat_map(|c| {
                    let out: Vec<char> = if start {
                        c.to_uppercase().collect()
                    } else {
                        c.to_lowercase().collect()
                    };
                    start = !c.is_alphabetic();
                    out
                })
                .collect();
            Value::from(title)
        }
        _ => return Err(unknown()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are helpful<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    #[test]
    fn chatml_as_transformers_renders_it() {
        let text = render(CHATML, &[("user", "Hi")], "", "").expect("renders");
        assert_eq!(
            text,
            "<|im_start|>system\nYou are helpful<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn blocks_methods_and_exceptions() {
        let source = "{%- for m in messages %}\n    {%- if m.content.strip().startswith('a') %}\n{{ m.content.split('|')[-1].upper() }}{% continue %}\n    {% endif %}\n{{ m.get('x', 'none') }}\n{%- endfor %}";
        assert_eq!(
            render(source, &[("user", " a|b"), ("user", "c")], "", "").expect("renders"),
            "Bnone"
        );
        let error = render("{{ raise_exception('Only user roles') }}", &[], "", "")
            .expect_err("raises")
            .to_string();
        assert!(error.contains("Only user roles"), "{error}");
        let error = render("{{ 'x'.swapcase() }}", &[], "", "")
            .expect_err("unknown")
            .to_string();
        assert!(error.contains("swapcase"), "{error}");
    }
}
