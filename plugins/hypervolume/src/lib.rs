//! Hypervolume-guided weighting: steps that widen the front are trained on harder (Lu et al., "Learning to Optimize
//! Multi-Objective Alignment Through Dynamic Reward Weighting", arXiv 2509.11452, first method).
//!
//! The weights w `[M]` stay as given. The validation before training is the reference point; each later one, p `[M]`,
//! adds to a buffer of validation points what volume it dominates alone:
//! ```text
//! ΔHV   = HV(buffer ∪ p) − HV(buffer)          p joins the buffer where ΔHV > 0
//! scale = 0.5 + 1.5 · tanh(ΔHV)                1 before the first ΔHV
//! ```
//! Values of objectives that are minimised count with the opposite sign. Volume below the reference counts as
//! nothing. Only points that no later one dominates are kept: the others have no volume of their own.
//!
//! Departures from the released code, which `compat = "drw-repo"` repeats:
//! - The scale multiplies advantages, not rewards: GRPO and REINFORCE++ divide a factor common to a batch away
//!   (`apply = "reward"` has it).
//! - Each objective is divided by the size of its reference value (by 1 where that is 0), as a volume in raw tokens
//!   takes tanh to its end (`normalize = false` has it).
//! - The released recursion lets a point count that is below the reference in its last objective, with a negative
//!   volume, and raises where that makes ΔHV negative; repeated here, with ΔHV = 0 in place of raising.
//!
//! With one objective there is no front, and the scale is 1.

use moa_sdk::prelude::*;

/// What the scale multiplies.
#[derive(Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
pub enum Apply {
    /// The step's advantages.
    #[default]
    Advantage,
    /// The step's rewards, before the advantage is estimated.
    Reward,
}

/// Weights, how the scale is made and used, and the validations so far.
#[derive(Params, Serialize, Deserialize)]
pub struct Hypervolume {
    #[param(weights)]
    weights: Vec<f32>,
    /// divide each objective's validation value by the size of its reference value.
    #[param(default = true)]
    normalize: bool,
    /// what the scale multiplies: "reward" is without effect where the estimator normalises.
    apply: Apply,
    /// the released code's behaviour instead of `normalize` and `apply`.
    #[param(choices = ["drw-repo"])] // yining610/dynamic-reward-weighting
    compat: Option<String>,
    /// 1, or −1 where an objective is minimised, `[M]`.
    #[state(init = setup.signs())]
    signs: Vec<f64>,
    /// The values `[M]` before training.
    #[state]
    reference: Option<Vec<f64>>,
    /// Points `[M]`: maximised, in units of the reference.
    #[state]
    buffer: Vec<Vec<f64>>,
    /// The last ΔHV.
    #[state]
    contribution: Option<f64>,
}

#[scalarizer]
impl Scalarizer for Hypervolume {
    const NAME: &str = "hypervolume";
    const PAPER: &str =
        "Lu et al., Learning to Optimize Multi-Objective Alignment Through Dynamic Reward Weighting, arXiv 2509.11452";
    const NEEDS: Needs = Needs::NONE.validation_each_step();
    // In units of the reference (0.5, 10): (1.6, −0.8) adds 0.6 · 0.2; 0.5 + 1.5 tanh(0.12) = 0.67914. Then a
    // point below the reference adds nothing.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn new(_: &Setup, mut params: Self) -> Result<Self> {
        if params.compat.is_some() {
            (params.normalize, params.apply) = (false, Apply::Reward);
        }
        Ok(params)
    }

    fn on_validation(&mut self, validation: &Validation) -> Result<()> {
        let values = validation.values();
        if let Some(m) = values.iter().position(|value| !value.is_finite()) {
            let found = values[m];
            return Err(Error::new(format!(
                "value {m} of the validation is {found}, expected a finite number"
            )));
        }
        let Some(reference) = &self.reference else {
            self.reference = Some(values.to_vec());
            return Ok(());
        };
        let unit = |m: usize| {
            if self.normalize && reference[m].abs() > SMALLEST_UNIT {
                reference[m].abs()
            } else {
                1.0
            }
        };
        let maximised = |values: &[f64]| -> Vec<f64> {
            let of = |(m, (value, sign)): (usize, (&f64, &f64))| sign * value / unit(m);
            values.iter().zip(&self.signs).enumerate().map(of).collect()
        };
        let (point, reference) = (maximised(values), maximised(reference));
        let contribution = if self.compat.is_some() {
            let before = released_volume(&self.buffer, &reference);
            self.buffer.push(point.clone());
            let after = released_volume(&self.buffer, &reference);
            self.buffer.pop();
            (after - before).max(0.0)
        } else {
            math::hypervolume_increment(&self.buffer, &point, &reference)?
        };
        if contribution > 0.0 {
            if self.compat.is_none() {
                self.buffer.retain(|other| !math::dominates(&point, other));
            }
            self.buffer.push(point);
        }
        self.contribution = Some(contribution);
        Ok(())
    }

    fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
        let scale = match self.contribution {
            Some(contribution) if batch.m() > 1 => 0.5 + 1.5 * contribution.tanh(),
            _ => 1.0,
        };
        #[allow(clippy::cast_possible_truncation, reason = "between 0.5 and 2")]
        let scale = scale as f32;
        Ok(match self.apply {
            Apply::Advantage => Signal::weights(&self.weights).with_advantage_scale(scale),
            Apply::Reward => {
                let scaled: Vec<f32> = self.weights.iter().map(|w| w * scale).collect();
                Signal::weights(&scaled)
            }
        })
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(self.weights.clone())
    }

    fn metrics(&self) -> Metrics {
        match self.contribution {
            Some(contribution) => Metrics::new().with("contribution", contribution),
            None => Metrics::new(),
        }
    }
}

