//! The methods of Python's str, list and dict that templates call.

use minijinja::value::{Kwargs, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

/// Letters that one call may write: `"x".center(10 ** 11)` is no prompt.
const LONGEST_TEXT: usize = 1 << 24;

/// Calls `method` of `value`, which the template engine does not have.
pub(super) fn method(_: &mut State<'_, '_>, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let found = match value.kind() {
        ValueKind::Map => of_dict(value, method, args)?,
        ValueKind::String => match value.as_str() {
            Some(text) => Text { text, args }.call(method)?,
            None => None,
        },
        ValueKind::Seq | ValueKind::Iterable => of_list(value, method, args)?,
        _ => None,
    };
    found.ok_or_else(|| {
        let message = format!(
            "a template calls .{method}() with {} arguments on a {}, which is not known",
            args.len(),
            value.kind()
        );
        Error::new(ErrorKind::UnknownMethod, message)
    })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn of_dict(value: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match (method, args) {
        ("items", []) => value
            .try_iter()?
            .map(|key| value.get_item(&key).map(|item| Value::from(Tuple::from([key, item]))))
            .collect::<Result<Value, _>>()?,
        ("keys", []) => value.try_iter()?.collect(),
        ("values", []) => value
            .try_iter()?
            .map(|key| value.get_item(&key))
            .collect::<Result<Value, _>>()?,
        ("get", [key]) => match value.get_item(key)? {
            item if item.is_undefined() => Value::from(()),
            item => item,
        },
        ("get", [key, default]) => match value.get_item(key)? {
            item if item.is_undefined() => default.clone(),
            item => item,
        },
        ("copy", []) => value.clone(),
        _ => return Ok(None),
    }))
}

fn of_list(value: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match (method, args) {
        ("count", [item]) => Value::from(value.try_iter()?.filter(|other| other == item).count()),
        ("index", [item]) => match value.try_iter()?.position(|other| other == *item) {
            Some(at) => Value::from(at),
            None => return Err(invalid("list.index: not in the list")),
        },
        ("copy", []) => value.clone(),
        _ => return Ok(None),
    }))
}

/// A text and the arguments of a call on it.
struct Text<'a> {
    text: &'a str,
    args: &'a [Value],
}

