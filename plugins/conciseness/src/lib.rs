//! Conciseness: 1 if the response is shorter than a mean length, else 0.
//!
//! Lengths are in tokens. The bar is the running mean over all training responses, as in arXiv 2509.11452 and
//! arXiv 2602.06869; it counts this batch, so that it falls as the policy gets shorter. Beyond the papers, `baseline`
//! puts it at this batch's mean, or at the mean of the responses to the same prompt: then a hard problem, whose
//! answers are all long, is measured against itself. In validation the mean length itself is reported, and minimised.
//! With `gated`, a wrong answer scores 0 whatever its length: the independent form is won by saying nothing.

use moa_sdk::prelude::*;

/// What a response is measured against.
#[derive(Choice, Clone, Copy, Debug, Default)]
pub enum Baseline {
    /// The mean of all training responses so far.
    #[default]
    Running,
    /// The mean of this batch.
    Batch,
    /// The mean of the responses to the same prompt.
    Group,
}

/// Which form.
#[derive(Params, Clone, Copy)]
pub struct Params {
    /// The mean that a response must be shorter than: of all training responses so far ("running"), of this batch,
    /// or of the responses to the same prompt ("group").
    baseline: Baseline,
    /// 0 unless the last boxed answer is the ground truth.
    #[param(default = false)]
    gated: bool,
    /// How the gate compares answers: "string" or "math", as accuracy does.
    mode: answer::Mode,
}

/// The reward.
pub struct Conciseness {
    params: Params,
}

impl Reward for Conciseness {
    const NAME: &str = "conciseness";
    const ABOUT: &str =
        "1 if the response is shorter than the mean (of all training responses so far, by default), else 0";
    const VALIDATION: Performance = Performance::ResponseTokens;
    const NEEDS_MEANS: bool = true;
    type Params = Params;

    fn new(params: Params) -> Result<Self> {
        Ok(Self { params })
    }

    #[allow(clippy::cast_precision_loss, reason = "a response has far fewer than 2^24 tokens")]
    fn score(&self, completion: &Completion<'_>) -> Result<f32> {
        let Params { baseline, gated, mode } = self.params;
        let means = completion.means()?;
        let bar = match baseline {
            Baseline::Running => means.running,
            Baseline::Batch => means.batch,
            Baseline::Group => means.group,
        };
        let shorter = (completion.response_tokens as f32) < bar;
        let allowed = !gated || answer::is_correct_with(mode, completion.response, completion.ground_truth);
        Ok(f32::from(u8::from(shorter && allowed)))
    }
}

moa_sdk::export!(rewards: [Conciseness]);

#[cfg(test)]
mod tests {
    use super::*;

    const MEANS: MeanTokens = MeanTokens {
        running: 100.0,
        batch: 50.0,
        group: 10.0,
    };

    #[test]
    fn shorter_than_the_mean_and_right_if_gated() -> Result<()> {
        for (baseline, gated, response, response_tokens, expected) in [
            (Baseline::Running, false, "anything", 99, 1.0),
            (Baseline::Running, false, "anything", 100, 0.0),
            (Baseline::Running, false, "anything", 101, 0.0),
            (Baseline::Batch, false, "anything", 49, 1.0),
            (Baseline::Batch, false, "anything", 50, 0.0),
            (Baseline::Group, false, "anything", 9, 1.0),
            (Baseline::Group, false, "anything", 10, 0.0),
            (Baseline::Running, true, r"\boxed{5}", 99, 1.0),
            (Baseline::Running, true, r"\boxed{6}", 99, 0.0),
            (Baseline::Running, true, "", 0, 0.0),
            (Baseline::Running, true, r"\boxed{5}", 100, 0.0),
            (Baseline::Group, true, r"\boxed{5}", 9, 1.0),
            (Baseline::Group, true, r"\boxed{6}", 9, 0.0),
        ] {
            let completion = Completion {
                response,
                ground_truth: "5",
                response_tokens,
                means: Some(MEANS),
                ..Completion::default()
            };
            let mode = answer::Mode::String;
            let score = Conciseness::new(Params { baseline, gated, mode })?.score(&completion)?;
            assert_eq!(
                score, expected,
                "{baseline:?}, gated {gated}, {response:?}, {response_tokens} tokens"
            );
        }
        Ok(())
    }

    #[test]
    fn the_gate_compares_by_its_mode() -> Result<()> {
        for (mode, expected) in [("string", 0.0), ("math", 1.0)] {
            let params = moa_sdk::serde_json::json!({ "gated": true, "mode": mode });
            let reward = Conciseness::new(<Params as moa_sdk::Params>::from_json(&params)?)?;
            let completion = Completion {
                response: r"\boxed{2+3}",
                ground_truth: "5",
                means: Some(MEANS),
                ..Completion::default()
            };
            assert_eq!(reward.score(&completion)?, expected, "{mode}");
        }
        Ok(())
    }

    #[test]
    fn on_every_family_of_completions() -> Result<()> {
        for baseline in <Baseline as moa_sdk::Choice>::NAMES {
            for gated in [false, true] {
                let params = moa_sdk::serde_json::json!({ "baseline": baseline, "gated": gated });
                moa_sdk::testing::check_reward::<Conciseness>(&params, 0.0..=1.0)?;
            }
        }
        Ok(())
    }

    #[test]
    fn without_means_there_is_no_score() -> Result<()> {
        let reward = Conciseness::new(<Params as moa_sdk::Params>::from_json(&moa_sdk::serde_json::json!({}))?)?;
        assert!(reward.score(&Completion::default()).is_err());
        Ok(())
    }
}
