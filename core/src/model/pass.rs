//! The rows that one backward pass takes through the layers: for one column of cotangents, or for several at once.
//!
//! Nothing but its own response's loss reaches a response's row. Where M columns are each constant over every response,
//! as an objective's advantages are on policy, the M gradients of such a row are therefore one vector times M factors:
//! with u the gradient of the responses' own log-probabilities, that of column k is f_k · u. One pass takes u through
//! the layers for all of them, and only prompts, in which responses of different factors meet, go through once for each
//! column. A weight's gradients differ by their factors alone: Σ_rows f_k · u ⊗ x.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::ops::ROWS;
use super::ops::head::Cotangent;
use super::ops::layer;
use super::ops::pool::{Buffer, take};
use super::ops::simd::scale_into;
use super::packed::Packed;

/// Share of the rows from which on a pass of one column takes all of them: below it, copying rows costs less than it saves.
const NEARLY_ALL: f64 = 0.95;

/// The R rows of a backward pass for M columns.
pub(crate) struct Pass<'a> {
    whole: &'a Packed,
    /// Which columns these are.
    columns: Vec<usize>,
    /// The groups that some column reaches; the others' gradients are exactly zero.
    groups: Vec<Live>,
    /// Which of these each group of the whole batch is [P].
    of_whole: Vec<Option<usize>>,
    /// The rows, packed: those of the whole batch, or some groups of it with prompts repeated.
    packed: Cow<'a, Packed>,
    /// Where the rows stand in the whole batch; none where they are all of it.
    ranges: Option<Vec<Range<usize>>>,
    /// What each row's gradient is multiplied by for each column [R, M].
    factors: Vec<f32>,
    /// Rows that a column's factor is not 0 in; only where there are several columns [M].
    live: Vec<Vec<usize>>,
}

/// A group in a pass.
struct Live {
    /// Its rows in the whole batch.
    rows: Range<usize>,
    /// Its first row in the pass.
    start: usize,
    /// Rows of the prompt.
    prompt: usize,
    /// The columns that reach it, each with a copy of the prompt's rows: numbers below M, rising.
    copies: Vec<usize>,
}

