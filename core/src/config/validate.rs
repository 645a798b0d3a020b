//! Range checks of a resolved config: values of the right type that make no sense.

use super::choices::{Estimator, KlPlacement};
use super::error::ConfigError;
use super::layers::Resolved;
use super::settings::{FreshModel, Sft};

/// Most completions of one step. Beyond it numbers of tokens no longer fit in 32 bits.
const MOST_COMPLETIONS: usize = 1 << 20;
/// Longest prompt or completion.
const MOST_TOKENS: usize = 1 << 20;
/// Most layers, heads, rows or columns of a fresh model.
const LARGEST_SIZE: usize = 1 << 20;

/// Checks ranges, and what keys say about each other.
pub(crate) fn validate(resolved: &Resolved) -> Result<(), ConfigError> {
    let config = &resolved.config;
    let check = Check { resolved };
    check.text("model.path", &String::from(config.model.path.clone()))?;
    check.text("data.train", &String::from(config.data.train.clone()))?;
    check.text("data.validation", &String::from(config.data.validation.clone()))?;
    check.text("data.test", &String::from(config.data.test.clone()))?;
    check.text("data.prompt_key", &config.data.prompt_key)?;
    check.count("data.max_prompt_tokens", config.data.max_prompt_tokens, 1, MOST_TOKENS)?;

    let rollout = &config.rollout;
    check.count("rollout.prompts", rollout.prompts, 1, MOST_COMPLETIONS)?;
    check.count(
        "rollout.group_size",
        rollout.group_size,
        1,
        MOST_COMPLETIONS / rollout.prompts,
    )?;
    check.count("rollout.max_new_tokens", rollout.max_new_tokens, 1, MOST_TOKENS)?;
    check.number(
        "rollout.temperature",
        rollout.temperature,
        |t| t > 0.0,
        "a number above 0",
    )?;
    check.number(
        "rollout.top_p",
        rollout.top_p,
        |p| p > 0.0 && p <= 1.0,
        "above 0 and at most 1",
    )?;

    objectives(&check)?;
    check.text("scalarizer.name", &config.scalarizer.name)?;

    let algorithm = &config.algorithm;
    check.number(
        "algorithm.clip_low",
        algorithm.clip_low,
        |c| c > 0.0,
        "a number above 0",
    )?;
    check.number(
        "algorithm.clip_high",
        algorithm.clip_high,
        |c| c > 0.0,
        "a number above 0",
    )?;
    check.number(
        "algorithm.dual_clip",
        algorithm.dual_clip,
        |c| c == 0.0 || c > 1.0,
        "above 1, or 0 for none",
    )?;
    check.count("algorithm.minibatch", algorithm.minibatch, 0, rollout.prompts)?;
    check.count("algorithm.epochs", algorithm.epochs, 1, MOST_COMPLETIONS)?;
    check.count(
        "algorithm.micro_batch_tokens",
        algorithm.micro_batch_tokens,
        1,
        usize::MAX,
    )?;
    check.number("algorithm.entropy", algorithm.entropy, |c| c >= 0.0, "0 or more")?;
    kl(&check)?;

    let optimizer = &config.optimizer;
    check.number("optimizer.lr", optimizer.lr, |lr| lr > 0.0, "a number above 0")?;
    let [first, second] = optimizer.betas;
    let beta = |b: f64| (0.0..1.0).contains(&b);
    if !beta(first) || !beta(second) {
        return Err(check.error(
            "optimizer.betas",
            format!("[{first}, {second}]"),
            "two numbers from 0 to below 1",
        ));
    }
    check.number("optimizer.eps", optimizer.eps, |e| e > 0.0, "a number above 0")?;
    check.number(
        "optimizer.weight_decay",
        optimizer.weight_decay,
        |d| d >= 0.0,
        "0 or more",
    )?;
    check.number(
        "optimizer.clip_norm",
        optimizer.clip_norm,
        |c| c >= 0.0,
        "above 0, or 0 for none",
    )?;
    check.number(
        "optimizer.min_lr_ratio",
        optimizer.min_lr_ratio,
        |r| (0.0..=1.0).contains(&r),
        "from 0 to 1",
    )?;
    check.number("optimizer.power", optimizer.power, |p| p > 0.0, "a number above 0")?;

    if config.train.steps == 0 {
        return Err(check.error("train.steps", "0", "1 or more"));
    }
    if let Some(threads) = config.train.threads {
        check.count("train.threads", threads, 1, 4096)?;
    }
    if let Some(folder) = &config.train.run_dir {
        check.text("train.run_dir", &folder.to_string_lossy())?;
    }
    check.number(
        "validation.temperature",
        config.validation.temperature,
        |t| t >= 0.0,
        "0 (greedy) or more",
    )?;
    if let Some(tokens) = config.validation.max_new_tokens {
        check.count("validation.max_new_tokens", tokens, 1, MOST_TOKENS)?;
    }
    check.count("checkpoint.keep", config.checkpoint.keep, 1, usize::MAX)?;
    config.sft.as_ref().map_or(Ok(()), |settings| sft(&check, settings))
}

