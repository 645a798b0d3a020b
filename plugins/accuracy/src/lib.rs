//! Accuracy: 1 if the response's final answer is the ground truth, else 0.
//!
//! The final answer is the last `\boxed{…}` (or `\fbox`, or `\boxed x$`). With `mode = "string"`, both sides go
//! through the string normalisation of the MATH benchmark (Hendrycks et al., arXiv 2103.03874), which is what the
//! papers whose methods are here reward (arXiv 2509.11452, arXiv 2602.06869). With `mode = "math"`, they are
//! compared as mathematics: `\frac{1}{2}` is `0.5`, `(x+1)^2` is `x^2+2x+1`, and `1, 2` is `2, 1`. `moa_sdk::answer`
//! lists the rules of both. A response without a closed box scores 0.

use moa_sdk::prelude::*;

/// How answers are compared.
#[derive(Params)]
pub struct Params {
    /// "string": equal after the normalisation of the MATH benchmark; "math": mathematically equal.
    mode: answer::Mode,
}

/// The reward.
pub struct Accuracy {
    mode: answer::Mode,
}

impl Reward for Accuracy {
    const NAME: &str = "accuracy";
    const ABOUT: &str = "1 if the last boxed answer is the ground truth, else 0";
    type Params = Params;

    fn new(params: Params) -> Result<Self> {
        Ok(Self { mode: params.mode })
    }

    fn score(&self, completion: &Completion<'_>) -> Result<f32> {
        let correct = answer::is_correct_with(self.mode, completion.response, completion.ground_truth);
        Ok(f32::from(u8::from(correct)))
    }
}

moa_sdk::export!(rewards: [Accuracy]);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::Params as _;

    fn score(mode: &str, response: &str, ground_truth: &str) -> Result<f32> {
        let reward = Accuracy::new(<Accuracy as Reward>::Params::from_json(
            &moa_sdk::serde_json::json!({ "mode": mode }),
        )?)?;
        reward.score(&Completion {
            response,
            ground_truth,
            ..Completion::default()
        })
    }

    #[test]
    fn the_last_box_counts() -> Result<()> {
        for mode in ["string", "math"] {
            assert_eq!(score(mode, r"\boxed{3}, no, \boxed{\tfrac12}", "1/2")?, 1.0);
            assert_eq!(score(mode, r"\boxed{\tfrac12}, no, \boxed{3}", "1/2")?, 0.0);
            assert_eq!(score(mode, "1/2", "1/2")?, 0.0);
            assert_eq!(score(mode, "", "")?, 0.0);
        }
        Ok(())
    }

    #[test]
    fn the_mode_decides() -> Result<()> {
        assert_eq!(score("string", r"\boxed{(x+1)^2}", "x^2+2x+1")?, 0.0);
        assert_eq!(score("math", r"\boxed{(x+1)^2}", "x^2+2x+1")?, 1.0);
        assert_eq!(score("math", r"\boxed{(x+1)^2}", "x^2+2x+2")?, 0.0);
        Ok(())
    }

    #[test]
    fn other_modes_are_refused() {
        assert!(Params::from_json(&moa_sdk::serde_json::json!({ "mode": "symbolic" })).is_err());
    }

    #[test]
    fn on_every_family_of_completions() -> Result<()> {
        for mode in &Params::schema()[0].choices {
            let params = moa_sdk::serde_json::json!({ "mode": mode });
            moa_sdk::testing::check_reward::<Accuracy>(&params, 0.0..=1.0)?;
        }
        Ok(())
    }
}
