//! Scores rollouts: group by group during sampling where a reward allows it, the rest afterwards.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use super::{MeanLength, Objective, Objectives, RewardError, Scores};
use crate::{
    config::OnError,
    data::Prompt,
    plugin::{Completion, Direction, MeanTokens, PluginError, Score},
    rollout::{FinishedGroup, Rollouts},
};

/// A reward's scores of one group, or the error with which it failed as a whole.
type GroupScores = Result<Vec<Score>, PluginError>;

/// Scores of groups that finished while others were still being sampled: per objective `[M]`, by group.
#[derive(Debug, Default)]
pub struct EarlyScores {
    columns: Vec<BTreeMap<usize, GroupScores>>,
}

/// A finished group that owns its texts, for the scoring thread.
struct Group {
    number: usize,
    prompt: Prompt,
    responses: Vec<(String, u32, bool)>,
}

impl From<FinishedGroup<'_>> for Group {
    fn from(finished: FinishedGroup<'_>) -> Self {
        let tokens = |tokens| u32::try_from(tokens).unwrap_or(u32::MAX);
        Self {
            number: finished.group,
            prompt: finished.prompt.clone(),
            responses: finished
                .responses
                .iter()
                .map(|response| (response.text.to_owned(), tokens(response.tokens), response.truncated))
                .collect(),
        }
    }
}

impl Group {
    fn completions(&self) -> Vec<Completion<'_>> {
        self.responses
            .iter()
            .map(|(response, response_tokens, truncated)| Completion {
                prompt: &self.prompt.text,
                response,
                ground_truth: &self.prompt.ground_truth,
                data_source: &self.prompt.data_source,
                response_tokens: *response_tokens,
                means: None,
                truncated: *truncated,
                extra: &self.prompt.extra,
            })
            .collect()
    }
}

/// What each completion may be measured against, `[B]`. Before the first training response the running mean is that
/// of the batch: a policy that was never trained has no other length.
fn mean_tokens(rollouts: &Rollouts, mean_length: &MeanLength) -> Vec<MeanTokens> {
    #[allow(clippy::cast_possible_truncation, reason = "a mean length fits f32")]
    let narrow = |mean: f64| mean as f32;
    let batch = rollouts.mean_length();
    let running = if mean_length.responses == 0 {
        batch
    } else {
        mean_length.mean()
    };
    let mut means = Vec::with_capacity(rollouts.len());
    for group in rollouts.groups.chunk_by(|a, b| a == b) {
        let (first, end) = (means.len(), means.len() + group.len());
        let tokens = rollouts.offsets[end] - rollouts.offsets[first];
        let of_group = MeanTokens {
            running: narrow(running),
            batch: narrow(batch),
            group: narrow(tokens as f64 / group.len() as f64),
        };
        means.resize(end, of_group);
    }
    means
}

