//! Rows by group, and the statistics over some rows that estimators and metrics share.
//!
//! Values come from f32 arrays and are summed in f64: n copies of one f32 sum and divide without
//! rounding, so equal rewards centre to exactly 0 and no signal is made out of none.

use std::collections::BTreeMap;

/// The rows of one prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The number that its completions carry.
    pub id: u32,
    /// Indices of its completions, ascending; never empty.
    pub rows: Vec<usize>,
}

/// The rows of each group, groups by ascending number. Rows of a group need not stand together.
#[must_use]
pub fn rows_by_group(groups: &[u32]) -> Vec<Group> {
    let mut rows: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (row, &group) in groups.iter().enumerate() {
        rows.entry(group).or_default().push(row);
    }
    rows.into_iter().map(|(id, rows)| Group { id, rows }).collect()
}

/// Mean of `values` over `rows`; 0 for no rows.
#[must_use]
pub fn mean(values: &[f64], rows: &[usize]) -> f64 {
    if rows.is_empty() {
        return 0.0;
    }
    rows.iter().map(|&row| values[row]).sum::<f64>() / rows.len() as f64
}

/// Sample standard deviation (n − 1) of `values` over `rows`; 0 for fewer than two rows.
#[must_use]
pub fn sample_std(values: &[f64], rows: &[usize]) -> f64 {
    let squares: f64 = centred(values, rows).iter().map(|v| v * v).sum();
    (squares / rows.len().saturating_sub(1).max(1) as f64).sqrt()
}

/// `values` less their mean, over `rows`, in the order of `rows`.
#[must_use]
pub fn centred(values: &[f64], rows: &[usize]) -> Vec<f64> {
    let mean = mean(values, rows);
    rows.iter().map(|&row| values[row] - mean).collect()
}
