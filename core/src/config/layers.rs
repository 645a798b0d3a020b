//! The layers that a request has, lowest first: defaults, the built-in file of the run, `--config` with what it
//! includes, the environment, the command line.

use figment::Figment;
use toml::Value;

use super::check::{check, read_value};
use super::error::ConfigError;
use super::layer::Layer;
use super::origin::Origin;
use super::read::{parse, read_file};
use super::request::{Override, Purpose, Request};
use super::table::{all_keys, defaults};

/// A config file compiled into the binary.
struct BuiltIn {
    file: &'static str,
    text: &'static str,
}

/// What a run of the embedded model sets.
const EMBEDDED_RUN: BuiltIn = BuiltIn {
    file: "configs/tiny/default.toml",
    text: include_str!("../../../configs/tiny/default.toml"),
};
/// What a run of any other model sets.
const MODEL_RUN: BuiltIn = BuiltIn {
    file: "configs/model.toml",
    text: include_str!("../../../configs/model.toml"),
};
/// What a run of any other model sets beside it where adapters are trained.
const LORA_RUN: BuiltIn = BuiltIn {
    file: "configs/lora.toml",
    text: include_str!("../../../configs/lora.toml"),
};
/// What `moa-host sft` sets for a model that exists.
const MODEL_SFT: BuiltIn = BuiltIn {
    file: "configs/sft.toml",
    text: include_str!("../../../configs/sft.toml"),
};
/// The recipe of the embedded model, and what `moa-host sft` sets.
const SFT: BuiltIn = BuiltIn {
    file: "configs/tiny/sft.toml",
    text: include_str!("../../../configs/tiny/sft.toml"),
};

/// What a built-in file says about the value that has this origin: the comment on its line.
pub(crate) fn reason(origin: &Origin) -> Option<&'static str> {
    let Origin::BuiltIn { file, line } = origin else {
        return None;
    };
    let files = [EMBEDDED_RUN, MODEL_RUN, LORA_RUN, MODEL_SFT, SFT];
    let text = files.into_iter().find(|built_in| built_in.file == *file)?.text;
    let (_, comment) = text.lines().nth(line.checked_sub(1)?)?.split_once(" # ")?;
    Some(comment.trim())
}

impl BuiltIn {
    fn layer(&self) -> Result<Layer, ConfigError> {
        let file = self.file;
        parse(self.text, &|line| Origin::BuiltIn { file, line })
    }
}

/// All layers of a request but `--plugin`, and how many of them are built in.
pub(crate) fn layers_of(request: &Request) -> Result<(Vec<Layer>, usize), ConfigError> {
    let mut user = Vec::new();
    if let Some(base) = &request.base {
        check(base, &|_| Origin::Checkpoint)?;
        user.push(Layer::from_table(base.clone(), &Origin::Checkpoint));
    }
    if let Some(path) = &request.file {
        user.extend(read_file(path)?);
    }
    user.extend(environment_layer(&request.environment)?);
    let command_line: Vec<Layer> = request.overrides.iter().map(override_layer).collect::<Result<_, _>>()?;
    user.extend(command_line.into_iter().reduce(|low, top| top.merge_over(low)));
    let mut layers = built_in_layers(request.purpose, &user)?;
    let built_in = layers.len();
    layers.extend(user);
    Ok((layers, built_in))
}

/// `--plugin` as a layer whose list is appended to the others'.
pub(crate) fn plugin_layer(names: &[String]) -> Result<Option<Layer>, ConfigError> {
    if names.is_empty() {
        return Ok(None);
    }
    let names = names.iter().map(|name| Value::String(name.clone())).collect();
    let origin = Origin::Option { option: "--plugin" };
    Layer::from_key("plugins", Value::Array(names), origin).map(Some)
}

