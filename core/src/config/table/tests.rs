//! Each range in the table is what `--set` takes: numbers inside resolve, numbers outside are refused with that range.

use std::ops::Bound;

use proptest::prelude::*;

use super::*;
use crate::config::{ConfigError, Override, Purpose, Range, Request, resolve};

/// Farthest from a range's end that a number is drawn. Within it no key meets another key's limit but for those in
/// [`fitting`].
const FAR: f64 = 1e6;

/// Keys with a range that stand outside list entries.
fn ranged() -> Vec<&'static Key> {
    let keys = all_keys().iter();
    keys.filter(|key| key.range.is_some() && !key.name.contains("[]"))
        .collect()
}

/// A number as the key takes it: whole for a count.
fn written(key: &Key, number: f64) -> String {
    match key.kind {
        Kind::Count => format!("{}", number.round()),
        Kind::Numbers(n) => format!("[{}]", vec![format!("{number:?}"); n].join(", ")),
        _ => format!("{number:?}"),
    }
}

/// What else must be set so that a good value of the key does not break a rule between keys.
fn fitting(key: &str, value: &str) -> Vec<String> {
    match key {
        "rollout.prompts" => vec!["rollout.group_size=1".into()],
        "rollout.group_size" => vec!["rollout.prompts=1".into()],
        "algorithm.kl.target" => vec!["algorithm.kl.coefficient=0.1".into()],
        "model.lora.rank" | "model.lora.alpha" => vec!["sft.start=model".into()],
        "sft.steps" => vec!["optimizer.warmup=0".into()],
        "sft.fresh.width" => vec![
            "sft.fresh.heads=1".into(),
            format!("sft.fresh.width={}", 2 * half(value)),
        ],
        "sft.fresh.heads" => vec![
            format!("sft.fresh.width={}", 2 * half(value)),
            format!("sft.fresh.heads={}", half(value)),
        ],
        "sft.fresh.kv_heads" => ["width", "heads", "kv_heads"]
            .map(|size| format!("sft.fresh.{size}={}", half(value) * if size == "width" { 2 } else { 1 }))
            .to_vec(),
        _ => Vec::new(),
    }
}

/// Half of the value, 1 or more: a fresh model's width is a multiple of twice its heads.
fn half(value: &str) -> u64 {
    value.parse::<u64>().map_or(1, |value| (value / 2).max(1))
}

fn resolved(sets: Vec<String>) -> Result<(), ConfigError> {
    let request = Request {
        purpose: Purpose::Sft,
        overrides: sets.into_iter().map(Override::Set).collect(),
        ..Request::default()
    };
    resolve(&request).map(|_| ())
}

fn end(bound: Bound<f64>) -> Option<f64> {
    match bound {
        Bound::Included(end) | Bound::Excluded(end) => Some(end),
        Bound::Unbounded => None,
    }
}

/// A number in the range: `share` of the way up from its lower end, which itself is drawn where it belongs to it.
fn inside(range: Range, whole: bool, share: f64) -> f64 {
    let least = end(range.least).expect("every range begins somewhere");
    let most = end(range.most).unwrap_or(least + FAR);
    let number = least + share * (most - least);
    match (range.least, whole) {
        (_, true) => number.round(),
        (Bound::Excluded(_), false) if number <= least => least + (most - least) / 2.0,
        _ => number,
    }
}

/// Numbers on both sides of the range, and its ends if they do not belong to it.
fn outside(range: Range, whole: bool, share: f64) -> Vec<f64> {
    let beyond = if whole {
        1.0 + (share * FAR).round()
    } else {
        1e-3 + share * FAR
    };
    let below = end(range.least).map(|least| least - beyond);
    let above = end(range.most).map(|most| most + beyond);
    let open = |bound| match bound {
        Bound::Excluded(end) => Some(end),
        _ => None,
    };
    let ends = [open(range.least), open(range.most)];
    let is_disabling = |number: &f64| range.or_zero && *number == 0.0;
    let all = [below, above].into_iter().chain(ends).flatten();
    all.filter(|number| !is_disabling(number)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_number_in_the_range_is_taken(share in 0.0..1.0_f64) {
        for key in ranged() {
            let range = key.range.expect("filtered");
            let value = written(key, inside(range, key.kind == Kind::Count, share));
            let mut sets = vec![format!("{}={value}", key.name)];
            sets.extend(fitting(&key.name, &value));
            let result = resolved(sets.clone());
            prop_assert!(result.is_ok(), "{sets:?}: {}", result.expect_err("just seen"));
        }
    }

    #[test]
    fn a_number_outside_the_range_is_refused_with_it(share in 0.0..1.0_f64) {
        for key in ranged() {
            let range = key.range.expect("filtered");
            for number in outside(range, key.kind == Kind::Count, share) {
                let set = format!("{}={}", key.name, written(key, number));
                match resolved(vec![set.clone()]) {
                    Err(ConfigError::Value { key: named, expected, .. }) => {
                        prop_assert_eq!(&named, &key.name);
                        prop_assert_eq!(&expected, &key.expected());
                        prop_assert!(expected.contains(&range.to_string()), "{} / {}", expected, range);
                    }
                    other => prop_assert!(false, "{set}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn every_default_is_in_its_range_and_every_number_is_looked_at() {
    assert!(ranged().len() >= 30, "only {} keys have a range", ranged().len());
    for key in ranged() {
        let range = key.range.expect("filtered");
        let numbers: Vec<f64> = match &key.default {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_float).collect(),
            Some(value) => value
                .as_float()
                .or_else(|| value.as_integer().map(|n| n as f64))
                .into_iter()
                .collect(),
            None => continue,
        };
        assert!(
            !numbers.is_empty() && numbers.iter().all(|n| range.contains(*n)),
            "{}",
            key.name
        );
    }
    // 0 disables what has no range, or is the seed.
    let unbounded = all_keys()
        .iter()
        .filter(|key| key.range.is_none() && matches!(key.kind, Kind::Count | Kind::Number | Kind::Numbers(_)));
    let names: Vec<&str> = unbounded.map(|key| key.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "rollout.top_k",
            "algorithm.minibatch",
            "optimizer.warmup",
            "train.steps",
            "train.seed",
            "validation.every",
            "validation.rows",
            "checkpoint.every",
            "logging.samples",
            "sft.rows"
        ]
    );
}

#[test]
fn a_key_and_its_former_name_are_told_apart() {
    for key in all_keys() {
        if let Some(former) = key.former_name() {
            assert_eq!(find(&former), KeyKind::Unknown, "{former} is a key too");
            assert_eq!(renamed(&former).map(|now| &now.name), Some(&key.name));
        }
    }
    assert!(renamed("checkpoint.rollback").is_none());
}
