//! A batch without padding: each prompt once, followed by its responses, all in one row of T tokens.
//!
//! The row holds only tokens that predict something. A response of n tokens takes n − 1 places: the prompt's last token
//! predicts its first one, and its last token predicts nothing.

use std::ops::Range;

use super::error::ModelError;

/// Rows that attend causally to each other and, in a response, to the whole prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// First row.
    pub start: usize,
    /// Rows.
    pub len: usize,
    /// First row and rows of the prompt that a response continues; none for a prompt.
    pub prompt: Option<(usize, usize)>,
}

/// A prompt and its responses. Their rows attend to no other group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its rows.
    pub rows: Range<usize>,
    /// Its segments, the prompt first.
    pub segments: Range<usize>,
}

/// P prompts and B responses, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    tokens: Vec<u32>,    // [T]
    positions: Vec<u32>, // [T]
    segments: Vec<Segment>,
    groups: Vec<Group>,   // [P]
    predictors: Vec<u32>, // [N] row that predicts each response token
    targets: Vec<u32>,    // [N]
    offsets: Vec<usize>,  // [B + 1] into N
}

impl Packed {
    /// Packs `prompts` `[P]` and `responses` `[B]`. `groups` `[B]` is the index of each response's prompt, in any order. A
    /// prompt may have no responses, and a response no tokens.
    ///
    /// # Errors
    /// `groups` has another length than `responses`, or an index of no prompt; a prompt has no tokens.
    pub fn new<P: AsRef<[u32]>, R: AsRef<[u32]>>(
        prompts: &[P],
        responses: &[R],
        groups: &[u32],
    ) -> Result<Self, ModelError> {
        if responses.len() != groups.len() {
            return Err(ModelError::Batch {
                what: "groups",
                found: groups.len().to_string(),
                expected: format!("{}, one for each response", responses.len()),
            });
        }
        let mut members = vec![Vec::new(); prompts.len()];
        for (response, &group) in groups.iter().enumerate() {
            match members.get_mut(group as usize) {
                Some(members) => members.push(response),
                None => {
                    return Err(ModelError::Batch {
                        what: "group of a response",
                        found: group.to_string(),
                        expected: format!("less than {}, the number of prompts", prompts.len()),
                    });
                }
            }
        }
        let mut offsets = Vec::with_capacity(responses.len() + 1);
        offsets.push(0);
        let mut total = 0;
        for response in responses {
            total += response.as_ref().len();
            offsets.push(total);
        }
        let mut packed = Packed {
            tokens: Vec::new(),
            positions: Vec::new(),
            segments: Vec::new(),
            groups: Vec::with_capacity(prompts.len()),
            predictors: vec![0; total],
            targets: vec![0; total],
            offsets,
        };
        for (index, (prompt, members)) in prompts.iter().zip(&members).enumerate() {
            let prompt = prompt.as_ref();
            if prompt.is_empty() {
                return Err(ModelError::Batch {
                    what: "tokens of a prompt",
                    found: format!("none in prompt {index}"),
                    expected: "at least one".into(),
                });
            }
            let first = packed.tokens.len();
            let first_segment = packed.segments.len();
            packed.push(prompt, 0, None);
            for &member in members {
                let response = responses[member].as_ref();
                let at = packed.offsets[member];
                let start = packed.tokens.len();
                packed.targets[at..at + response.len()].copy_from_slice(response);
                for (i, row) in packed.predictors[at..at + response.len()].iter_mut().enumerate() {
                    *row = to_u32(if i == 0 {
                        first + prompt.len() - 1
                    } else {
                        start + i - 1
                    });
                }
                if response.len() > 1 {
                    packed.push(
                        &response[..response.len() - 1],
                        prompt.len(),
                        Some((first, prompt.len())),
                    );
                }
            }
            packed.groups.push(Group {
                rows: first..packed.tokens.len(),
                segments: first_segment..packed.segments.len(),
            });
        }
        Ok(packed)
    }