/// The defaults, and the file of the run that the user's layers mean. `[sft]` is left out of a run of `train` that
/// does not mention it, so that the run's config.toml does not either; `[model.lora]` is left out of any run.
fn built_in_layers(purpose: Purpose, user: &[Layer]) -> Result<Vec<Layer>, ConfigError> {
    let mut layers = vec![Layer::from_table(defaults(), &Origin::Default)];
    if purpose == Purpose::Train && !user.iter().any(|layer| layer.table.contains_key("sft")) {
        layers[0].remove_table("sft");
    }
    let has_lora = |layer: &Layer| {
        let model = layer.table.get("model");
        model.is_some_and(|model| model.get("lora").is_some())
    };
    let lora = user.iter().any(has_lora);
    if !lora {
        layers[0].remove_table("model.lora");
    }
    let typed = user.iter().fold(Figment::new(), Figment::merge);
    let is = |key: &str, word: &str| typed.find_value(key).ok().map(|value| value.as_str() == Some(word));
    let embedded = is("model.path", "embedded").unwrap_or(true);
    layers.push(if embedded { EMBEDDED_RUN } else { MODEL_RUN }.layer()?);
    if lora && !embedded {
        layers.push(LORA_RUN.layer()?);
    }
    if purpose == Purpose::Sft {
        let goes_on = is("sft.start", "model").unwrap_or(false);
        layers.push(if goes_on && !embedded { MODEL_SFT } else { SFT }.layer()?);
    }
    Ok(layers)
}

/// `MOA_TRAIN__STEPS=50` is `train.steps = 50`: two underscores stand for a dot.
fn environment_layer(environment: &[(String, String)]) -> Result<Option<Layer>, ConfigError> {
    let mut layers = Vec::new();
    let mut variables: Vec<_> = environment
        .iter()
        .filter_map(|(name, value)| Some((name, key_of(name)?, value)))
        .collect();
    variables.sort();
    for (variable, key, text) in variables {
        let origin = Origin::Environment {
            variable: variable.clone(),
        };
        layers.push(text_layer(&key, text, origin)?);
    }
    Ok(layers.into_iter().reduce(|low, top| top.merge_over(low)))
}

/// The key that an environment variable means. Other programs may have variables that begin with `MOA_`, so one is
/// taken only if it has two underscores in a row, is a key without a dot, or begins like one of the tables (a
/// forgotten underscore, which the strict check then reports).
fn key_of(variable: &str) -> Option<String> {
    let name = variable.strip_prefix("MOA_")?.to_lowercase();
    let begins_like_a_table = || {
        let first = name.split('_').next().unwrap_or_default();
        all_keys()
            .iter()
            .any(|key| key.name.split('.').next() == Some(first) && key.name.contains('.'))
    };
    let is_key = all_keys().iter().any(|key| key.name == name && key.name != "include");
    (name.contains("__") || is_key || begins_like_a_table()).then(|| name.replace("__", "."))
}

fn override_layer(item: &Override) -> Result<Layer, ConfigError> {
    match item {
        Override::Set(text) => {
            let bad_set = || ConfigError::BadSet { text: text.clone() };
            let (key, value) = text.split_once('=').ok_or_else(bad_set)?;
            let key = key.trim();
            if key.is_empty() || key.split('.').any(str::is_empty) {
                return Err(bad_set());
            }
            text_layer(key, value, Origin::Set { text: text.clone() })
        }
        Override::Option { option, key, value } => Layer::from_key(key, value.clone(), Origin::Option { option }),
    }
}

/// A layer of one value that is written as text.
fn text_layer(key: &str, text: &str, origin: Origin) -> Result<Layer, ConfigError> {
    const DEEPEST: usize = 16; // parts of a key; no plugin needs more, and each nests one more table
    if key.split('.').count() > DEEPEST {
        return Err(ConfigError::UnknownKey {
            key: key.to_owned(),
            origin,
            nearest: None,
        });
    }
    let value = read_value(key, text, &origin)?;
    Layer::from_key(key, value, origin)
}
