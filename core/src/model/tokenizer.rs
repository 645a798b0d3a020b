//! Text to tokens and back, and the chat template. The files that it came from are kept byte for byte, for saving.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::error::ModelError;
use super::template::{Context, Template};
use super::watched;
use crate::caught::quietly;
use crate::config::{ChatTemplate, Data, Date};
use crate::data::{Message, PromptText};

/// How prompts become text.
#[derive(Debug, Clone)]
pub struct PromptRules {
    /// Which prompts the chat template renders.
    pub chat_template: ChatTemplate,
    /// Variables of the chat template.
    pub arguments: serde_json::Map<String, Value>,
    /// The date that a chat template may show.
    pub date: Date,
}

impl From<&Data> for PromptRules {
    fn from(data: &Data) -> Self {
        PromptRules {
            chat_template: data.chat_template,
            arguments: data.chat_template_kwargs.0.clone(),
            date: data
                .chat_date
                .as_ref()
                .and_then(|date| date.parse().ok())
                .unwrap_or_else(Date::today),
        }
    }
}

impl Default for PromptRules {
    /// Messages through the chat template without variables, today.
    fn default() -> Self {
        PromptRules {
            chat_template: ChatTemplate::Auto,
            arguments: serde_json::Map::new(),
            date: Date::today(),
        }
    }
}

/// A prompt as the model reads it: its text and its tokens.
pub type EncodedPrompt = (String, Vec<u32>);