    /// The rows of a backward pass: each group's prompt `copies` `[P]` times, then its responses, which continue the
    /// first copy. Groups with 0 copies are left out. Nothing is predicted.
    pub(crate) fn with_prompt_copies(&self, copies: &[usize]) -> Self {
        let mut part = Packed {
            tokens: Vec::new(),
            positions: Vec::new(),
            segments: Vec::new(),
            groups: Vec::new(),
            predictors: Vec::new(),
            targets: Vec::new(),
            offsets: vec![0],
        };
        for (group, &copies) in self.groups.iter().zip(copies).filter(|(_, copies)| **copies > 0) {
            let (first, first_segment) = (part.tokens.len(), part.segments.len());
            for segment in &self.segments[group.segments.clone()] {
                for _ in 0..if segment.prompt.is_none() { copies } else { 1 } {
                    let rows = segment.start..segment.start + segment.len;
                    part.segments.push(Segment {
                        start: part.tokens.len(),
                        len: segment.len,
                        prompt: segment.prompt.map(|(_, len)| (first, len)),
                    });
                    part.tokens.extend_from_slice(&self.tokens[rows.clone()]);
                    part.positions.extend_from_slice(&self.positions[rows]);
                }
            }
            part.groups.push(Group {
                rows: first..part.tokens.len(),
                segments: first_segment..part.segments.len(),
            });
        }
        part
    }

    /// Group whose rows include `row`.
    pub(crate) fn group_of(&self, row: usize) -> usize {
        self.groups.partition_point(|group| group.rows.end <= row)
    }

    fn push(&mut self, tokens: &[u32], position: usize, prompt: Option<(usize, usize)>) {
        self.segments.push(Segment {
            start: self.tokens.len(),
            len: tokens.len(),
            prompt,
        });
        self.tokens.extend_from_slice(tokens);
        self.positions.extend((position..position + tokens.len()).map(to_u32));
    }

    /// Input tokens `[T]`.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Position of each token in its sequence `[T]`.
    #[must_use]
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// All segments, in the order of their rows.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Groups `[P]`, in the order of their rows; together they cover all T rows.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(crate) fn segments_of(&self, group: usize) -> &[Segment] {
        &self.segments[self.groups[group].segments.clone()]
    }

    /// Row whose hidden state predicts each response token `[N]`.
    #[must_use]
    pub fn predictors(&self) -> &[u32] {
        &self.predictors
    }

    /// Response tokens `[N]`.
    #[must_use]
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// Where each response begins among the N response tokens `[B + 1]`.
    #[must_use]
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// One more than the largest position.
    #[must_use]
    pub fn context(&self) -> usize {
        self.positions.iter().max().map_or(0, |p| *p as usize + 1)
    }
}