impl<'a> Pass<'a> {
    /// The passes that together give the gradients of all columns.
    pub(crate) fn plan(whole: &'a Packed, columns: &[Cotangent<'_>]) -> Vec<Self> {
        let (flat, other): (Vec<usize>, Vec<usize>) =
            (0..columns.len()).partition(|&m| is_constant_over_responses(&columns[m], whole.offsets()));
        // for one column there is nothing to share
        let (shared, alone) = match flat.len() {
            0 | 1 => (Vec::new(), (0..columns.len()).collect()),
            _ => (flat, other),
        };
        let mut passes: Vec<Self> = alone.into_iter().map(|m| Pass::alone(whole, m, &columns[m])).collect();
        if !shared.is_empty() {
            passes.push(Pass::shared(whole, shared, columns));
        }
        passes
    }

    /// For one column, whatever it is: its rows have factor 1.
    pub(crate) fn alone(whole: &'a Packed, m: usize, column: &Cotangent<'_>) -> Self {
        let mut copies = vec![Vec::new(); whole.groups().len()];
        for (i, &row) in whole.predictors().iter().enumerate() {
            if column.reaches(i) {
                copies[whole.group_of(row as usize)] = vec![0];
            }
        }
        let live = whole.groups().iter().zip(&copies).filter(|(_, c)| !c.is_empty());
        let rows: usize = live.map(|(group, _)| group.rows.len()).sum();
        let all = rows as f64 >= NEARLY_ALL * whole.tokens().len() as f64;
        if all {
            copies.fill(vec![0]);
        }
        let mut pass = Pass::of(whole, vec![m], copies, all);
        pass.factors = vec![1.0; pass.packed.tokens().len()];
        pass
    }

    /// For columns that are each constant over every response.
    fn shared(whole: &'a Packed, columns: Vec<usize>, cotangents: &[Cotangent<'_>]) -> Self {
        let m = columns.len();
        let mut copies = vec![Vec::new(); whole.groups().len()];
        let mut factors = vec![0f32; whole.tokens().len() * m]; // of the whole batch's rows; prompts' are not used
        for tokens in whole.offsets().windows(2).filter(|tokens| tokens[0] < tokens[1]) {
            let of: Vec<f32> = columns.iter().map(|&c| cotangents[c].logprobs[tokens[0]]).collect();
            let predictors = &whole.predictors()[tokens[0]..tokens[1]];
            let reached: &mut Vec<usize> = &mut copies[whole.group_of(predictors[0] as usize)];
            reached.extend((0..m).filter(|&k| of[k] != 0.0));
            for &row in &predictors[1..] {
                factors[row as usize * m..(row as usize + 1) * m].copy_from_slice(&of);
            }
        }
        for reached in &mut copies {
            reached.sort_unstable();
            reached.dedup();
        }
        let mut pass = Pass::of(whole, columns, copies, false);
        let mut own = Vec::with_capacity(pass.packed.tokens().len() * m);
        for group in &pass.groups {
            for &k in &group.copies {
                for _ in 0..group.prompt {
                    own.extend((0..m).map(|other| if other == k { 1.0 } else { 0.0 }));
                }
            }
            own.extend_from_slice(&factors[(group.rows.start + group.prompt) * m..group.rows.end * m]);
        }
        let reached = |k: usize| (0..own.len() / m).filter(|row| own[row * m + k] != 0.0).collect();
        pass.live = (0..m).map(reached).collect();
        pass.factors = own;
        pass
    }

    /// The rows of the groups that have `copies` [P]; `all` of them as they stand, or repeated. Without factors yet.
    fn of(whole: &'a Packed, columns: Vec<usize>, copies: Vec<Vec<usize>>, all: bool) -> Self {
        let counts: Vec<usize> = copies.iter().map(Vec::len).collect();
        let (mut groups, mut of_whole, mut ranges, mut start) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut take = |rows: Range<usize>| match ranges.last_mut() {
            Some(Range { end, .. }) if *end == rows.start => *end = rows.end,
            _ => ranges.push(rows),
        };
        for (index, (group, copies)) in whole.groups().iter().zip(copies).enumerate() {
            if copies.is_empty() {
                of_whole.push(None);
                continue;
            }
            of_whole.push(Some(groups.len()));
            let rows = group.rows.clone();
            let prompt = whole.segments_of(index).first().map_or(0, |segment| segment.len);
            copies.iter().for_each(|_| take(rows.start..rows.start + prompt));
            take(rows.start + prompt..rows.end);
            let len = rows.len() + (copies.len() - 1) * prompt;
            groups.push(Live {
                rows,
                start,
                prompt,
                copies,
            });
            start += len;
        }
        Pass {
            whole,
            columns,
            groups,
            of_whole,
            packed: match all {
                true => Cow::Borrowed(whole),
                false => Cow::Owned(whole.repeated(&counts)),
            },
            ranges: (!all).then_some(ranges),
            factors: Vec::new(),
            live: Vec::new(),
        }
    }

    /// Which columns these are, M of them.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Whether rows have factors: not where the pass is for one column.
    pub(crate) fn is_shared(&self) -> bool {
        self.columns.len() > 1
    }

    /// The rows, packed.
    pub(crate) fn packed(&self) -> &Packed {
        &self.packed
    }

    /// What each row's gradient is multiplied by for each column [R, M]; 1 where there is one column.
    pub(crate) fn factors(&self) -> &[f32] {
        &self.factors
    }

    /// For the response at row `row` of the pass's group `group`: the numbers of the copies of its prompt and its factor
    /// for each; none where the pass is for one column.
    pub(crate) fn copies(&self, group: usize, row: usize) -> Option<impl Iterator<Item = (usize, f32)>> {
        let m = self.columns.len();
        let factors = &self.factors[row * m..(row + 1) * m];
        let copies = self.groups[group].copies.iter().enumerate();
        self.is_shared().then(|| copies.map(|(nth, &k)| (nth, factors[k])))
    }

    /// The pass's own rows of the whole batch's `from` [T, width].
    pub(crate) fn rows<'b>(&self, from: &'b [f32], width: usize) -> Rows<'b> {
        match &self.ranges {
            None => Rows::All(from),
            Some(ranges) => Rows::Some(layer::rows(from, width, ranges)),
        }
    }

    /// The rows of `values` [R, width] that column `k` reaches.
    pub(crate) fn reached<'b>(&self, k: usize, values: &'b [f32], width: usize) -> Rows<'b> {
        let live = &self.live[k];
        if live.len() * width == values.len() {
            return Rows::All(values);
        }
        let mut to = take(live.len() * width);
        self.copy(k, values, width, &mut to, |_, from, to| to.copy_from_slice(from));
        Rows::Some(to)
    }

    /// The rows of `values` [R, width] that column `k` reaches, each times its factor.
    pub(crate) fn scaled(&self, k: usize, values: &[f32], width: usize) -> Buffer {
        let mut to = take(self.live[k].len() * width);
        self.copy(k, values, width, &mut to, scale_into);
        to
    }

    fn copy(
        &self,
        k: usize,
        from: &[f32],
        width: usize,
        to: &mut [f32],
        copy: impl Fn(f32, &[f32], &mut [f32]) + Sync,
    ) {
        let m = self.columns.len();
        to.par_chunks_mut(ROWS * width)
            .zip(self.live[k].par_chunks(ROWS))
            .for_each(|(to, live)| {
                for (to, &row) in to.chunks_exact_mut(width).zip(live) {
                    copy(self.factors[row * m + k], &from[row * width..(row + 1) * width], to);
                }
            });
    }

    /// Where the rows stand in the whole batch; none where they are all of it.
    pub(crate) fn ranges(&self) -> Option<&[Range<usize>]> {
        self.ranges.as_deref()
    }

    /// Adds the gradient `dx` [D] of one row of the whole batch, by a response's own log-probability, to the pass's rows
    /// `to` [R, D]. `factor` tells by column what that response's cotangent is.
    pub(crate) fn scatter(&self, row: usize, dx: &[f32], factor: impl Fn(usize) -> f32, to: &mut [f32]) {
        let d = dx.len();
        let Some(group) = self.of_whole[self.whole.group_of(row)].map(|group| &self.groups[group]) else {
            return;
        };
        let mut add = |row: usize, factor: f32| {
            let to = &mut to[row * d..(row + 1) * d];
            to.iter_mut().zip(dx).for_each(|(to, dx)| *to += factor * dx);
        };
        let within = row - group.rows.start;
        if within < group.prompt {
            for (nth, &k) in group.copies.iter().enumerate() {
                add(group.start + nth * group.prompt + within, factor(self.columns[k]));
            }
        } else {
            let row = group.start + (group.copies.len() - 1) * group.prompt + within;
            add(row, if self.is_shared() { 1.0 } else { factor(self.columns[0]) });
        }
    }
}

