//! The published method's numbers, and what holds on any trace.

use super::*;
use moa_sdk::{serde_json, testing, views::UpdateInput};

/// A step of two prompts with two completions of one token each; the second prompt has no signal.
fn step<'a>(advantages: &'a [f32], groups: &'a [u32]) -> UpdateInput<'a> {
    UpdateInput {
        step: 1,
        m: 2,
        groups,
        scores: &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0],
        advantages,
        old_logprobs: &[-1.0; 4],
        new_logprobs: &[-1.0; 4],
        offsets: &[0, 1, 2, 3, 4],
        clip_low: 0.2,
        clip_high: 0.2,
    }
}

fn plugin(params: serde_json::Value) -> Result<Ctwa> {
    testing::scalarizer(2, &params)
}

const GROUPS: [u32; 4] = [0, 0, 1, 1];

/// v = 1, −1, 0, 0: covariances ½ and −½ in the first prompt, 0 in the second.
#[test]
fn by_hand() -> Result<()> {
    let mut ctwa = plugin(serde_json::json!({"weight_lr": 0.5, "covariance_targets": [0.1, 0.05]}))?;
    ctwa.after_update(&Update::new(step(&[1.0, -1.0, 0.0, 0.0], &GROUPS))?)?;
    let metrics = ctwa.metrics().of_objectives(&["a".to_owned(), "b".to_owned()]);
    assert_eq!(
        (metrics.get("covariance/a"), metrics.get("covariance/b")),
        (Some(0.25), Some(-0.25))
    );
    let expected = 0.5 * (0.5_f64 * 0.3).exp();
    assert!((ctwa.weights[0] - 0.5).abs() < 1e-15 && (ctwa.weights[1] - expected).abs() < 1e-15);
    assert_eq!(metrics.get("weight_sum"), Some(ctwa.weights.iter().sum()));
    Ok(())
}

/// Most completions have v = 0: those with a signal are not outliers. NaN and true outliers are left out.
#[test]
fn outliers() -> Result<()> {
    let ctwa = plugin(serde_json::json!({}))?;
    let statistics = |advantages: &[f32], groups: &[u32]| -> Result<Option<Vec<f64>>> {
        Ok(ctwa.statistics(&Update::new(step(advantages, groups))?))
    };
    assert_eq!(statistics(&[1.0, 0.0, 0.0, 0.0], &GROUPS)?, Some(vec![0.125, -0.125]));
    // Without the last completion its prompt has one left and is skipped.
    let first_prompt = Some(vec![0.5, -0.5]);
    assert_eq!(statistics(&[1.0, -1.0, 1.0, f32::NAN], &GROUPS)?, first_prompt);
    assert_eq!(statistics(&[1.0, -1.0, 1.0, 101.0], &GROUPS)?, first_prompt);
    assert_ne!(statistics(&[1.0, -1.0, 1.0, 99.0], &GROUPS)?, first_prompt);
    assert_eq!(statistics(&[1.0, -1.0, 1.0, 0.5], &[0, 1, 2, 3])?, None);
    Ok(())
}

/// A step without any prompt to compare within changes nothing, not even the moving average.
#[test]
fn nothing_to_compare() -> Result<()> {
    let mut ctwa = plugin(serde_json::json!({}))?;
    ctwa.after_update(&Update::new(step(&[1.0; 4], &[0, 1, 2, 3]))?)?;
    assert_eq!((ctwa.weights(), ctwa.average), (Some(vec![0.5, 0.5]), None));
    Ok(())
}

#[test]
fn a_weight_stays_finite_and_one_of_zero_stays_zero() -> Result<()> {
    let mut plugin = plugin(serde_json::json!({"weight_lr": 1e9, "weights": [0.0, 1.0]}))?;
    for _ in 0..3 {
        plugin.after_update(&Update::new(step(&[1.0, -1.0, -1.0, 1.0], &GROUPS))?)?;
    }
    assert_eq!(plugin.weights(), Some(vec![0.0, 1e20]));
    Ok(())
}

#[test]
fn reached_targets_hold_a_weight() -> Result<()> {
    let mut ctwa = plugin(serde_json::json!({"objective_targets": [0.5, 0.51], "covariance_targets": [1.0]}))?;
    ctwa.after_update(&Update::new(step(&[1.0, -1.0, 0.0, 0.0], &GROUPS))?)?;
    assert_eq!(ctwa.weights[0], 0.5, "the mean of 0.5 has reached 0.5");
    assert!(ctwa.weights[1] > 0.5);
    Ok(())
}

/// On random steps: no weight is ever lowered; with `renormalize` they sum to 1; the state
/// goes through serde without a trace.
#[test]
fn weights_never_fall() -> Result<()> {
    let mut rng = Setup {
        objectives: vec![],
        seed: 7,
    }
    .rng();
    let mut random = || {
        let advantages: Vec<f32> = (0..4).map(|_| math::to_f32([4.0 * rng.uniform() - 2.0])[0]).collect();
        let moved: Vec<f32> = (0..4).map(|_| math::to_f32([rng.uniform() - 1.5])[0]).collect();
        (advantages, moved)
    };
    for statistic in ["covariance", "correlation"] {
        for aggregation in ["mean", "mean-unclipped", "sum"] {
            let params = serde_json::json!({
                "statistic": statistic, "aggregation": aggregation, "weight_lr": 0.3, "weights": [0.7, 0.3],
            });
            let mut normalized_params = params.clone();
            normalized_params["renormalize"] = true.into();
            let (mut ctwa, mut normalized) = (plugin(params)?, plugin(normalized_params)?);
            let mut grown = false;
            for _ in 0..50 {
                let before = ctwa.weights.clone();
                let (advantages, moved) = random();
                let input = UpdateInput {
                    new_logprobs: &moved,
                    ..step(&advantages, &GROUPS)
                };
                ctwa.after_update(&Update::new(input)?)?;
                normalized.after_update(&Update::new(input)?)?;
                assert!(ctwa.weights.iter().zip(&before).all(|(after, before)| after >= before));
                grown |= ctwa.weights != before;
                assert!((normalized.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                let text = serde_json::to_string(&ctwa).map_err(|error| Error::new(error.to_string()))?;
                let loaded: Ctwa = serde_json::from_str(&text).map_err(|error| Error::new(error.to_string()))?;
                assert_eq!((&loaded.weights, &loaded.average), (&ctwa.weights, &ctwa.average));
                ctwa = loaded;
            }
            assert!(grown, "{statistic} {aggregation}: weights grow somewhere");
        }
    }
    Ok(())
}

#[test]
fn refusals() {
    let refused = |params| plugin(params).err().map(|error| error.message).unwrap_or_default();
    assert_eq!(
        refused(serde_json::json!({"covariance_targets": [0.1, 0.2, 0.3]})),
        "covariance_targets has 3 values, expected 2, one for each objective, or one for all"
    );
    assert!(
        refused(serde_json::json!({"ema_tau": 0.0}))
            .contains("`ema_tau` is the number 0.0, expected number > 0 and <= 1")
    );
    assert!(
        refused(serde_json::json!({"weight_lr": -1.0}))
            .contains("`weight_lr` is the number -1.0, expected number >= 0")
    );
    assert!(refused(serde_json::json!({"weights": [0.9, 0.9]})).contains("sum to 1.8"));
    assert!(refused(serde_json::json!({"objective_targets": []})).contains("objective_targets has 0 values"));
}