fn to_u32(value: usize) -> u32 {
    // a batch of four billion tokens does not fit in memory
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn layout_shares_the_prompt() {
        let packed = Packed::new(
            &[vec![1, 2, 3], vec![4]],
            &[vec![5, 6], vec![7], vec![8, 9, 10], vec![]],
            &[1, 0, 0, 1],
        )
        .expect("valid");
        assert_eq!(packed.tokens(), [1, 2, 3, 8, 9, 4, 5]);
        assert_eq!(packed.positions(), [0, 1, 2, 3, 4, 0, 1]);
        assert_eq!(packed.offsets(), [0, 2, 3, 6, 6]);
        assert_eq!(packed.targets(), [5, 6, 7, 8, 9, 10]);
        assert_eq!(packed.predictors(), [5, 6, 2, 2, 3, 4]);
        assert_eq!(
            packed.segments()[1],
            Segment {
                start: 3,
                len: 2,
                prompt: Some((0, 3))
            }
        );
        assert_eq!(packed.context(), 5);
    }

    #[test]
    fn some_groups_are_packed_as_if_the_others_were_not_there_and_prompts_repeated() {
        let prompts = [vec![1, 2, 3], vec![4], vec![11, 12]];
        let responses = [vec![5, 6], vec![7], vec![8, 9, 10], vec![13, 14, 15]];
        let whole = Packed::new(&prompts, &responses, &[1, 0, 0, 2]).expect("valid");
        let part = whole.with_prompt_copies(&[1, 0, 1]);
        let alone = Packed::new(&[prompts[0].clone(), prompts[2].clone()], &responses[1..], &[0, 0, 1]).expect("valid");
        assert_eq!((part.tokens(), part.positions()), (alone.tokens(), alone.positions()));
        assert_eq!((part.segments(), part.groups()), (alone.segments(), alone.groups()));
        let groups: Vec<usize> = (0..whole.tokens().len()).map(|row| whole.group_of(row)).collect();
        assert_eq!(groups, [0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2]);
        let twice = whole.with_prompt_copies(&[0, 1, 2]);
        assert_eq!(twice.tokens(), [4, 5, 11, 12, 11, 12, 13, 14]);
        assert_eq!(twice.positions(), [0, 1, 0, 1, 0, 1, 2, 3]);
        let segment = |start, prompt| Segment { start, len: 2, prompt };
        assert_eq!(
            twice.segments_of(1),
            [segment(2, None), segment(4, None), segment(6, Some((2, 2)))]
        );
    }

    #[test]
    fn bad_batches_are_named() {
        let none: [Vec<u32>; 0] = [];
        assert!(
            Packed::new(&[Vec::<u32>::new()], &none, &[])
                .expect_err("empty prompt")
                .to_string()
                .contains("prompt 0")
        );
        assert!(Packed::new(&[vec![1]], &[vec![1]], &[1]).is_err());
        assert!(Packed::new(&[vec![1]], &[vec![1]], &[]).is_err());
        assert_eq!(Packed::new(&[vec![1]], &none, &[]).expect("prompt alone").tokens(), [1]);
    }

    /// Up to four prompts of one to five tokens, and up to nine responses of at most six, each of some prompt.
    pub(in crate::model) fn batches() -> impl Strategy<Value = (Vec<Vec<u32>>, Vec<Vec<u32>>, Vec<u32>)> {
        let prompts = prop::collection::vec(prop::collection::vec(0u32..1000, 1..6), 1..5);
        prompts.prop_flat_map(|prompts| {
            let response = (prop::collection::vec(0u32..1000, 0..7), 0..prompts.len());
            prop::collection::vec(response, 0..10).prop_map(move |responses| {
                let groups = responses.iter().map(|(_, group)| to_u32(*group)).collect();
                let responses = responses.into_iter().map(|(tokens, _)| tokens).collect();
                (prompts.clone(), responses, groups)
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 64,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(9),
            ..ProptestConfig::default()
        })]

        /// The row that predicts a token sees exactly the tokens before it in its sequence, at their positions.
        #[test]
        fn a_predictor_sees_its_sequence_and_nothing_else((prompts, responses, groups) in batches()) {
            let packed = Packed::new(&prompts, &responses, &groups).expect("valid");
            for (b, response) in responses.iter().enumerate() {
                let sequence = [prompts[groups[b] as usize].as_slice(), response].concat();
                let first = sequence.len() - response.len();
                for (i, n) in (packed.offsets()[b]..packed.offsets()[b + 1]).enumerate() {
                    let row = packed.predictors()[n] as usize;
                    let segments = packed.segments_of(packed.group_of(row));
                    let own = segments.iter().find(|s| (s.start..s.start + s.len).contains(&row)).expect("a segment");
                    let (start, len) = own.prompt.unwrap_or((0, 0));
                    let seen: Vec<usize> = (start..start + len).chain(own.start..=row).collect();
                    let tokens: Vec<u32> = seen.iter().map(|&row| packed.tokens()[row]).collect();
                    prop_assert_eq!(&tokens[..], &sequence[..first + i]);
                    prop_assert!(seen.iter().enumerate().all(|(at, &row)| packed.positions()[row] as usize == at));
                    prop_assert_eq!(packed.targets()[n], response[i]);
                }
            }
        }
    }
}