fn is_constant_over_responses(column: &Cotangent<'_>, offsets: &[usize]) -> bool {
    let constant = |tokens: &[usize]| {
        let own = &column.logprobs[tokens[0]..tokens[1]];
        own.iter().all(|g| *g == own[0])
    };
    column.entropy.is_none() && offsets.windows(2).all(constant)
}

/// Rows as they stand, or copied together.
pub(crate) enum Rows<'a> {
    All(&'a [f32]),
    Some(Buffer),
}

impl std::ops::Deref for Rows<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Rows::All(rows) => rows,
            Rows::Some(rows) => rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two prompts of 2 and 1 tokens with two responses each.
    fn packed() -> Packed {
        Packed::new(
            &[vec![1, 2], vec![3]],
            &[vec![4, 5, 6], vec![7, 8], vec![9, 10], vec![11]],
            &[0, 0, 1, 1],
        )
        .expect("valid")
    }

    #[test]
    fn columns_that_are_constant_over_responses_share_a_pass() {
        let packed = packed();
        let first = [0.5, 0.5, 0.5, -1.0, -1.0, 0.0, 0.0, 0.0];
        let second = [2.0, 2.0, 2.0, 0.0, 0.0, 3.0, 3.0, -3.0];
        let uneven = [0.5, 0.5, 0.4, -1.0, -1.0, 0.0, 0.0, 0.0];
        let columns = [&first, &uneven, &second].map(|column| Cotangent::of(column));
        let passes = Pass::plan(&packed, &columns);
        let of: Vec<&[usize]> = passes.iter().map(Pass::columns).collect();
        assert_eq!(of, [&[1][..], &[0, 2]]);
        let shared = &passes[1];
        // the first prompt twice, the second once, as only the second column reaches it
        assert_eq!(shared.packed().tokens(), [1, 2, 1, 2, 4, 5, 7, 3, 9]);
        let factors: Vec<[f32; 2]> = shared.factors().chunks(2).map(|f| [f[0], f[1]]).collect();
        assert_eq!(factors[..4], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]);
        assert_eq!(
            factors[4..],
            [[0.5, 2.0], [0.5, 2.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 3.0]]
        );
        let copies: Vec<_> = shared.copies(0, 4).expect("shared").collect();
        assert_eq!(copies, [(0, 0.5), (1, 2.0)]);
        // the prompt's last row, which predicts both first tokens, in each copy; a response's own row
        let mut to = vec![0f32; 9];
        shared.scatter(1, &[10.0], |m| columns[m].logprobs[0], &mut to);
        shared.scatter(3, &[7.0], |m| columns[m].logprobs[2], &mut to);
        assert_eq!(to, [0.0, 5.0, 0.0, 20.0, 0.0, 7.0, 0.0, 0.0, 0.0]);
        let values: Vec<f32> = (0..9).map(|row| row as f32).collect();
        assert_eq!(shared.reached(1, &values, 1)[..], [2.0, 3.0, 4.0, 5.0, 7.0, 8.0]);
        assert_eq!(shared.scaled(1, &values, 1)[..], [2.0, 3.0, 8.0, 10.0, 7.0, 24.0]);
        // one column, or one with an entropy, has a pass of its own
        assert!(!Pass::plan(&packed, &columns[..1])[0].is_shared());
        let entropy = Cotangent {
            logprobs: &first,
            entropy: Some(&second),
        };
        let alone = Pass::plan(&packed, &[entropy, columns[0]]);
        assert!(alone.len() == 2 && alone.iter().all(|pass| !pass.is_shared()));
    }
}