impl Text<'_> {
    /// The argument at `i` that must be a text; none if it is missing.
    fn optional(&self, i: usize) -> Result<Option<&str>, Error> {
        match self.args.get(i) {
            None => Ok(None),
            Some(value) if value.is_none() => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| invalid("expected a text")),
        }
    }

    fn argument(&self, i: usize) -> Result<&str, Error> {
        self.optional(i)?.ok_or_else(|| invalid("expected a text"))
    }

    /// A prefix, or several as a tuple.
    fn any(&self, fits: impl Fn(&str) -> bool) -> Result<Value, Error> {
        let Some(wanted) = self.args.first() else {
            return Err(invalid("expected a text"));
        };
        if let Some(one) = wanted.as_str() {
            return Ok(Value::from(fits(one)));
        }
        let mut several = wanted.try_iter()?;
        Ok(Value::from(several.any(|one| one.as_str().is_some_and(&fits))))
    }

    /// Python's way to cut a text at most `most` times; -1 is always.
    fn split(&self, from_right: bool) -> Result<Value, Error> {
        let mut args = self.args.to_vec();
        let mut most: i64 = -1;
        let mut separator = None;
        if let Some(last) = args.last().filter(|v| v.is_kwargs()) {
            let names = Kwargs::try_from(last.clone())?;
            if names.has("maxsplit") {
                most = names.get("maxsplit")?;
            }
            separator = names.get::<Option<String>>("sep")?;
            names.assert_all_used()?;
            args.pop();
        }
        if let Some(given) = args.get(1) {
            most = i64::try_from(given.clone())?;
        }
        if let Some(given) = args.first().filter(|v| !v.is_none()) {
            separator = Some(given.as_str().ok_or_else(|| invalid("expected a text"))?.to_owned());
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).saturating_add(1);
        let parts: Vec<&str> = match &separator {
            Some(separator) if separator.is_empty() => return Err(invalid("str.split: an empty separator")),
            Some(separator) if from_right => {
                let mut parts: Vec<&str> = self.text.rsplitn(most, separator.as_str()).collect();
                parts.reverse();
                parts
            }
            Some(separator) => self.text.splitn(most, separator.as_str()).collect(),
            None if most == usize::MAX => self.text.split_whitespace().collect(),
            None if from_right => {
                let mut parts = Vec::new();
                let mut rest = self.text.trim_end();
                while !rest.is_empty() && parts.len() + 1 < most {
                    let at = rest.rfind(char::is_whitespace);
                    let Some(at) = at else { break };
                    let width = rest[at..].chars().next().map_or(1, char::len_utf8);
                    parts.push(&rest[at + width..]);
                    rest = rest[..at].trim_end();
                }
                if !rest.is_empty() {
                    parts.push(rest);
                }
                parts.reverse();
                parts
            }
            None => {
                let mut parts = Vec::new();
                let mut rest = self.text.trim_start();
                while !rest.is_empty() && parts.len() + 1 < most {
                    let Some(at) = rest.find(char::is_whitespace) else {
                        break;
                    };
                    parts.push(&rest[..at]);
                    rest = rest[at..].trim_start();
                }
                if !rest.is_empty() {
                    parts.push(rest);
                }
                parts
            }
        };
        Ok(parts.into_iter().map(Value::from).collect())
    }

    /// Text before a separator, the separator, text behind it.
    fn partition(&self, from_right: bool) -> Result<Value, Error> {
        let separator = self.argument(0)?;
        let parts = if from_right {
            self.text.rsplit_once(separator)
        } else {
            self.text.split_once(separator)
        };
        let parts = match parts {
            Some((before, after)) => [before, separator, after],
            None if from_right => ["", "", self.text],
            None => [self.text, "", ""],
        };
        Ok(Value::from(Tuple::from(parts.map(Value::from))))
    }

    /// Index in letters of what `find` found in bytes; -1 for nothing.
    fn position(&self, at: Option<usize>) -> Value {
        at.map_or(Value::from(-1), |at| Value::from(self.text[..at].chars().count()))
    }

    /// The text in a field of some width, with `before` of 2 parts of the filling in front.
    fn padded(&self, before: usize) -> Result<Value, Error> {
        let width = self.args.first().cloned().map(usize::try_from).transpose()?;
        let width = width.ok_or_else(|| invalid("expected a width"))?;
        let filling = self.optional(1)?.unwrap_or(" ");
        let missing = width.saturating_sub(self.text.chars().count());
        if missing > LONGEST_TEXT {
            return Err(invalid(format!(
                "a text of {width} letters, expected at most {LONGEST_TEXT}"
            )));
        }
        let front = match before {
            0 => 0,
            1 => missing / 2 + (missing & width & 1), // CPython's unicode_center
            _ => missing,
        };
        let text = format!(
            "{}{}{}",
            filling.repeat(front),
            self.text,
            filling.repeat(missing - front)
        );
        Ok(Value::from(text))
    }

    fn replace(&self, count: usize) -> Result<Value, Error> {
        let (from, to) = (self.argument(0)?, self.argument(1)?);
        let hits = self.text.matches(from).take(count).count();
        if hits.saturating_mul(to.len()) > LONGEST_TEXT.max(self.text.len()) {
            return Err(invalid("str.replace: a text that no prompt has"));
        }
        Ok(Value::from(self.text.replacen(from, to, count)))
    }

    fn is(&self, fits: impl Fn(char) -> bool) -> Value {
        Value::from(!self.text.is_empty() && self.text.chars().all(fits))
    }

    /// Each word's first letter large, the others small.
    fn title(&self) -> String {
        let mut inside = false;
        let mut out = String::with_capacity(self.text.len());
        for letter in self.text.chars() {
            if inside {
                out.extend(letter.to_lowercase());
            } else {
                out.extend(letter.to_uppercase());
            }
            inside = letter.is_alphabetic();
        }
        out
    }

    fn capitalized(&self) -> String {
        let mut letters = self.text.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        first.chain(letters.as_str().to_lowercase().chars()).collect()
    }

    fn swapped(&self) -> String {
        let mut out = String::with_capacity(self.text.len());
        for letter in self.text.chars() {
            if letter.is_uppercase() {
                out.extend(letter.to_lowercase());
            } else {
                out.extend(letter.to_uppercase());
            }
        }
        out
    }

    fn call(&self, method: &str) -> Result<Option<Value>, Error> {
        let text = self.text;
        let set = self.args.first().and_then(Value::as_str);
        let in_set = |c: char| set.map_or(c.is_whitespace(), |set| set.contains(c));
        let cased = |c: char| c.is_lowercase() || c.is_uppercase();
        Ok(Some(match (method, self.args.len()) {
            ("split", _) => self.split(false)?,
            ("rsplit", _) => self.split(true)?,
            ("strip", 0 | 1) => Value::from(text.trim_matches(in_set)),
            ("lstrip", 0 | 1) => Value::from(text.trim_start_matches(in_set)),
            ("rstrip", 0 | 1) => Value::from(text.trim_end_matches(in_set)),
            ("lower" | "casefold", 0) => Value::from(text.to_lowercase()),
            ("upper", 0) => Value::from(text.to_uppercase()),
            ("title", 0) => Value::from(self.title()),
            ("capitalize", 0) => Value::from(self.capitalized()),
            ("swapcase", 0) => Value::from(self.swapped()),
            ("startswith", 1) => self.any(|prefix| text.starts_with(prefix))?,
            ("endswith", 1) => self.any(|suffix| text.ends_with(suffix))?,
            ("removeprefix", 1) => Value::from(text.strip_prefix(self.argument(0)?).unwrap_or(text)),
            ("removesuffix", 1) => Value::from(text.strip_suffix(self.argument(0)?).unwrap_or(text)),
            ("replace", 2) => self.replace(usize::MAX)?,
            ("replace", 3) => {
                self.replace(usize::try_from(i64::try_from(self.args[2].clone())?).unwrap_or(usize::MAX))?
            }
            ("splitlines", 0) => text.lines().map(Value::from).collect(),
            ("partition", 1) => self.partition(false)?,
            ("rpartition", 1) => self.partition(true)?,
            ("find", 1) => self.position(text.find(self.argument(0)?)),
            ("rfind", 1) => self.position(text.rfind(self.argument(0)?)),
            ("index", 1) => match text.find(self.argument(0)?) {
                None => return Err(invalid("str.index: the text is not there")),
                at => self.position(at),
            },
            ("count", 1) => Value::from(text.matches(self.argument(0)?).count()),
            ("join", 1) => {
                let parts: Vec<String> = self.args[0].try_iter()?.map(|part| part.to_string()).collect();
                let separators = text.len().saturating_mul(parts.len());
                if separators > LONGEST_TEXT {
                    return Err(invalid("str.join: a text that no prompt has"));
                }
                Value::from(parts.join(text))
            }
            ("ljust", 1 | 2) => self.padded(0)?,
            ("center", 1 | 2) => self.padded(1)?,
            ("rjust", 1 | 2) => self.padded(2)?,
            ("isdigit" | "isdecimal", 0) => self.is(|c| c.is_ascii_digit()),
            ("isnumeric", 0) => self.is(char::is_numeric),
            ("isalpha", 0) => self.is(char::is_alphabetic),
            ("isalnum", 0) => self.is(char::is_alphanumeric),
            ("isspace", 0) => self.is(char::is_whitespace),
            ("isascii", 0) => Value::from(text.is_ascii()),
            ("isupper", 0) => Value::from(text.chars().any(cased) && !text.chars().any(char::is_lowercase)),
            ("islower", 0) => Value::from(text.chars().any(cased) && !text.chars().any(char::is_uppercase)),
            _ => return Ok(None),
        }))
    }
}