/// A tokenizer with its chat template and its end tokens. A clone shares both.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    template: Option<Arc<Template>>,
    rules: PromptRules,
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
        let path = Path::new("tokenizer.json");
        check_charsmaps(files.tokenizer).map_err(|message| ModelError::file(path, message))?;
        let mut inner = quietly(|| tokenizers::Tokenizer::from_bytes(files.tokenizer))
            .map_err(|panic| ModelError::file(path, format!("a panic inside: {panic}")))?
            .map_err(|e| ModelError::file(path, e))?;
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
        let template = match template {
            None => None,
            // Parsing a text that nests deeply needs a stack as running it does.
            Some(text) => {
                let mut compiled = watched::map(vec![text], |text| Template::new(text)).map_err(|(_, error)| error)?;
                compiled.pop().map(Arc::new)
            }
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
            inner: Arc::new(inner),
            template,
            rules: PromptRules::default(),
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
        let failed = |message: String| ModelError::Tokenizer {
            message: format!("cannot encode {text:.40?}: {message}"),
        };
        // without the places of the tokens in the text, which nobody reads
        let encoding = quietly(|| self.inner.encode_fast(text, add_special))
            .map_err(|panic| failed(format!("a panic inside: {panic}")))?
            .map_err(|e| failed(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of token ids, without special tokens.
    ///
    /// # Errors
    /// The tokenizer cannot decode them.
    pub fn decode(&self, ids: &[u32]) -> Result<String, ModelError> {
        let failed = |message: String| ModelError::Tokenizer {
            message: format!("cannot decode {} ids: {message}", ids.len()),
        };
        quietly(|| self.inner.decode(ids, true))
            .map_err(|panic| failed(format!("a panic inside: {panic}")))?
            .map_err(|e| failed(e.to_string()))
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
    #[must_use]
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// Whether the chat template shows a date.
    #[must_use]
    pub fn asks_for_date(&self) -> bool {
        self.template.as_ref().is_some_and(|template| template.asks_for_date())
    }

    /// How prompts become text from now on.
    pub fn set_rules(&mut self, rules: PromptRules) {
        self.rules = rules;
    }

    /// Whether the chat template renders `prompt`.
    #[must_use]
    pub fn renders(&self, prompt: &PromptText) -> bool {
        self.has_template()
            && match (self.rules.chat_template, prompt) {
                (ChatTemplate::Auto, PromptText::Messages(_)) | (ChatTemplate::Always, _) => true,
                (ChatTemplate::Auto, PromptText::Text(_)) | (ChatTemplate::Never, _) => false,
            }
    }

    /// The prompt for a conversation of (role, content), up to where the assistant answers. Without a chat template, it
    /// is the contents joined by empty lines.
    ///
    /// # Errors
    /// The template refuses a message, does not run or runs away.
    pub fn render_messages(&self, messages: &[(&str, &str)]) -> Result<String, ModelError> {
        let messages = messages.iter().map(|(role, content)| Message {
            role: (*role).to_owned(),
            content: (*content).to_owned(),
        });
        let messages: Vec<Message> = messages.collect();
        let this = self.clone();
        let mut texts = watched::map(vec![messages], move |messages| match &this.template {
            Some(template) => template.render(messages, &this.context()),
            None => Ok(joined(messages)),
        })
        .map_err(|(_, error)| error)?;
        Ok(texts.pop().unwrap_or_default())
    }

    /// The prompt for one user message; see [`Tokenizer::render_messages`].
    ///
    /// # Errors
    /// As [`Tokenizer::render_messages`].
    pub fn render_text(&self, text: &str) -> Result<String, ModelError> {
        self.render_messages(&[("user", text)])
    }

    /// Prompts as the model reads them, in order: the text and its tokens. Which of them the chat template renders is said
    /// by [`PromptRules`]. Others are taken as they are, messages joined by empty lines, with the tokens that the tokenizer
    /// puts around every text. It runs on all cores.
    ///
    /// # Errors
    /// The index of the first prompt that the template refuses or that cannot be encoded, and the reason.
    pub fn prompts(&self, prompts: Vec<PromptText>) -> Result<Vec<EncodedPrompt>, (usize, ModelError)> {
        let this = self.clone();
        watched::map(prompts, move |prompt| this.prompt_here(prompt))
    }

    /// A prompt as the model reads it; see [`Tokenizer::prompts`].
    ///
    /// # Errors
    /// The template refuses a message, or the text cannot be encoded.
    pub fn prompt(&self, prompt: &PromptText) -> Result<(String, Vec<u32>), ModelError> {
        let mut encoded = self.prompts(vec![prompt.clone()]).map_err(|(_, error)| error)?;
        Ok(encoded.pop().unwrap_or_default())
    }

    /// One prompt, on this thread.
    fn prompt_here(&self, prompt: &PromptText) -> Result<(String, Vec<u32>), ModelError> {
        let rendered = match &self.template {
            Some(template) if self.renders(prompt) => {
                let one;
                let messages = match prompt {
                    PromptText::Messages(messages) => messages.as_slice(),
                    PromptText::Text(text) => {
                        let (role, content) = ("user".to_owned(), text.clone());
                        one = [Message { role, content }];
                        &one
                    }
                };
                Some(template.render(messages, &self.context())?)
            }
            _ => None,
        };
        // A chat template writes the begin token itself.
        let add_special = rendered.is_none();
        let text = match (rendered, prompt) {
            (Some(text), _) => text,
            (None, PromptText::Text(text)) => text.clone(),
            (None, PromptText::Messages(messages)) => joined(messages),
        };
        let tokens = self.encode(&text, add_special)?;
        Ok((text, tokens))
    }

    fn context(&self) -> Context<'_> {
        Context {
            bos: self.bos.as_deref().unwrap_or_default(),
            eos: self.eos.as_deref().unwrap_or_default(),
            date: self.rules.date,
            arguments: &self.rules.arguments,
        }
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

/// Messages without a chat template.
fn joined(messages: &[Message]) -> String {
    let contents: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
    contents.join("\n\n")
}

/// Checks the sizes that `precompiled_charsmap` entries of a tokenizer.json claim: the library reserves what they say.
fn check_charsmaps(bytes: &[u8]) -> Result<(), String> {
    const KEY: &[u8] = b"\"precompiled_charsmap\"";
    let mut rest = bytes;
    while let Some(at) = rest.windows(KEY.len()).position(|window| window == KEY) {
        rest = &rest[at + KEY.len()..];
        let Some(quote) = rest.iter().take(64).position(|&b| b == b'"') else {
            continue; // null
        };
        let map = &rest[quote + 1..];
        let length = map.iter().position(|&b| b == b'"').unwrap_or(map.len());
        let digit = |b: &u8| match b {
            b'A'..=b'Z' => Some(u32::from(b - b'A')),
            b'a'..=b'z' => Some(u32::from(b - b'a') + 26),
            b'0'..=b'9' => Some(u32::from(b - b'0') + 52),
            b'+' => Some(62),
            b'/' => Some(63),
            _ => None,
        };
        let digits: Option<Vec<u32>> = map.iter().take(6).map(digit).collect();
        let Some([a, b, c, d, e, f]) = digits.as_deref() else {
            continue; // not base 64, which the library says
        };
        let high = u64::from((a << 18) | (b << 12) | (c << 6) | d);
        let low = u64::from((e << 6) | f) >> 4;
        // the first four bytes, the smallest first
        let claimed = ((high >> 16) & 0xff) | (((high >> 8) & 0xff) << 8) | ((high & 0xff) << 16) | (low << 24);
        if claimed > (length as u64) * 3 / 4 {
            return Err(format!(
                "`precompiled_charsmap` claims {claimed} bytes, expected at most its own {}",
                length * 3 / 4
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charsmap_cannot_claim_more_than_it_has() {
        // 0x0000_0004 and 8 bytes; 0x7fff_fff0 and 8 bytes
        let good = br#"{"precompiled_charsmap":"BAAAAAAAAAAAAAAA"}"#;
        assert_eq!(check_charsmaps(good), Ok(()));
        let bad = br#"{"x": [{"precompiled_charsmap" : "8P//fwAAAAAAAAAA"}]}"#;
        let error = check_charsmaps(bad).expect_err("2 GiB");
        assert!(error.contains("2147483632") && error.contains(" 12"), "{error}");
        assert_eq!(check_charsmaps(br#"{"precompiled_charsmap":null}"#), Ok(()));
    }
}
