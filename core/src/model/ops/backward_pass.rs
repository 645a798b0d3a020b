//! The rows of one backward pass, as the kernels see them: for one column of cotangents, or for M columns at once.
//!
//! The plan (`backward_plan.rs`) decides which columns share a pass and what the factors are.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::pool::{Buffer, take};
use super::rows::{ROWS, Rows, copy_ranges};
use super::simd::scale_into;
use crate::model::packed::Packed;

/// From this share of active rows on, a pass of one column takes all rows: copying costs more than it saves.
const NEARLY_ALL: f64 = 0.95;

/// R rows that go backward through the layers for M columns.
pub(crate) struct BackwardPass<'a> {
    /// The whole batch, T rows.
    whole: &'a Packed,
    /// Numbers of the columns `[M]`.
    columns: Vec<usize>,
    /// Groups in which some column is not zero, in row order.
    groups: Vec<ActiveGroup>,
    /// For each group of the whole batch, its number in `groups` `[P]`; none if all its gradients are zero.
    group_index: Vec<Option<usize>>,
    /// The R rows: the whole batch, or its active groups with copies of their prompts.
    packed: Cow<'a, Packed>,
    /// Rows of the whole batch that make up these R rows, in order; none if they are the whole batch.
    ranges: Option<Vec<Range<usize>>>,
    /// What each row's gradient is multiplied by for each column `[R, M]`.
    factors: Vec<f32>,
    /// Rows whose factor is not 0, for each column `[M]`; empty if there is only one column.
    active_rows: Vec<Vec<usize>>,
}

/// A group with a gradient.
struct ActiveGroup {
    /// Its rows in the whole batch.
    rows: Range<usize>,
    /// Its first row in the pass.
    start: usize,
    /// Rows of the prompt.
    prompt: usize,
    /// Which of the M columns are not zero in it, ascending. Each has a copy of the prompt's rows.
    copies: Vec<usize>,
}

impl<'a> BackwardPass<'a> {
    /// The pass of one column. Groups that are not `active` `[P]` are left out; each row has factor 1.
    pub(crate) fn for_column(whole: &'a Packed, column: usize, active: &[bool]) -> Self {
        let groups = whole.groups().iter().zip(active);
        let active_rows: usize = groups.filter(|(_, active)| **active).map(|(g, _)| g.rows.len()).sum();
        let all = active_rows as f64 >= NEARLY_ALL * whole.tokens().len() as f64;
        let copies = active
            .iter()
            .map(|&active| if all || active { vec![0] } else { vec![] });
        let mut pass = BackwardPass::without_factors(whole, vec![column], copies.collect(), all);
        pass.factors = vec![1.0; pass.packed.tokens().len()];
        pass
    }

    /// The pass of M `columns`, each constant over every response. `copies` `[P]` names the columns (numbers below M,
    /// ascending) that are not zero in each group, and `factors` `[T, M]` holds what each response row of the whole batch
    /// is multiplied by; its prompt rows are not read.
    pub(crate) fn shared(whole: &'a Packed, columns: Vec<usize>, copies: Vec<Vec<usize>>, factors: &[f32]) -> Self {
        let m = columns.len();
        let mut pass = BackwardPass::without_factors(whole, columns, copies, false);
        let mut own = Vec::with_capacity(pass.packed.tokens().len() * m); // [R, M]
        for group in &pass.groups {
            for &k in &group.copies {
                for _ in 0..group.prompt {
                    own.extend((0..m).map(|other| if other == k { 1.0 } else { 0.0 }));
                }
            }
            own.extend_from_slice(&factors[(group.rows.start + group.prompt) * m..group.rows.end * m]);
        }
        let active = |k: usize| (0..own.len() / m).filter(|row| own[row * m + k] != 0.0).collect();
        pass.active_rows = (0..m).map(active).collect();
        pass.factors = own;
        pass
    }

