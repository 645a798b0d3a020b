//! The cases of a reward.

use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;

use moa_sdk::testing::{CompletionFamily, THREAD_PANICKED, Text, on_thread, ordinary};
use moa_sdk::{Completion, RewardDescription, Rng};
use serde_json::{Value, json};

use super::case::{Case, described, written_out};
use super::finding::{Finding, Status};
use super::params;
use crate::plugin::library::Library;
use crate::plugin::{PluginError, RewardPlugin};

/// A reward of an open library.
pub(super) struct Subject<'a> {
    library: &'a Library,
    described: &'a RewardDescription,
}

/// All cases, in the order of a report.
pub(super) fn cases<'a>() -> Vec<Case<Subject<'a>>> {
    let mut cases = vec![
        Case::new(
            "description",
            "its name is kebab-case, what it is about and its params have words",
            |subject: &Subject<'_>| {
                let RewardDescription { name, about, .. } = subject.described;
                described(name, "`about`", about, &subject.described.params)
            },
        ),
        Case::new("defaults", "its default params build", |subject: &Subject<'_>| {
            subject.new_one().map(|_| ())
        }),
        Case::new(
            "written-defaults",
            "the defaults that it describes can be written in a config",
            Subject::written_defaults,
        ),
        Case::new(
            "unknown-param",
            "an unknown param is refused by name",
            |subject: &Subject<'_>| params::unknown_key(&|params| subject.build(params), &json!({})),
        ),
        Case::new(
            "wrong-type",
            "a param of a wrong type is refused by name",
            |subject: &Subject<'_>| {
                let build = |params: &Value| subject.build(params);
                params::wrong_type(&build, &json!({}), &subject.described.params)
            },
        ),
    ];
    cases.extend(CompletionFamily::ALL.iter().map(|family| {
        Case::new(
            format!("finite-{}", family.name),
            family.about,
            move |subject: &Subject<'_>| subject.finite(family),
        )
    }));
    cases.extend([
        Case::new(
            "one-result-each",
            "one result for each of 1 to 300 completions",
            Subject::one_result_each,
        ),
        Case::new(
            "determinism",
            "two calls and two instances give the same scores, bit for bit",
            Subject::determinism,
        ),
        Case::new(
            "order",
            "a completion's score depends neither on its place nor on its neighbours",
            Subject::order,
        ),
        Case::new(
            "small-stack",
            "the same scores on a plain thread with a stack of 256 KiB",
            Subject::small_stack,
        ),
        Case::new("threads", "the same scores from 8 threads at once", Subject::threads),
    ]);
    cases
}

/// Enough for a parser that does not recurse without a bound.
const SMALL_STACK: usize = 256 << 10;
/// Threads that score at once.
const THREADS: usize = 8;

type Scores = Vec<Result<f32, String>>;

impl<'a> Subject<'a> {
    pub(super) fn new(library: &'a Library, described: &'a RewardDescription) -> Self {
        Self { library, described }
    }

    fn make(&self, params: &Value) -> Result<RewardPlugin, PluginError> {
        self.library.reward(&self.described.name, params)
    }

    fn build(&self, params: &Value) -> Result<(), PluginError> {
        self.make(params).map(|_| ())
    }

    fn new_one(&self) -> Result<RewardPlugin, Finding> {
        Ok(self.make(&json!({}))?)
    }

    fn written_defaults(&self) -> Result<(), Finding> {
        self.new_one()?;
        let params = written_out(&self.described.params);
        self.build(&params).map_err(|error| {
            let finding = Finding::from(error);
            match finding.status {
                // Without params it was built, so this is no refusal by design.
                Status::Skipped => Finding::failed(finding.reason),
                _ => finding,
            }
            .at(params.to_string())
        })
    }

    /// A score that is not finite fails; a completion that gets a message in place of a score is a warning, as
    /// the run's `on_error` decides what becomes of it.
    fn finite(&self, family: &CompletionFamily) -> Result<(), Finding> {
        let reward = self.new_one()?;
        let texts = (family.make)();
        let mut refused = Vec::new();
        for (index, score) in scores(&reward, &texts, None)?.into_iter().enumerate() {
            match score {
                Ok(score) if score.is_finite() => {}
                Ok(score) => {
                    return Err(Finding::failed(format!(
                        "the score of completion {index} is {score}, expected a finite number"
                    )));
                }
                Err(message) if message.trim().is_empty() => {
                    return Err(Finding::failed(format!(
                        "completion {index} is refused without a message"
                    )));
                }
                Err(message) => refused.push(message),
            }
        }
        match refused.first() {
            Some(message) => Err(Finding::warning(format!(
                "{} of {} completions get no score: {message}",
                refused.len(),
                texts.len()
            ))),
            None => Ok(()),
        }
    }

