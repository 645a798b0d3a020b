//! Dynamic re-weighting, the baseline of Lu and Jiang, "Uncovering Cross-Objective Interference in Multi-Objective
//! Alignment", arXiv 2602.06869: the gradient-based weighting of arXiv 2509.11452, with the learning rate of each
//! batch taken into what is accumulated.
//!
//! From the Gramian G `[M, M]` of a batch's per-objective gradients, at learning rate η:
//! ```text
//! a     = mean over the last `accumulation_steps` batches of η · G · 1      [M]
//! w_m  ← w_m exp(a_m / μ) / Σ_k w_k exp(a_k / μ)
//! ```
//! In between the weights stay. `layers` makes the Gramian of the gradients of some parameters only; `clip_norm`
//! shortens each gradient to at most that norm first, for which the Gramian is enough. The weights mix the scores.
//!
//! Departure from the released code: it multiplies by η once more when the weights move, so that at a learning rate
//! of 1e-6 they hardly do and the method is a fixed weighting; `compat = "ctwa-repo"` repeats that. A weight that
//! was above 0 stays above it, however large a step; weights and the running sum are in the checkpoint.

#![deny(unsafe_code)]

use moa_sdk::prelude::*;

/// Whose released behaviour.
#[derive(Clone, Copy, PartialEq, Choice, Serialize, Deserialize)]
pub enum Compat {
    /// yining610/ctwa: the learning rate applied twice.
    CtwaRepo,
}

/// What steers the weights.
#[derive(Params, Serialize, Deserialize)]
pub struct Params {
    /// first weight of each objective, in order; default: equal. They are >= 0 and sum to 1.
    weights: Vec<f32>,
    /// μ: the smaller, the faster the weights move.
    #[param(default = 1e-5)]
    regularization: f64,
    /// the weights move once in so many batches, by the mean of η times the influence.
    #[param(default = 1)]
    accumulation_steps: u32,
    /// parts of parameter names: only gradients of parameters that contain one of them count; default: all.
    layers: Vec<String>,
    /// longest norm of an objective's gradient.
    clip_norm: Option<f64>,
    /// the released code's behaviour: the learning rate applied twice.
    compat: Option<Compat>,
}

/// Weights `[M]`, and the sum of η · I `[M]` over `batches` batches.
#[derive(Serialize, Deserialize)]
pub struct Dynamic {
    params: Params,
    weights: Vec<f64>,
    sum: Vec<f64>,
    batches: u32,
}

#[scalarizer]
impl Scalarizer for Dynamic {
    const NAME: &str = "dynamic";
    const PAPER: &str = "Lu and Jiang, Uncovering Cross-Objective Interference in Multi-Objective Alignment, arXiv 2602.06869 (baseline)";
    type Params = Params;

    fn new(setup: &Setup, params: Params) -> Result<Self> {
        let positive = |what: &str, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(Error::new(format!("{what} is {value}, expected a number above 0"))),
        };
        positive("regularization", params.regularization)?;
        positive("clip_norm", params.clip_norm.unwrap_or(1.0))?;
        positive("accumulation_steps", f64::from(params.accumulation_steps))?;
        let weights = math::weights_or_equal(&params.weights, setup.m())?;
        Ok(Self {
            params,
            weights: weights.into_iter().map(f64::from).collect(),
            sum: vec![0.0; setup.m()],
            batches: 0,
        })
    }

    fn observe_gradients(&mut self, gradients: &Gradients) -> Result<()> {
        let influence = math::influence(gradients.gram(), self.params.clip_norm)?; // [M]
        self.sum
            .iter_mut()
            .zip(&influence)
            .for_each(|(sum, i)| *sum += gradients.lr() * i);
        self.batches += 1;
        if self.batches >= self.params.accumulation_steps {
            let again = match self.params.compat {
                Some(Compat::CtwaRepo) => gradients.lr(),
                None => 1.0,
            };
            let factor = again / self.params.regularization / f64::from(self.batches);
            let step: Vec<f64> = self.sum.iter().map(|sum| factor * sum).collect();
            self.weights = math::exponentiated(&self.weights, &step)
                .map_err(|error| error.hint("raise regularization, or set clip_norm"))?;
            (self.sum, self.batches) = (vec![0.0; self.weights.len()], 0);
        }
        Ok(())
    }

    fn scalarize(&mut self, _batch: &Batch) -> Result<Signal> {
        Ok(Signal::weights(&math::as_f32(&self.weights)))
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(math::as_f32(&self.weights))
    }

    fn gradient_layers(&self) -> Vec<String> {
        self.params.layers.clone()
    }

    fn examples() -> Vec<Example> {
        // I = (3, 1), times η/μ = ln 2 / 2: exponents 3/2 and 1/2 of ln 2, so that the first has twice the second's.
        moa_sdk::serde_json::from_str(
            r#"[{"about": "the objective that agrees more with all gains weight", "objectives": [{"name": "a"}, {"name": "b"}],
            "params": {"regularization": 1.0}, "events": [
            {"hook": "observe_gradients", "step": 1, "lr": 0.34657359, "gram": [[3.0, 0.0], [0.0, 1.0]], "losses": [0.0, 0.0], "expect": {"weights": [0.6666667, 0.3333333]}},
            {"hook": "scalarize", "step": 1, "groups": [0], "lengths": [3], "scores": [[3.0, -3.0]], "expect": {"rewards": [1.0]}}]}]"#,
        )
        .expect("a constant that the tests read")
    }
}

