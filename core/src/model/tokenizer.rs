//! Text to tokens and back, and the chat template. The files that it came from are kept byte for byte, for saving.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::error::ModelError;
use super::template;
use crate::data::PromptText;

/// A tokenizer with its chat template and its end tokens.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    template: Option<String>,
    bos: Option<String>,
    eos: Option<String>,
    eos_ids: Vec<u32>,
    pad: Option<u32>,
    files: Vec<(String, Vec<u8>)>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer {{ vocab: {}, eos: {:?} }}", self.vocab(), self.eos_ids)
    }
}

/// The files of a tokenizer, as bytes. All but the first may be missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenizerFiles<'a> {
    /// tokenizer.json
    pub tokenizer: &'a [u8],
    /// tokenizer_config.json
    pub config: Option<&'a [u8]>,
    /// chat_template.jinja
    pub template: Option<&'a [u8]>,
    /// generation_config.json and config.json, for their `eos_token_id`, `bos_token_id` and `pad_token_id`
    pub model: [Option<&'a [u8]>; 2],
}

fn json(bytes: Option<&[u8]>, name: &str) -> Result<Value, ModelError> {
    match bytes {
        None => Ok(Value::Null),
        Some(bytes) => serde_json::from_slice(bytes).map_err(|e| ModelError::file(Path::new(name), e)),
    }
}

/// A special token is a string or an object with `content`.
fn token_text(value: &Value) -> Option<String> {
    value
        .as_str()
        .or_else(|| value.get("content")?.as_str())
        .map(String::from)
}

fn ids(value: &Value) -> Vec<u32> {
    let id = |v: &Value| v.as_u64().and_then(|v| u32::try_from(v).ok());
    match value {
        Value::Array(list) => list.iter().filter_map(id).collect(),
        one => id(one).into_iter().collect(),
    }
}

impl Tokenizer {
    /// The tokenizer in the bytes of its files.
    ///
    /// # Errors
    /// A file is not JSON, or tokenizer.json is not one of the `tokenizers` crate.
    pub fn from_bytes(files: &TokenizerFiles<'_>) -> Result<Self, ModelError> {
        let mut inner = tokenizers::Tokenizer::from_bytes(files.tokenizer)
            .map_err(|e| ModelError::file(Path::new("tokenizer.json"), e))?;
        // both are the trainer's settings for padded batches, which are not used here
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|e| ModelError::Tokenizer { message: e.to_string() })?;
        let config = json(files.config, "tokenizer_config.json")?;
        let model = [
            json(files.model[0], "generation_config.json")?,
            json(files.model[1], "config.json")?,
        ];
        let template = match files.template {
            Some(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            None => template_of(&config["chat_template"]),
        };
        let (bos, eos) = (token_text(&config["bos_token"]), token_text(&config["eos_token"]));
        let mut eos_ids: BTreeSet<u32> = model.iter().flat_map(|m| ids(&m["eos_token_id"])).collect();
        eos_ids.extend(eos.as_deref().and_then(|t| inner.token_to_id(t)));
        let pad = token_text(&config["pad_token"])
            .and_then(|t| inner.token_to_id(&t))
            .or_else(|| model.iter().find_map(|m| ids(&m["pad_token_id"]).first().copied()));
        let mut kept = vec![("tokenizer.json".to_string(), files.tokenizer.to_vec())];
        kept.extend(files.config.map(|b| ("tokenizer_config.json".to_string(), b.to_vec())));
        kept.extend(files.template.map(|b| ("chat_template.jinja".to_string(), b.to_vec())));
        Ok(Tokenizer {
            inner,
            template,
            bos,
            eos,
            eos_ids: eos_ids.into_iter().collect(),
            pad,
            files: kept,
        })
    }