    fn one_result_each(&self) -> Result<(), Finding> {
        let reward = self.new_one()?;
        let texts = ordinary(300);
        for n in [1, 2, 3, 16, 17, 300] {
            // Another number of results is an error of the call.
            scores(&reward, &texts[..n], None).map_err(|f| f.at(format!("{n} completions")))?;
        }
        Ok(())
    }

    fn determinism(&self) -> Result<(), Finding> {
        let texts = ordinary(64);
        let reward = self.new_one()?;
        let first = scores(&reward, &texts, None)?;
        let again = scores(&reward, &texts, None)?;
        same(&first, &again, "in two calls")?;
        let other = scores(&self.new_one()?, &texts, None)?;
        same(&first, &other, "in two instances")
    }

    fn order(&self) -> Result<(), Finding> {
        let texts = ordinary(64);
        let reward = self.new_one()?;
        let together = scores(&reward, &texts, None)?;
        let mut alone = Vec::new();
        for text in &texts {
            alone.extend(scores(&reward, std::slice::from_ref(text), None)?);
        }
        same(&together, &alone, "among others and alone")?;
        let mut shuffled: Vec<usize> = (0..texts.len()).collect();
        let mut rng = Rng::new(3);
        for last in (1..shuffled.len()).rev() {
            shuffled.swap(last, rng.below(last + 1));
        }
        let found = scores(&reward, &texts, Some(&shuffled))?;
        same(&together, &found, "in two orders")
    }

    fn small_stack(&self) -> Result<(), Finding> {
        let texts = ordinary(64);
        let reward = self.new_one()?;
        let here = scores(&reward, &texts, None)?;
        let there = on_thread(
            Some(SMALL_STACK),
            || scores(&reward, &texts, None),
            |error| Finding::from(PluginError::Event(error)),
        )?;
        same(&here, &there, "on the main and on another thread")
    }

    fn threads(&self) -> Result<(), Finding> {
        let texts = ordinary(64);
        let reward = self.new_one()?;
        let expected = scores(&reward, &texts, None)?;
        let all_ready = Barrier::new(THREADS);
        let (reward, texts, expected, all_ready) = (&reward, &texts, &expected, &all_ready);
        let one = move |thread: usize| -> Result<(), Finding> {
            // Each thread has an order of its own.
            let order: Vec<usize> = (0..texts.len())
                .map(|index| (index + 7 * thread) % texts.len())
                .collect();
            all_ready.wait();
            for _ in 0..20 {
                let found = scores(reward, texts, Some(&order))?;
                same(expected, &found, "from one and from several threads")?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || one(thread))).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(Finding::crashed(THREAD_PANICKED))))
        })
    }
}

/// The scores of all texts in one call, called with them in `order` and given back in theirs.
fn scores(reward: &RewardPlugin, texts: &[Text], order: Option<&[usize]>) -> Result<Scores, Finding> {
    let Some(order) = order else {
        let completions: Vec<Completion<'_>> = texts.iter().map(Text::view).collect();
        return all(reward, &completions);
    };
    let completions: Vec<Completion<'_>> = order.iter().map(|b| texts[*b].view()).collect();
    let found = all(reward, &completions)?;
    let mut placed: Vec<_> = order.iter().zip(found).collect();
    placed.sort_by_key(|(b, _)| **b);
    Ok(placed.into_iter().map(|(_, score)| score).collect())
}

fn all(reward: &RewardPlugin, completions: &[Completion<'_>]) -> Result<Scores, Finding> {
    let scores = reward.score_unchecked(completions, &AtomicUsize::new(0))?;
    Ok(scores
        .into_iter()
        .map(|score| score.map_err(|failure| failure.message))
        .collect())
}

/// Bit for bit; messages must agree, too.
fn same(first: &Scores, second: &Scores, what: &str) -> Result<(), Finding> {
    let bits = |score: &Result<f32, String>| score.clone().map(f32::to_bits);
    let words = |score: &Result<f32, String>| match score {
        Ok(score) => score.to_string(),
        Err(message) => format!("the error {message:?}"),
    };
    let pairs = first.iter().zip(second).enumerate();
    match pairs.into_iter().find(|(_, (a, b))| bits(a) != bits(b)) {
        Some((index, (a, b))) => Err(Finding::failed(format!(
            "the score of completion {index} is {} and {} {what}",
            words(a),
            words(b)
        ))),
        None => Ok(()),
    }
}
