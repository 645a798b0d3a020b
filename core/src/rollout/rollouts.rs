//! What a step samples, as plain data. Responses are packed: `tokens` and `logprobs` are `[N]`, and response `b` is
//! the range `offsets[b]..offsets[b + 1]`.

use std::ops::Range;

use crate::data::Prompt;

/// P prompts with their completions. B completions in the order of `groups`; a group is the completions of one
/// prompt and stays together.
#[derive(Clone, Debug, Default)]
pub struct Rollouts {
    /// `[P]`
    pub prompts: Vec<Prompt>,
    /// Index into `prompts` for each completion `[B]`, ascending.
    pub groups: Vec<u32>,
    /// Where each response begins in `tokens` `[B + 1]`.
    pub offsets: Vec<usize>,
    /// Response tokens, the end token included where it was drawn `[N]`.
    pub tokens: Vec<u32>,
    /// Log-probability of each token when it was drawn `[N]`.
    pub logprobs: Vec<f32>,
    /// Whether a response hit the length cap before an end token `[B]`.
    pub truncated: Vec<bool>,
    /// Decoded responses without special tokens `[B]`.
    pub texts: Vec<String>,
}

impl Rollouts {
    /// Completions, B.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// True without any completion.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Where response `b` lies in the packed arrays.
    #[must_use]
    pub fn range(&self, b: usize) -> Range<usize> {
        self.offsets[b]..self.offsets[b + 1]
    }

    /// Tokens of response `b`.
    #[must_use]
    pub fn response(&self, b: usize) -> &[u32] {
        &self.tokens[self.range(b)]
    }

    /// The prompt of completion `b`.
    #[must_use]
    pub fn prompt(&self, b: usize) -> &Prompt {
        &self.prompts[self.groups[b] as usize]
    }

    /// Response lengths in tokens `[B]`.
    #[must_use]
    pub fn lengths(&self) -> Vec<u32> {
        #[allow(clippy::cast_possible_truncation)] // a response is far shorter than 2^32 tokens
        self.offsets.windows(2).map(|w| (w[1] - w[0]) as u32).collect()
    }

    /// Mean response length in tokens; 0 without completions.
    #[must_use]
    pub fn mean_length(&self) -> f64 {
        if self.is_empty() {
            0.0
        } else {
            self.tokens.len() as f64 / self.len() as f64
        }
    }

    /// Splits the completions into chunks of whole groups: each chunk takes groups until it would exceed `tokens`
    /// packed tokens (prompt once per group plus its responses), and at least one. Returns ranges of completions.
    #[must_use]
    pub fn chunks(&self, tokens: usize) -> Vec<Range<usize>> {
        let mut chunks = Vec::new();
        let (mut start, mut size, mut b) = (0, 0, 0);
        while b < self.len() {
            let end = b + self.groups[b..].iter().take_while(|&&g| g == self.groups[b]).count();
            let group = self.prompt(b).tokens.len() + self.offsets[end] - self.offsets[b];
            if size > 0 && size + group > tokens {
                chunks.push(start..b);
                (start, size) = (b, 0);
            }
            size += group;
            b = end;
        }
        if start < b {
            chunks.push(start..b);
        }
        chunks
    }

    /// A copy of the completions `rows` (ascending, so that groups stay together). Prompts are renumbered; those
    /// left without a completion are dropped.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let mut part = Self {
            offsets: vec![0],
            ..Self::default()
        };
        let mut last = None;
        for &b in rows {
            if last != Some(self.groups[b]) {
                part.prompts.push(self.prompt(b).clone());
                last = Some(self.groups[b]);
            }
            #[allow(clippy::cast_possible_truncation)] // fewer than 2^32 prompts
            part.groups.push((part.prompts.len() - 1) as u32);
            part.tokens.extend_from_slice(self.response(b));
            part.logprobs.extend_from_slice(&self.logprobs[self.range(b)]);
            part.offsets.push(part.tokens.len());
            part.truncated.push(self.truncated[b]);
            part.texts.push(self.texts[b].clone());
        }
        part
    }

    /// The entries of a packed array `[N]` that belong to `rows`, in their order.
    #[must_use]
    pub fn select_tokens(&self, packed: &[f32], rows: &[usize]) -> Vec<f32> {
        rows.iter()
            .flat_map(|&b| packed[self.range(b)].iter().copied())
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rollouts with the given response lengths by group; tokens count up from 0.
    pub(crate) fn rollouts(groups: &[&[usize]]) -> Rollouts {
        let mut out = Rollouts {
            offsets: vec![0],
            ..Rollouts::default()
        };
        for (g, lengths) in groups.iter().enumerate() {
            out.prompts.push(Prompt {
                row: g,
                tokens: vec![9; 3],
                ..Prompt::default()
            });
            for &length in *lengths {
                out.groups.push(u32::try_from(g).unwrap());
                for _ in 0..length {
                    out.tokens.push(u32::try_from(out.tokens.len()).unwrap());
                    out.logprobs.push(-(out.tokens.len() as f32));
                }
                out.offsets.push(out.tokens.len());
                out.truncated.push(false);
                out.texts.push(format!("{g}:{length}"));
            }
        }
        out
    }

    #[test]
    fn chunks_hold_whole_groups_and_cover_everything() {
        let all = rollouts(&[&[2, 3], &[1], &[4, 4, 4], &[0]]); // packed sizes 8, 4, 15, 3
        assert_eq!(all.chunks(12), [0..3, 3..6, 6..7]);
        assert_eq!(all.chunks(1), [0..2, 2..3, 3..6, 6..7]);
        assert_eq!(all.chunks(1000), vec![0..7]);
    }

    #[test]
    fn select_keeps_each_completion_with_its_prompt_and_tokens() {
        let all = rollouts(&[&[2, 3], &[1], &[4]]);
        let part = all.select(&[1, 3]);
        assert_eq!(part.prompts.iter().map(|p| p.row).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(part.groups, [0, 1]);
        assert_eq!(part.tokens, [2, 3, 4, 6, 7, 8, 9]);
        assert_eq!(part.offsets, [0, 3, 7]);
        assert_eq!(part.texts, ["0:3", "2:4"]);
        assert_eq!(all.select_tokens(&all.logprobs, &[1, 3]), part.logprobs);
    }
}