    fn without_factors(whole: &'a Packed, columns: Vec<usize>, copies: Vec<Vec<usize>>, all: bool) -> Self {
        let counts: Vec<usize> = copies.iter().map(Vec::len).collect();
        let (mut groups, mut group_index, mut ranges, mut start) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut take = |rows: Range<usize>| match ranges.last_mut() {
            Some(Range { end, .. }) if *end == rows.start => *end = rows.end,
            _ => ranges.push(rows),
        };
        for (index, (group, copies)) in whole.groups().iter().zip(copies).enumerate() {
            if copies.is_empty() {
                group_index.push(None);
                continue;
            }
            group_index.push(Some(groups.len()));
            let rows = group.rows.clone();
            let prompt = whole.segments_of(index).first().map_or(0, |segment| segment.len);
            copies.iter().for_each(|_| take(rows.start..rows.start + prompt));
            take(rows.start + prompt..rows.end);
            let len = rows.len() + (copies.len() - 1) * prompt;
            groups.push(ActiveGroup {
                rows,
                start,
                prompt,
                copies,
            });
            start += len;
        }
        BackwardPass {
            whole,
            columns,
            groups,
            group_index,
            packed: match all {
                true => Cow::Borrowed(whole),
                false => Cow::Owned(whole.with_prompt_copies(&counts)),
            },
            ranges: (!all).then_some(ranges),
            factors: Vec::new(),
            active_rows: Vec::new(),
        }
    }

    /// Numbers of the columns `[M]`.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Whether there are several columns, so that rows have factors.
    pub(crate) fn is_shared(&self) -> bool {
        self.columns.len() > 1
    }

    /// The R rows.
    pub(crate) fn packed(&self) -> &Packed {
        &self.packed
    }

    /// What each row's gradient is multiplied by for each column `[R, M]`; 1 if there is only one column.
    pub(crate) fn factors(&self) -> &[f32] {
        &self.factors
    }

    /// Where the gradient of a prompt's keys and values goes, from the response at row `row` of the pass's group
    /// `group`: the numbers of the prompt's copies, each with the response's factor. None if there is only one column.
    pub(crate) fn prompt_copies(&self, group: usize, row: usize) -> Option<impl Iterator<Item = (usize, f32)>> {
        let m = self.columns.len();
        let factors = &self.factors[row * m..(row + 1) * m];
        let copies = self.groups[group].copies.iter().enumerate();
        self.is_shared().then(|| copies.map(|(nth, &k)| (nth, factors[k])))
    }

    /// The pass's R rows of `from` `[T, width]`, a buffer of the whole batch.
    pub(crate) fn rows_of<'b>(&self, from: &'b [f32], width: usize) -> Rows<'b> {
        match &self.ranges {
            None => Rows::All(from),
            Some(ranges) => Rows::Some(copy_ranges(from, width, ranges)),
        }
    }

    /// Rows of the whole batch that make up the R rows, in order; none if they are the whole batch.
    pub(crate) fn ranges(&self) -> Option<&[Range<usize>]> {
        self.ranges.as_deref()
    }

    /// The rows of `values` `[R, width]` that are active in column `k`.
    pub(crate) fn active_rows_of<'b>(&self, k: usize, values: &'b [f32], width: usize) -> Rows<'b> {
        let active = &self.active_rows[k];
        if active.len() * width == values.len() {
            return Rows::All(values);
        }
        let mut to = take(active.len() * width);
        self.copy_active(k, values, width, &mut to, |_, from, to| to.copy_from_slice(from));
        Rows::Some(to)
    }

    /// The rows of `values` `[R, width]` that are active in column `k`, each times its factor.
    pub(crate) fn scaled_rows_of(&self, k: usize, values: &[f32], width: usize) -> Buffer {
        let mut to = take(self.active_rows[k].len() * width);
        self.copy_active(k, values, width, &mut to, scale_into);
        to
    }

    fn copy_active(
        &self,
        k: usize,
        from: &[f32],
        width: usize,
        to: &mut [f32],
        copy: impl Fn(f32, &[f32], &mut [f32]) + Sync,
    ) {
        let m = self.columns.len();
        to.par_chunks_mut(ROWS * width)
            .zip(self.active_rows[k].par_chunks(ROWS))
            .for_each(|(to, active)| {
                for (to, &row) in to.chunks_exact_mut(width).zip(active) {
                    copy(self.factors[row * m + k], &from[row * width..(row + 1) * width], to);
                }
            });
    }

    /// Adds `dx` `[D]`, the gradient of a response token's log-probability with respect to row `row` of the whole batch,
    /// to the pass's rows `to` `[R, D]`. `factor` returns the response's cotangent in a column of the batch.
    pub(crate) fn scatter(&self, row: usize, dx: &[f32], factor: impl Fn(usize) -> f32, to: &mut [f32]) {
        let d = dx.len();
        let Some(group) = self.group_index[self.whole.group_of(row)].map(|group| &self.groups[group]) else {
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