moa_sdk::export!(scalarizers: [Dynamic]);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::Params as _;
    use moa_sdk::serde_json::json;
    use moa_sdk::testing;
    use moa_sdk::views::GradientsInput;

    #[test]
    fn golden_traces() -> Result<()> {
        for trace in [
            include_str!("../../../tests/golden/dynamic-acc1.jsonl"),
            include_str!("../../../tests/golden/dynamic-acc3.jsonl"),
        ] {
            assert_eq!(testing::replay::<Dynamic>(trace)?, 6);
        }
        Ok(())
    }

    #[test]
    fn examples_hold() -> Result<()> {
        assert_eq!(Dynamic::examples().len(), 1);
        testing::examples::<Dynamic>()
    }

    #[test]
    fn properties_at_every_count_scale_and_order() -> Result<()> {
        for params in [
            json!({}),
            json!({"accumulation_steps": 2, "clip_norm": 0.5}),
            json!({"compat": "ctwa-repo"}),
        ] {
            for m in 1..=8 {
                testing::properties::<Dynamic>(m, &params)?;
            }
            testing::at_scales::<Dynamic>(3, &params)?;
            testing::plain_with_one_objective::<Dynamic>(&params)?;
            testing::reordered::<Dynamic>(&[2, 0, 1], &params, &params)?;
        }
        let weights = |w: [f64; 3]| json!({ "weights": w });
        testing::reordered::<Dynamic>(&[2, 0, 1], &weights([0.5, 0.3, 0.2]), &weights([0.2, 0.5, 0.3]))
    }

    fn plugin(params: &moa_sdk::serde_json::Value) -> Result<Dynamic> {
        let objectives = vec![Objective::new("a"), Objective::new("b")];
        Dynamic::new(&Setup { objectives, seed: 0 }, Params::from_json(params)?)
    }

    fn weigh(plugin: &mut Dynamic, gram: &[f64; 4]) -> Result<Vec<f32>> {
        let input = GradientsInput {
            step: 1,
            lr: 1.0,
            gram,
            losses: &[0.0; 2],
            ..Default::default()
        };
        plugin.observe_gradients(&Gradients::new(input)?)?;
        Ok(math::as_f32(&plugin.weights))
    }

    /// Two batches at learning rates 1 and ½, influences (2, 0) and (0, 2): a = (1, ½), in the released code (½, ¼).
    #[test]
    fn the_learning_rate_counts_once() -> Result<()> {
        for (params, difference) in [(json!({}), 0.5_f64), (json!({"compat": "ctwa-repo"}), 0.25)] {
            let mut params = params;
            params["regularization"] = json!(1.0);
            params["accumulation_steps"] = json!(2);
            let mut plugin = plugin(&params)?;
            for (lr, gram) in [(1.0, &[2.0, 0.0, 0.0, 0.0]), (0.5, &[0.0, 0.0, 0.0, 2.0])] {
                let input = GradientsInput {
                    step: 1,
                    lr,
                    gram,
                    losses: &[0.0; 2],
                    ..Default::default()
                };
                plugin.observe_gradients(&Gradients::new(input)?)?;
            }
            assert!((plugin.weights[0] / plugin.weights[1] - difference.exp()).abs() < 1e-12);
        }
        Ok(())
    }

    /// Gradients (3, 0) and (0, 1), clipped to 1, have the same influence; unclipped not. Weights stay on the simplex,
    /// also after a step that leaves nothing of one of them, which then comes back.
    #[test]
    fn clipping_and_large_steps() -> Result<()> {
        let clipped = &mut plugin(&json!({"regularization": 1.0, "clip_norm": 1.0}))?;
        assert_eq!(weigh(clipped, &[9.0, 0.0, 0.0, 1.0])?, [0.5, 0.5]);
        let free = &mut plugin(&json!({"regularization": 1.0}))?;
        assert!(weigh(free, &[9.0, 0.0, 0.0, 1.0])?[0] > 0.99);
        assert_eq!(weigh(free, &[1e20, 0.0, 0.0, 1.0])?, [1.0, 0.0]);
        assert!((free.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(weigh(free, &[1.0, 0.0, 0.0, 1e20])?, [0.0, 1.0]);
        assert!(weigh(free, &[1.0, 0.0, 0.0, f64::NAN]).is_err());
        Ok(())
    }

    #[test]
    fn params_are_checked_and_layers_handed_on() -> Result<()> {
        for bad in [
            json!({"regularization": 0.0}),
            json!({"accumulation_steps": 0}),
            json!({"clip_norm": -1.0}),
        ] {
            assert!(
                plugin(&bad).is_err_and(|error| error.message.contains("above 0")),
                "{bad}"
            );
        }
        assert_eq!(plugin(&json!({"layers": ["lm_head"]}))?.gradient_layers(), ["lm_head"]);
        Ok(())
    }
}
