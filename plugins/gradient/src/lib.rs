//! Gradient-based weighting: objectives whose gradient agrees most with all gradients gain weight (Lu et al.,
//! "Learning to Optimize Multi-Objective Alignment Through Dynamic Reward Weighting", arXiv 2509.11452, second
//! method: mirror descent on the simplex with an entropy regularizer).
//!
//! From the Gramian G `[M, M]` of a batch's per-objective gradients, at learning rate η:
//! ```text
//! I     = G · 1                                    influence of each objective, [M]
//! w_m  ← w_m exp(η Ī_m / μ) / Σ_k w_k exp(η Ī_k / μ)
//! ```
//! with Ī the mean of I over the last `accumulation_steps` batches; in between the weights stay. `layers` makes the
//! Gramian of the gradients of some parameters only; `clip_norm` shortens each gradient to at most that norm first,
//! for which the Gramian is enough. The weights mix the scores.
//!
//! Departures from the released code: none in the rule. A weight that was above 0 stays above it, however large a
//! step; weights and the running sum are in the checkpoint.

#![deny(unsafe_code)]

use moa_sdk::prelude::*;

/// What steers the weights.
#[derive(Params, Serialize, Deserialize)]
pub struct Params {
    /// first weight of each objective, in order; default: equal. They are >= 0 and sum to 1.
    weights: Vec<f32>,
    /// μ: the smaller, the faster the weights move.
    #[param(default = 1e-5)]
    regularization: f64,
    /// the weights move once in so many batches, by the mean influence.
    #[param(default = 1)]
    accumulation_steps: u32,
    /// parts of parameter names: only gradients of parameters that contain one of them count; default: all.
    layers: Vec<String>,
    /// longest norm of an objective's gradient.
    clip_norm: Option<f64>,
}

/// Weights `[M]`, and the sum of I `[M]` over `batches` batches.
#[derive(Serialize, Deserialize)]
pub struct Gradient {
    params: Params,
    weights: Vec<f64>,
    sum: Vec<f64>,
    batches: u32,
}

#[scalarizer]
impl Scalarizer for Gradient {
    const NAME: &str = "gradient";
    const PAPER: &str =
        "Lu et al., Learning to Optimize Multi-Objective Alignment Through Dynamic Reward Weighting, arXiv 2509.11452";
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
        self.sum.iter_mut().zip(&influence).for_each(|(sum, i)| *sum += i);
        self.batches += 1;
        if self.batches >= self.params.accumulation_steps {
            let factor = gradients.lr() / self.params.regularization / f64::from(self.batches);
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

moa_sdk::export!(scalarizers: [Gradient]);

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
            include_str!("../../../tests/golden/gradient-acc1.jsonl"),
            include_str!("../../../tests/golden/gradient-acc3.jsonl"),
        ] {
            assert_eq!(testing::replay::<Gradient>(trace)?, 6);
        }
        Ok(())
    }

    #[test]
    fn examples_hold() -> Result<()> {
        assert_eq!(Gradient::examples().len(), 1);
        testing::examples::<Gradient>()
    }

    #[test]
    fn properties_at_every_count_scale_and_order() -> Result<()> {
        for params in [json!({}), json!({"accumulation_steps": 2, "clip_norm": 0.5})] {
            for m in 1..=8 {
                testing::properties::<Gradient>(m, &params)?;
            }
            testing::at_scales::<Gradient>(3, &params)?;
            testing::plain_with_one_objective::<Gradient>(&params)?;
            testing::reordered::<Gradient>(&[2, 0, 1], &params, &params)?;
        }
        let weights = |w: [f64; 3]| json!({ "weights": w });
        testing::reordered::<Gradient>(&[2, 0, 1], &weights([0.5, 0.3, 0.2]), &weights([0.2, 0.5, 0.3]))
    }

    fn plugin(params: &moa_sdk::serde_json::Value) -> Result<Gradient> {
        let objectives = vec![Objective::new("a"), Objective::new("b")];
        Gradient::new(&Setup { objectives, seed: 0 }, Params::from_json(params)?)
    }

    fn weigh(plugin: &mut Gradient, gram: &[f64; 4]) -> Result<Vec<f32>> {
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