impl Objectives {
    /// Runs `sample`, which reports each finished group. Meanwhile, rewards that do not need the step's
    /// mean lengths score it on another thread. A score depends on its completion alone, so the
    /// result is the same as scoring afterwards.
    pub fn score_while_sampling<T>(
        &self,
        sample: impl FnOnce(&mut dyn FnMut(FinishedGroup<'_>)) -> T,
    ) -> (T, EarlyScores) {
        let (send, receive) = mpsc::channel::<Group>();
        std::thread::scope(|scope| {
            let scoring = std::thread::Builder::new().name("early scores".to_owned());
            let scorer = scoring.spawn_scoped(scope, move || {
                let mut early = EarlyScores {
                    columns: self.list.iter().map(|_| BTreeMap::new()).collect(),
                };
                for group in receive {
                    for (objective, column) in self.list.iter().zip(&mut early.columns) {
                        if !objective.reward.needs_means() {
                            let scores = objective.reward.score_all(&group.completions());
                            column.insert(group.number, scores);
                        }
                    }
                }
                early
            });
            // Without the thread nobody listens, and everything is scored afterwards.
            let result = sample(&mut |group| drop(send.send(group.into())));
            drop(send);
            let early = scorer.ok().and_then(|scorer| scorer.join().ok()).unwrap_or_default();
            (result, early)
        })
    }

    /// Returns the scores `[B, M]` of a batch, and reuses those in `early`. `mean_length` has the lengths of all training
    /// responses so far; in training it must include this batch. `done` counts scores, B·M in all.
    ///
    /// # Errors
    /// A reward that fails as a whole; a completion it refuses where `on_error = "stop"`.
    pub fn score(
        &self,
        rollouts: &Rollouts,
        mean_length: &MeanLength,
        early: EarlyScores,
        done: &AtomicUsize,
    ) -> Result<Scores, RewardError> {
        let means = mean_tokens(rollouts, mean_length);
        let lengths = rollouts.lengths();
        let completions: Vec<Completion<'_>> = (0..rollouts.len())
            .map(|b| {
                let prompt = rollouts.prompt(b);
                Completion {
                    prompt: &prompt.text,
                    response: &rollouts.texts[b],
                    ground_truth: &prompt.ground_truth,
                    data_source: &prompt.data_source,
                    response_tokens: lengths[b],
                    means: Some(means[b]),
                    truncated: rollouts.truncated[b],
                    extra: &prompt.extra,
                }
            })
            .collect();
        let m = self.len();
        let mut scores = Scores {
            m,
            values: vec![0.0; completions.len() * m],
            failures: vec![BTreeMap::new(); m],
            ..Scores::default()
        };
        let mut columns = early.columns;
        columns.resize_with(m, BTreeMap::new);
        for (column, (objective, early)) in self.list.iter().zip(columns).enumerate() {
            let results = match take_group_scores(rollouts, early) {
                Some(results) => {
                    done.fetch_add(completions.len(), Ordering::Relaxed);
                    results
                }
                None => objective.reward.score_counted(&completions, done),
            };
            let results = results.map_err(|source| RewardError::Plugin {
                objective: objective.name.clone(),
                source,
            })?;
            objective.write_column(&mut scores, column, rollouts, results)?;
        }
        scores.skipped.sort_unstable();
        scores.skipped.dedup();
        Ok(scores)
    }
}

/// The scores `[B]` of a column whose groups were all scored early; None if one was not.
fn take_group_scores(rollouts: &Rollouts, mut early: BTreeMap<usize, GroupScores>) -> Option<GroupScores> {
    let mut scores = Vec::with_capacity(rollouts.len());
    for group in rollouts.groups.chunk_by(|a, b| a == b) {
        match early.remove(&(group[0] as usize))? {
            Ok(some) if some.len() == group.len() => scores.extend(some),
            Ok(_) => return None,
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(scores))
}

impl Objective {
    /// Writes the results `[B]` of one objective into its column, as `on_error` says.
    fn write_column(
        &self,
        scores: &mut Scores,
        column: usize,
        rollouts: &Rollouts,
        results: Vec<Score>,
    ) -> Result<(), RewardError> {
        let sign = match self.direction {
            Direction::Minimize => -1.0,
            Direction::Maximize => 1.0,
        };
        let m = scores.m;
        for (b, result) in results.into_iter().enumerate() {
            let failure = match result {
                Ok(score) => {
                    scores.values[b * m + column] = sign * score;
                    continue;
                }
                Err(failure) => failure,
            };
            *scores.failures[column].entry(failure.cause).or_default() += 1;
            scores.failed.push((b, column));
            scores.first_failure.get_or_insert_with(|| {
                let (objective, reward) = (&self.name, self.reward.name());
                format!("objective {objective}: reward {reward} failed on completion {b}: {failure}")
            });
            match self.on_error {
                OnError::Zero => {}
                OnError::Skip => scores.skipped.push(b),
                OnError::Stop => {
                    return Err(RewardError::Completion {
                        objective: self.name.clone(),
                        reward: self.reward.name().to_owned(),
                        completion: b,
                        row: rollouts.prompt(b).row,
                        message: failure.message,
                        response: rollouts.texts[b].chars().take(80).collect(),
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{MeanLength, mean_tokens};
    use crate::{data::Prompt, plugin::MeanTokens, rollout::Rollouts};

    /// Rollouts with the given response lengths by group.
    fn rollouts(groups: &[&[usize]]) -> Rollouts {
        let mut out = Rollouts {
            offsets: vec![0],
            ..Rollouts::default()
        };
        for (group, lengths) in (0..).zip(groups) {
            out.prompts.push(Prompt::default());
            for length in *lengths {
                out.groups.push(group);
                out.tokens.resize(out.tokens.len() + length, 0);
                out.offsets.push(out.tokens.len());
            }
        }
        out
    }

    #[test]
    fn the_means_are_of_training_of_the_batch_and_of_the_group() {
        let batch = rollouts(&[&[2, 4], &[9]]);
        let means = |running, group| MeanTokens {
            running,
            batch: 5.0,
            group,
        };
        let mut mean_length = MeanLength::default();
        let first = mean_tokens(&batch, &mean_length);
        assert_eq!(first, [means(5.0, 3.0), means(5.0, 3.0), means(5.0, 9.0)]);
        mean_length.add(&batch);
        mean_length.add(&rollouts(&[&[1]]));
        let later = mean_tokens(&batch, &mean_length);
        assert_eq!(later, [means(4.0, 3.0), means(4.0, 3.0), means(4.0, 9.0)]);
        assert!(mean_tokens(&rollouts(&[]), &mean_length).is_empty());
    }
}
