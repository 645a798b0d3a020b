//! A case, and what the cases of scalarizers and rewards share.

use moa_sdk::ParamSpec;
use serde_json::Value;

use super::finding::Finding;

/// What a case does with its subject.
pub(super) type Run<S> = Box<dyn Fn(&S) -> Result<(), Finding>>;

/// One case for subjects of type `S`.
pub(super) struct Case<S> {
    pub(super) name: String,
    pub(super) about: &'static str,
    pub(super) run: Run<S>,
}

impl<S> Case<S> {
    pub(super) fn new(
        name: impl Into<String>,
        about: &'static str,
        run: impl Fn(&S) -> Result<(), Finding> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            about,
            run: Box::new(run),
        }
    }
}

/// What a name, a sentence about the plugin and its params should say: an error for what breaks configs, a
/// warning for what only leaves a reader without words.
pub(super) fn described(name: &str, what: &str, sentence: &str, params: &[ParamSpec]) -> Result<(), Finding> {
    let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(kebab) {
        return Err(Finding::failed(format!(
            "its name is {name:?}, expected kebab-case: small letters, digits and hyphens"
        )));
    }
    if sentence.trim().is_empty() {
        return Err(Finding::warning(format!("its {what} is empty")));
    }
    match params.iter().find(|param| param.doc.trim().is_empty()) {
        Some(param) => Err(Finding::warning(format!("param `{}` has no doc comment", param.name))),
        None => Ok(()),
    }
}

/// The defaults of a description, written out as a config would have them.
pub(super) fn written_out(params: &[ParamSpec]) -> Value {
    let pairs = params.iter().map(|param| (param.name.clone(), param.default.clone()));
    Value::Object(pairs.collect())
}