/// A KL term that can mean something.
fn kl(check: &Check<'_>) -> Result<(), ConfigError> {
    let algorithm = &check.resolved.config.algorithm;
    let kl = &algorithm.kl;
    check.number("algorithm.kl.coefficient", kl.coefficient, |c| c >= 0.0, "0 or more")?;
    check.number(
        "algorithm.kl.target",
        kl.target,
        |t| t >= 0.0,
        "above 0, or 0 for a fixed coefficient",
    )?;
    check.number("algorithm.kl.horizon", kl.horizon, |h| h > 0.0, "a number above 0")?;
    if kl.target > 0.0 && kl.coefficient == 0.0 {
        let expected = "above 0, to begin with, where algorithm.kl.target is set";
        return Err(check.error("algorithm.kl.coefficient", kl.coefficient, expected));
    }
    let in_reward = kl.coefficient > 0.0 && kl.placement == KlPlacement::Reward;
    if in_reward && algorithm.estimator == Estimator::Gdpo {
        // gdpo mixes z-scores of the objectives: there is no reward that a penalty could be subtracted from
        let expected = "\"loss\" with the estimator gdpo, which has no scalar reward";
        return Err(check.error("algorithm.kl.placement", "\"reward\"", expected));
    }
    Ok(())
}

/// At least one, with names of their own.
fn objectives(check: &Check<'_>) -> Result<(), ConfigError> {
    let objectives = &check.resolved.config.objectives;
    if objectives.is_empty() {
        return Err(check.error("objective", "an empty list", "at least one [[objective]] block"));
    }
    for (index, objective) in objectives.iter().enumerate() {
        check.text(&format!("objective[{index}].name"), &objective.name)?;
        check.text(&format!("objective[{index}].reward"), &objective.reward)?;
        let limits = &objective.limits;
        for (key, limit, most) in [
            ("fuel", limits.fuel, u64::MAX >> 1),
            ("milliseconds", limits.milliseconds, 86_400_000),
            ("memory_mib", limits.memory_mib, 4096),
            ("result_bytes", limits.result_bytes, 1 << 30),
        ] {
            if let Some(limit) = limit.filter(|limit| !(1..=most).contains(limit)) {
                let key = format!("objective[{index}].limits.{key}");
                return Err(check.error(&key, limit.to_string(), &format!("1 to {most}")));
            }
        }
        if let Some(first) = objectives[..index]
            .iter()
            .position(|other| other.name == objective.name)
        {
            let expected = format!("a name of its own (objective[{first}] has this one)");
            let key = format!("objective[{index}].name");
            return Err(check.error(&key, format!("\"{}\"", objective.name), &expected));
        }
    }
    Ok(())
}

fn sft(check: &Check<'_>, sft: &Sft) -> Result<(), ConfigError> {
    check.text("sft.train", &sft.train)?;
    if sft.steps == 0 {
        return Err(check.error("sft.steps", "0", "1 or more"));
    }
    check.count("sft.batch", sft.batch, 1, MOST_COMPLETIONS)?;
    check.number(
        "sft.tokens_per_row",
        sft.tokens_per_row,
        |t| t > 0.0,
        "a number above 0",
    )?;
    let FreshModel {
        vocab,
        width,
        layers,
        heads,
        kv_heads,
        mlp,
        max_positions,
        ..
    } = sft.fresh;
    check.text("sft.fresh.tokenizer", &String::from(sft.fresh.tokenizer.clone()))?;
    check.count("sft.fresh.vocab", vocab, 1, LARGEST_SIZE)?;
    check.count("sft.fresh.width", width, 1, LARGEST_SIZE)?;
    check.count("sft.fresh.layers", layers, 1, LARGEST_SIZE)?;
    check.count("sft.fresh.heads", heads, 1, width)?;
    check.count("sft.fresh.kv_heads", kv_heads, 1, heads)?;
    check.count("sft.fresh.mlp", mlp, 1, LARGEST_SIZE)?;
    check.count("sft.fresh.max_positions", max_positions, 1, MOST_TOKENS)?;
    check.number(
        "sft.fresh.rope_base",
        sft.fresh.rope_base,
        |b| b > 0.0,
        "a number above 0",
    )?;
    if width % (2 * heads) != 0 {
        // the rotary embedding turns pairs of a head's numbers
        let expected = format!("a multiple of twice sft.fresh.heads, {}", 2 * heads);
        return Err(check.error("sft.fresh.width", width, &expected));
    }
    if heads % kv_heads != 0 {
        let expected = format!("a divisor of sft.fresh.heads, {heads}");
        return Err(check.error("sft.fresh.kv_heads", kv_heads, &expected));
    }
    Ok(())
}

/// Makes the errors, with where the value came from.
struct Check<'a> {
    resolved: &'a Resolved,
}

impl Check<'_> {
    fn error(&self, key: &str, value: impl ToString, expected: &str) -> ConfigError {
        ConfigError::OutOfRange {
            key: key.to_owned(),
            origin: self.resolved.origin(key),
            value: value.to_string(),
            expected: expected.to_owned(),
        }
    }

    fn count(&self, key: &str, value: usize, least: usize, most: usize) -> Result<(), ConfigError> {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        let expected = if most == usize::MAX {
            format!("{least} or more")
        } else {
            format!("{least} to {most}")
        };
        Err(self.error(key, value, &expected))
    }

    fn number(&self, key: &str, value: f64, good: impl Fn(f64) -> bool, expected: &str) -> Result<(), ConfigError> {
        if good(value) {
            Ok(())
        } else {
            Err(self.error(key, value, expected))
        }
    }

    fn text(&self, key: &str, value: &str) -> Result<(), ConfigError> {
        if value.trim().is_empty() {
            Err(self.error(key, "an empty string", "some text"))
        } else {
            Ok(())
        }
    }
}
