//! Rows of row-major buffers: cut into the pieces of tasks, or copied together.

use std::ops::{Deref, Range};

use rayon::prelude::*;

use super::pool::{Buffer, take};

/// Rows that one task of a row-parallel kernel takes: the widest activation of a small model stays in L2.
pub(crate) const ROWS: usize = 256;

/// Ranges of `0..total` with `rows` rows each, the last one with the rest.
pub(crate) fn tasks(total: usize, rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..total)
        .step_by(rows)
        .map(move |start| start..total.min(start + rows))
}

/// The rows `rows` of `from` `[T, width]`.
pub(crate) fn part<'a>(from: &'a [f32], rows: &Range<usize>, width: usize) -> &'a [f32] {
    &from[rows.start * width..rows.end * width]
}

/// Hands out a buffer `[T, width]` from its first row to its last, a piece at a time.
pub(crate) struct Cut<'a> {
    rest: &'a mut [f32],
    width: usize,
}

impl<'a> Cut<'a> {
    pub(crate) fn new(buffer: &'a mut [f32], width: usize) -> Self {
        Cut { rest: buffer, width }
    }

    /// The next `rows` rows; fewer where the buffer ends, none if it is empty.
    pub(crate) fn next(&mut self, rows: usize) -> &'a mut [f32] {
        let rest = std::mem::take(&mut self.rest);
        let (piece, rest) = rest.split_at_mut((rows * self.width).min(rest.len()));
        self.rest = rest;
        piece
    }
}

/// A copy of the rows in `ranges` of `from` `[T, width]`.
pub(crate) fn copy_ranges(from: &[f32], width: usize, ranges: &[Range<usize>]) -> Buffer {
    let mut to = take(ranges.iter().map(|rows| rows.len() * width).sum());
    let mut cut = Cut::new(&mut to, width);
    let pieces: Vec<_> = ranges
        .iter()
        .map(|rows| (cut.next(rows.len()), part(from, rows, width)))
        .collect();
    pieces.into_par_iter().for_each(|(to, from)| to.copy_from_slice(from));
    to
}

/// Rows of a buffer: all of them as they are, or a copy of some.
pub(crate) enum Rows<'a> {
    All(&'a [f32]),
    Some(Buffer),
}

impl Deref for Rows<'_> {
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

    #[test]
    fn a_buffer_is_cut_into_the_tasks_of_its_rows() {
        let mut buffer: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let from = buffer.clone();
        let mut cut = Cut::new(&mut buffer, 2);
        let ranges: Vec<_> = tasks(5, 2).collect();
        assert_eq!(ranges, [0..2, 2..4, 4..5]);
        for rows in &ranges {
            assert_eq!(cut.next(rows.len()), part(&from, rows, 2));
        }
        assert!(cut.next(1).is_empty() && tasks(0, 2).next().is_none());
        assert_eq!(copy_ranges(&from, 2, &[3..5, 0..1])[..], [6.0, 7.0, 8.0, 9.0, 0.0, 1.0]);
    }
}
