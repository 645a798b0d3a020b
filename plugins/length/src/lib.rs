//! Length: 1 if the response has between `min` and `max` tokens, falling linearly to 0 over `soft` tokens on either
//! side; with y the length,
//! ```text
//! window    1 − min(1, d / soft),  d = max(min − y, y − max, 0)
//! overlong  the same less 1: 0 inside, −1 where the window gives 0
//! ```
//! The overlong form with `min = 0` is the soft overlong punishment of DAPO (arXiv 2503.14476, eq. 13) with
//! L_cache = `soft` and L_max = `max` + `soft`: 0 up to L_max − L_cache, (L_max − L_cache − y) / L_cache up to
//! L_max, −1 beyond. With `soft = 0` the edges are hard.

use moa_sdk::prelude::*;

/// What a response inside the window gets.
#[derive(Choice, Clone, Copy, Default)]
pub enum Form {
    /// 1 inside, 0 far outside.
    #[default]
    Window,
    /// 0 inside, −1 far outside.
    Overlong,
}

/// The window.
#[derive(Params)]
pub struct Params {
    /// "window": from 1 inside to 0; "overlong": a penalty from 0 inside to -1, as DAPO's.
    form: Form,
    /// Shortest response in tokens that is not too short.
    min: u32,
    /// Longest response in tokens that is not too long.
    #[param(default = 512)]
    max: u32,
    /// Tokens beyond an edge over which the score falls; 0 for a hard edge.
    #[param(default = 128)]
    soft: u32,
}

/// The reward.
pub struct Length {
    params: Params,
}

impl Reward for Length {
    const NAME: &str = "length";
    const ABOUT: &str = "1 if the length in tokens lies in a window, falling to 0 beyond; or DAPO's overlong penalty";
    type Params = Params;

    fn new(params: Params) -> Result<Self> {
        let Params { min, max, .. } = params;
        if min > max {
            return Err(
                Error::new(format!("min is {min}, expected at most max, which is {max}"))
                    .hint("a response can be inside only where min <= max"),
            );
        }
        Ok(Self { params })
    }

    fn score(&self, completion: &Completion<'_>) -> Result<f32> {
        let Params { form, min, max, soft } = self.params;
        let tokens = completion.response_tokens;
        let beyond = min.saturating_sub(tokens).max(tokens.saturating_sub(max));
        let inside = if beyond == 0 {
            1.0
        } else {
            // Here `beyond` is at least 1, so that a hard edge (soft = 0) gives 0.
            (1.0 - f64::from(beyond) / f64::from(soft)).max(0.0)
        };
        #[allow(clippy::cast_possible_truncation, reason = "a number from -1 to 1")]
        Ok(match form {
            Form::Window => inside as f32,
            Form::Overlong => (inside - 1.0) as f32,
        })
    }
}

moa_sdk::export!(rewards: [Length]);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::{Value, json};

    fn score(params: &Value, response_tokens: u32) -> Result<f32> {
        let completion = Completion {
            response_tokens,
            ..Completion::default()
        };
        moa_sdk::testing::score::<Length>(params, &completion)
    }

    #[test]
    fn a_window_with_soft_and_hard_edges() -> Result<()> {
        let soft = json!({ "min": 10, "max": 20, "soft": 4 });
        for (tokens, expected) in [
            (0, 0.0),
            (6, 0.0),
            (7, 0.25),
            (9, 0.75),
            (10, 1.0),
            (20, 1.0),
            (21, 0.75),
            (23, 0.25),
            (24, 0.0),
            (u32::MAX, 0.0),
        ] {
            assert_eq!(score(&soft, tokens)?, expected, "{tokens} tokens");
        }
        let hard = json!({ "min": 10, "max": 20, "soft": 0 });
        for (tokens, expected) in [(9, 0.0), (10, 1.0), (20, 1.0), (21, 0.0)] {
            assert_eq!(score(&hard, tokens)?, expected, "{tokens} tokens");
        }
        Ok(())
    }

    /// The lengths of DAPO's experiments: L_max = 20480, L_cache = 4096.
    #[test]
    fn the_overlong_form_is_equation_13() -> Result<()> {
        let params = json!({ "form": "overlong", "max": 16384, "soft": 4096 });
        let punishment = |tokens: u32| match f64::from(tokens) {
            y if y <= 16384.0 => 0.0,
            y if y <= 20480.0 => (16384.0 - y) / 4096.0,
            _ => -1.0,
        };
        for tokens in [0, 1, 16384, 16385, 18432, 20479, 20480, 20481, u32::MAX] {
            let found = f64::from(score(&params, tokens)?);
            assert!((found - punishment(tokens)).abs() < 1e-6, "{tokens}: {found}");
        }
        Ok(())
    }

    #[test]
    fn a_window_without_an_inside_is_refused() {
        assert!(score(&json!({ "min": 2, "max": 1 }), 0).is_err());
        assert!(score(&json!({ "min": 0, "max": 0, "soft": 0 }), 0).is_ok_and(|score| score == 1.0));
    }

    #[test]
    fn on_every_family_of_completions() -> Result<()> {
        let range = |form: &str| if form == "window" { 0.0..=1.0 } else { -1.0..=0.0 };
        for form in ["window", "overlong"] {
            let params = json!({ "form": form, "min": 2, "max": 8, "soft": 3 });
            moa_sdk::testing::check_reward::<Length>(&params, range(form))?;
        }
        Ok(())
    }
}