    /// The tokenizer of a model folder.
    ///
    /// # Errors
    /// There is no tokenizer.json; a file cannot be read; as [`Tokenizer::from_bytes`].
    pub fn from_folder(folder: &Path) -> Result<Self, ModelError> {
        let read = |name: &str| -> Result<Option<Vec<u8>>, ModelError> {
            let path = folder.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(ModelError::file(&path, e)),
            }
        };
        let Some(tokenizer) = read("tokenizer.json")? else {
            return Err(ModelError::NoTokenizer {
                path: folder.to_path_buf(),
            });
        };
        let (config, template) = (read("tokenizer_config.json")?, read("chat_template.jinja")?);
        let (generation, model) = (read("generation_config.json")?, read("config.json")?);
        Tokenizer::from_bytes(&TokenizerFiles {
            tokenizer: &tokenizer,
            config: config.as_deref(),
            template: template.as_deref(),
            model: [generation.as_deref(), model.as_deref()],
        })
        .map_err(|error| match error {
            ModelError::File { path, message } => ModelError::File {
                path: folder.join(path),
                message,
            },
            other => other,
        })
    }

    /// Token ids of a text. `add_special` adds what the tokenizer puts around every text, such as Llama 3's begin
    /// token. Special tokens that are written in the text always become their ids.
    ///
    /// # Errors
    /// The tokenizer cannot encode the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, ModelError> {
        let encoding = self
            .inner
            .encode(text, add_special)
            .map_err(|e| ModelError::Tokenizer {
                message: format!("cannot encode {text:.40?}: {e}"),
            })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of token ids, without special tokens.
    ///
    /// # Errors
    /// The tokenizer cannot decode them.
    pub fn decode(&self, ids: &[u32]) -> Result<String, ModelError> {
        self.inner.decode(ids, true).map_err(|e| ModelError::Tokenizer {
            message: format!("cannot decode {} ids: {e}", ids.len()),
        })
    }

    /// Token ids that end a response.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }

    /// The padding token, if there is one.
    pub fn pad(&self) -> Option<u32> {
        self.pad
    }

    /// The begin token, if there is one.
    pub fn bos(&self) -> Option<u32> {
        self.bos.as_deref().and_then(|t| self.inner.token_to_id(t))
    }

    /// The end token that the tokenizer names its own, if there is one. A chat may end its turns with another of
    /// [`Tokenizer::eos_ids`].
    pub fn eos(&self) -> Option<u32> {
        self.eos.as_deref().and_then(|t| self.inner.token_to_id(t))
    }

    /// The id of a token by its text.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Number of tokens, special ones included.
    pub fn vocab(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The largest id of any token.
    pub fn largest_id(&self) -> Option<u32> {
        self.inner.get_vocab(true).into_values().max()
    }

    /// Whether there is a chat template.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// The prompt for a conversation of (role, content), up to where the assistant answers. Without a chat template, it
    /// is the contents joined by empty lines.
    ///
    /// # Errors
    /// The template refuses a message or does not run.
    pub fn render_messages(&self, messages: &[(&str, &str)]) -> Result<String, ModelError> {
        match &self.template {
            Some(source) => {
                let token = |t: &Option<String>| t.clone().unwrap_or_default();
                template::render(source, messages, &token(&self.bos), &token(&self.eos))
            }
            None => Ok(messages
                .iter()
                .map(|(_, content)| *content)
                .collect::<Vec<_>>()
                .join("\n\n")),
        }
    }

    /// The prompt for a plain text: one user message if there is a chat template, else the text itself.
    ///
    /// # Errors
    /// As [`Tokenizer::render_messages`].
    pub fn render_text(&self, text: &str) -> Result<String, ModelError> {
        self.render_messages(&[("user", text)])
    }

    /// A prompt as the model reads it: the text after the chat template, and its tokens.
    ///
    /// # Errors
    /// The template refuses a message, or the text cannot be encoded.
    pub fn prompt(&self, prompt: &PromptText) -> Result<(String, Vec<u32>), ModelError> {
        let text = match prompt {
            PromptText::Text(text) => self.render_text(text)?,
            PromptText::Messages(messages) => {
                let pairs: Vec<(&str, &str)> = messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
                self.render_messages(&pairs)?
            }
        };
        let tokens = self.encode(&text, self.prompt_needs_special())?;
        Ok((text, tokens))
    }

    /// Whether a rendered prompt still needs the tokens that [`Tokenizer::encode`] can add. A chat template writes them
    /// itself.
    pub fn prompt_needs_special(&self) -> bool {
        self.template.is_none()
    }

    /// Tokenizer files by name, as they were read.
    pub(crate) fn files(&self) -> &[(String, Vec<u8>)] {
        &self.files
    }
}

/// `chat_template` is a text or a list of named ones.
fn template_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => list
            .iter()
            .find(|entry| entry["name"] == "default")
            .or(list.first())
            .and_then(|entry| entry["template"].as_str())
            .map(String::from),
        _ => None,
    }
}