/// A reference value up to this is taken for 0: it is no unit to measure in.
const SMALLEST_UNIT: f64 = 1e-9;

/// The released recursion over slices of the first objective. It differs from the hypervolume where a point is
/// below the reference in the last objective.
fn released_volume(points: &[Vec<f64>], reference: &[f64]) -> f64 {
    let Some((&first, others)) = reference.split_first() else {
        return 0.0;
    };
    if points.is_empty() {
        return 0.0;
    }
    if others.is_empty() {
        return points.iter().map(|p| p[0]).fold(f64::NEG_INFINITY, f64::max) - first;
    }
    let mut points = points.to_vec();
    points.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let (mut sum, mut from) = (0.0, first);
    while let Some(to) = points.first().map(|p| p[0]) {
        if to > from {
            let slice: Vec<Vec<f64>> = points.iter().map(|p| p[1..].to_vec()).collect();
            sum += (to - from) * released_volume(&slice, others);
            from = to;
        }
        points.retain(|p| p[0] > to);
    }
    sum
}

moa_sdk::export!(scalarizers: [Hypervolume]);

moa_sdk::testing::suite!(Hypervolume,
    golden = [
        "../../../tests/golden/hypervolume.jsonl",
        "../../../tests/golden/hypervolume-length.jsonl",
    ],
    params = [
        {},
        {"normalize": false} without permutation,
        {"apply": "reward"} without permutation,
        {"compat": "drw-repo"} without permutation,
    ],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::{Value, json};
    use moa_sdk::testing;

    fn contributions(params: &Value, points: &[&[f64]]) -> Result<Vec<Option<f64>>> {
        let mut plugin: Hypervolume = testing::scalarizer(points[0].len(), params)?;
        let steps = points.iter().zip(0..);
        steps
            .map(|(values, step)| {
                plugin.on_validation(&Validation::new(step, values))?;
                Ok(plugin.contribution)
            })
            .collect()
    }

    #[test]
    fn points_below_the_reference_and_dominated_points_add_nothing() -> Result<()> {
        let points: [&[f64]; 6] = [
            &[1.0, 1.0],
            &[3.0, 0.5],
            &[3.0, 2.0],
            &[2.0, 2.0],
            &[2.0, 3.0],
            &[3.0, 3.0],
        ];
        let raw = json!({"normalize": false});
        let expected = [None, Some(0.0), Some(2.0), Some(0.0), Some(1.0), Some(1.0)];
        assert_eq!(contributions(&raw, &points)?, expected);
        Ok(())
    }

    /// Below the reference in the second objective: 2 · (0.5 − 1) = −1, clamped to 0, does not join; below it in the
    /// third of three it takes volume off, which the released code raises at.
    #[test]
    fn the_released_recursion_is_repeated() -> Result<()> {
        let released = json!({"compat": "drw-repo"});
        assert_eq!(
            contributions(&released, &[&[1.0, 1.0], &[3.0, 0.5]])?,
            [None, Some(0.0)]
        );
        // Below in both of the last two: (−0.5)·width of the second is no width at all; in the last alone, negative.
        let volume = released_volume(&[vec![3.0, 2.0, 0.5]], &[1.0, 1.0, 1.0]);
        assert_eq!(volume, 2.0 * 1.0 * -0.5);
        // A second point above it in the last: 2 · 1 · 1 either way, but for the first slice.
        assert_eq!(released_volume(&[vec![3.0, 2.0], vec![2.0, 3.0]], &[1.0, 1.0]), 3.0);
        Ok(())
    }

    #[test]
    fn the_scale_goes_where_it_is_asked_to() -> Result<()> {
        let batch = moa_sdk::views::BatchInput {
            m: 2,
            ..Default::default()
        };
        let scaled = |params| {
            let mut plugin: Hypervolume = testing::scalarizer(2, &params)?;
            plugin.on_validation(&Validation::new(0, &[1.0, 1.0]))?;
            plugin.on_validation(&Validation::new(1, &[0.5, 0.5]))?;
            plugin.scalarize(&Batch::new(batch, Hypervolume::NEEDS)?)
        };
        let advantage = scaled(json!({}))?;
        assert_eq!(
            (advantage.mixing_weights(), advantage.advantage_scale()),
            (Some(&[0.5, 0.5][..]), 0.5)
        );
        for params in [json!({"apply": "reward"}), json!({"compat": "drw-repo"})] {
            let reward = scaled(params)?;
            assert_eq!(
                (reward.mixing_weights(), reward.advantage_scale()),
                (Some(&[0.25, 0.25][..]), 1.0)
            );
        }
        Ok(())
    }

    #[test]
    fn a_validation_that_is_not_finite_is_refused() -> Result<()> {
        let error = contributions(&json!({}), &[&[1.0, f64::NAN]]).expect_err("refused");
        assert!(error.message.contains("value 1 of the validation is NaN"));
        Ok(())
    }
}
