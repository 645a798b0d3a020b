//! What keys say about each other. The range of a single key stands in [`super::settings`].

use std::path::Path;

use super::choices::{Estimator, KlPlacement, SftStart};
use super::date::Date;
use super::error::ConfigError;
use super::origin::Origin;
use super::request::Purpose;
use super::settings::{Config, FreshModel, LORA_TARGETS, MOST_COMPLETIONS};

/// Checks the keys that depend on others; `origin` says where one was written. Without a purpose it is not known which
/// steps the warm-up belongs to.
pub(crate) fn validate(
    config: &Config,
    purpose: Option<Purpose>,
    origin: &dyn Fn(&str) -> Origin,
) -> Result<(), ConfigError> {
    let keys = Keys { config, origin };
    keys.plugins()?;
    keys.batch()?;
    keys.date()?;
    keys.groups()?;
    keys.objectives()?;
    keys.kl()?;
    keys.lora(purpose)?;
    purpose.map_or(Ok(()), |purpose| keys.warmup(purpose))?;
    config.sft.as_ref().map_or(Ok(()), |sft| keys.fresh(&sft.fresh))
}

struct Keys<'a> {
    config: &'a Config,
    origin: &'a dyn Fn(&str) -> Origin,
}

impl Keys<'_> {
    /// A library is a file; the commonest mistake is to name the crate's folder.
    fn plugins(&self) -> Result<(), ConfigError> {
        let is_folder = |name: &&String| name.contains('/') && Path::new(name).is_dir();
        match self.config.plugins.iter().find(is_folder) {
            Some(name) => Err(self.error(
                "plugins",
                format!("the folder \"{name}\""),
                "a library, such as target/release/libmine.so".to_owned(),
            )),
            None => Ok(()),
        }
    }

    fn date(&self) -> Result<(), ConfigError> {
        match &self.config.data.chat_date {
            Some(date) if date.parse::<Date>().is_err() => Err(self.error(
                "data.chat_date",
                format!("\"{date}\""),
                "a day such as \"2026-11-24\"".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Adapters stand beside matrices that a layer has, each once.
    fn lora(&self, purpose: Option<Purpose>) -> Result<(), ConfigError> {
        let Some(lora) = &self.config.model.lora else {
            return Ok(());
        };
        let expected = || format!("some of {}, each once", LORA_TARGETS.join(", "));
        for (i, target) in lora.targets.iter().enumerate() {
            if !LORA_TARGETS.contains(&target.as_str()) || lora.targets[..i].contains(target) {
                return Err(self.error("model.lora.targets", format!("{target:?}"), expected()));
            }
        }
        let fresh = self.config.sft.as_ref().is_some_and(|sft| sft.start == SftStart::Fresh);
        if lora.rank > 0 && fresh && purpose == Some(Purpose::Sft) {
            let expected = "0 for a fresh model: adapters stand beside a model that a file holds".to_owned();
            return Err(self.error("model.lora.rank", lora.rank, expected));
        }
        if lora.targets.is_empty() {
            return Err(self.error("model.lora.targets", "none", expected()));
        }
        Ok(())
    }

    fn batch(&self) -> Result<(), ConfigError> {
        let rollout = &self.config.rollout;
        let most = usize::try_from(MOST_COMPLETIONS).unwrap_or(usize::MAX);
        if self.config.batch_size() > most {
            let expected = format!("at most {most} completions per step, rollout.prompts times this");
            return Err(self.error("rollout.group_size", rollout.group_size, expected));
        }
        let minibatch = self.config.algorithm.minibatch;
        if minibatch > rollout.prompts {
            let expected = format!("at most rollout.prompts, {}", rollout.prompts);
            return Err(self.error("algorithm.minibatch", minibatch, expected));
        }
        Ok(())
    }

    /// Estimators that compare the completions of a prompt need two.
    fn groups(&self) -> Result<(), ConfigError> {
        let size = self.config.rollout.group_size;
        if self.config.algorithm.estimator == Estimator::GrpoPassk && size < 2 {
            let expected = "2 or more with the estimator grpo-passk, which compares completions".to_owned();
            return Err(self.error("rollout.group_size", size, expected));
        }
        Ok(())
    }

    /// At least one, with unique names.
    fn objectives(&self) -> Result<(), ConfigError> {
        let objectives = &self.config.objectives;
        if objectives.is_empty() {
            return Err(self.error(
                "objective",
                "an empty list",
                "at least one [[objective]] block".to_owned(),
            ));
        }
        for (index, objective) in objectives.iter().enumerate() {
            let mut others = objectives[..index].iter();
            if let Some(first) = others.position(|other| other.name == objective.name) {
                let key = format!("objective[{index}].name");
                let expected = format!("a unique name (objective[{first}] has this one)");
                return Err(self.error(&key, format!("\"{}\"", objective.name), expected));
            }
        }
        Ok(())
    }

    /// A KL term that can mean something.
    fn kl(&self) -> Result<(), ConfigError> {
        let algorithm = &self.config.algorithm;
        let kl = &algorithm.kl;
        if kl.target > 0.0 && kl.coefficient == 0.0 {
            let expected = "a start value above 0, because algorithm.kl.target is set".to_owned();
            return Err(self.error("algorithm.kl.coefficient", kl.coefficient, expected));
        }
        let in_reward = kl.coefficient > 0.0 && kl.placement == KlPlacement::Reward;
        if in_reward && algorithm.estimator == Estimator::Gdpo {
            // gdpo mixes z-scores of the objectives: there is no reward that a penalty could be subtracted from
            let expected = "\"loss\" with the estimator gdpo, which has no scalar reward".to_owned();
            return Err(self.error("algorithm.kl.placement", "\"reward\"", expected));
        }
        Ok(())
    }

    /// The warm-up is counted in steps, as the run is: mini-batches and epochs do not matter.
    fn warmup(&self, purpose: Purpose) -> Result<(), ConfigError> {
        let (key, steps) = match (purpose, &self.config.sft) {
            (Purpose::Sft, Some(sft)) => ("sft.steps", sft.steps),
            _ => ("train.steps", self.config.train.steps),
        };
        let warmup = self.config.optimizer.warmup;
        if warmup > steps {
            return Err(self.error("optimizer.warmup", warmup, format!("at most {key}, {steps}")));
        }
        Ok(())
    }

    fn fresh(&self, model: &FreshModel) -> Result<(), ConfigError> {
        let FreshModel {
            width, heads, kv_heads, ..
        } = *model;
        if width % (2 * heads) != 0 {
            // the rotary embedding rotates pairs of a head's numbers
            let expected = format!("a multiple of twice sft.fresh.heads, {}", 2 * heads);
            return Err(self.error("sft.fresh.width", width, expected));
        }
        if heads % kv_heads != 0 {
            let expected = format!("a divisor of sft.fresh.heads, {heads}");
            return Err(self.error("sft.fresh.kv_heads", kv_heads, expected));
        }
        Ok(())
    }

    fn error(&self, key: &str, found: impl ToString, expected: String) -> ConfigError {
        ConfigError::Value {
            key: key.to_owned(),
            origin: (self.origin)(key),
            found: found.to_string(),
            expected,
        }
    }
}
