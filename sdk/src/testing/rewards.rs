//! Properties that every reward has on every family of completions.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::CompletionFamily;
use crate::{Completion, Error, Params, Result, Reward};

/// The score that a new reward gives a completion: what the unit tests of a reward start from.
///
/// # Errors
/// The params, `new` or `score` refuse.
pub fn score<R: Reward>(params: &Value, completion: &Completion<'_>) -> Result<f32> {
    R::new(R::Params::from_json(params)?)?.score(completion)
}

/// On every family of completions: a score for each, finite and in `range`; the same scores from another instance,
/// and from one completion at a time. Error: names the family and the completion.
pub fn check_reward<R: Reward>(params: &Value, range: RangeInclusive<f32>) -> Result<()> {
    let create = || R::new(R::Params::from_json(params)?);
    let (reward, other) = (create()?, create()?);
    for family in CompletionFamily::ALL {
        let at = |error: Error| error.at(format!("{} completions", family.name));
        let fail = |what: String| at(Error::new(what));
        let texts = (family.make)();
        let completions: Vec<Completion<'_>> = texts
            .iter()
            .map(|text| {
                let all = text.view();
                Completion {
                    means: all.means.filter(|_| R::NEEDS_MEANS),
                    ..all
                }
            })
            .collect();
        let scores = reward.score_all(&completions).map_err(at)?;
        if scores.len() != completions.len() {
            return Err(fail(format!("{} scores, expected {}", scores.len(), completions.len())));
        }
        for (index, (score, completion)) in scores.into_iter().zip(&completions).enumerate() {
            let at = |error: Error| at(error.at(format!("completion {index}")));
            let fail = |what: String| at(Error::new(what));
            let score = score.map_err(at)?;
            if !range.contains(&score) {
                let (low, high) = (range.start(), range.end());
                return Err(fail(format!("the score is {score}, expected {low} to {high}")));
            }
            let again = other.score(completion).map_err(at)?;
            if again.to_bits() != score.to_bits() {
                return Err(fail(format!(
                    "the score is {score} in one instance and {again} in another"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;

    use super::check_reward;
    use crate::prelude::*;

    /// What the reward under test does wrong.
    #[derive(Debug, Clone, Copy, PartialEq, Default, Choice)]
    enum Fault {
        #[default]
        None,
        NanOnEmpty,
        Random,
        Means,
        Fewer,
    }

    #[derive(Params)]
    struct FaultyParams {
        fault: Fault,
    }

    struct Faulty(Fault);

    static CALLS: AtomicU32 = AtomicU32::new(0);

    impl Reward for Faulty {
        const NAME: &str = "faulty";
        const ABOUT: &str = "what it is told to do wrong";
        type Params = FaultyParams;
        fn new(params: FaultyParams) -> Result<Self> {
            Ok(Self(params.fault))
        }
        fn score(&self, completion: &Completion<'_>) -> Result<f32> {
            match self.0 {
                Fault::NanOnEmpty if completion.response.is_empty() => Ok(f32::NAN),
                #[allow(clippy::cast_precision_loss, reason = "any changing number does")]
                Fault::Random => Ok(1.0 / (1.0 + CALLS.fetch_add(1, Ordering::Relaxed) as f32)),
                Fault::Means => Ok(completion.means()?.batch),
                _ => Ok(0.5),
            }
        }
        fn score_all(&self, completions: &[Completion<'_>]) -> Result<Vec<Result<f32>>> {
            let fewer = usize::from(self.0 == Fault::Fewer);
            Ok(completions
                .iter()
                .skip(fewer)
                .map(|completion| self.score(completion))
                .collect())
        }
    }

    #[test]
    fn each_fault_is_found_and_named() -> Result<()> {
        let find = |fault: &str, range| check_reward::<Faulty>(&json!({ "fault": fault }), range);
        find("none", 0.0..=1.0)?;
        for (fault, range, what) in [
            ("none", 0.6..=1.0, "completion 0: the score is 0.5, expected 0.6 to 1"),
            (
                "nan-on-empty",
                0.0..=1.0,
                "empty completions: completion 0: the score is NaN",
            ),
            ("random", 0.0..=1.0, "in one instance and"),
            ("means", 0.0..=1.0, "`means` was not asked for"),
            ("fewer", 0.0..=1.0, "63 scores, expected 64"),
        ] {
            let error = find(fault, range).expect_err(fault);
            assert!(error.message.contains(what), "{fault}: {error}");
        }
        Ok(())
    }
}
