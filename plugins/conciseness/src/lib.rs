//! Conciseness: 1 if the response is shorter than the running mean length of all training responses, else 0.
//!
//! Lengths are in tokens; the mean counts this batch, so that the bar falls as the policy gets shorter. In
//! validation the mean length itself is reported, and minimised. From arXiv 2509.11452 and arXiv 2602.06869.
//! With `gated`, a wrong answer scores 0 whatever its length: the independent form is won by saying nothing.

use moa_sdk::prelude::*;

/// Which form.
#[derive(Params)]
pub struct Params {
    /// 0 unless the last boxed answer is the ground truth.
    #[param(default = false)]
    gated: bool,
}

/// The reward.
pub struct Conciseness {
    gated: bool,
}

impl Reward for Conciseness {
    const NAME: &str = "conciseness";
    const ABOUT: &str = "1 if the response is shorter than the mean of all training responses so far, else 0";
    const VALIDATION: Performance = Performance::ResponseTokens;
    type Params = Params;

    fn new(params: Params) -> Result<Self> {
        Ok(Self { gated: params.gated })
    }

    #[allow(clippy::cast_precision_loss, reason = "a response has far fewer than 2^24 tokens")]
    fn score(&self, completion: &Completion<'_>) -> Result<f32> {
        let shorter = (completion.response_tokens as f32) < completion.mean_response_tokens;
        let allowed = !self.gated || answer::is_correct(completion.response, completion.ground_truth);
        Ok(f32::from(u8::from(shorter && allowed)))
    }
}

moa_sdk::export!(rewards: [Conciseness]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_than_the_mean_and_right_if_gated() -> Result<()> {
        for (gated, response, response_tokens, expected) in [
            (false, "anything", 99, 1.0),
            (false, "anything", 100, 0.0),
            (false, "anything", 101, 0.0),
            (true, r"\boxed{5}", 99, 1.0),
            (true, r"\boxed{6}", 99, 0.0),
            (true, "", 0, 0.0),
            (true, r"\boxed{5}", 100, 0.0),
        ] {
            let completion = Completion {
                response,
                ground_truth: "5",
                response_tokens,
                mean_response_tokens: 100.0,
                ..Completion::default()
            };
            let score = Conciseness::new(Params { gated })?.score(&completion)?;
            assert_eq!(score, expected, "gated {gated}, {response:?}, {response_tokens} tokens");
        }
        Ok(())
    }
}
