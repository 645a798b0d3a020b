//! Statistics within groups: the completions of one prompt, `groups[b]` saying which. Sums are in f64;
//! covariances are population covariances (divided by the count), as the papers' code has them.

use std::collections::BTreeMap;

use crate::Result;
use crate::views::check_len;

/// For each group, in the order in which it first appears, its number and the rows that belong to it.
pub fn groups_of(groups: &[u32]) -> Vec<(u32, Vec<usize>)> {
    let mut place = BTreeMap::new();
    let mut members: Vec<(u32, Vec<usize>)> = Vec::new();
    for (row, group) in groups.iter().enumerate() {
        let index = *place.entry(*group).or_insert_with(|| {
            members.push((*group, Vec::new()));
            members.len() - 1
        });
        members[index].1.push(row);
    }
    members
}

/// Mean; 0 for nothing.
pub fn mean(x: &[f64]) -> f64 {
    if x.is_empty() {
        return 0.0;
    }
    #[allow(clippy::cast_precision_loss, reason = "counts are small")]
    let count = x.len() as f64;
    x.iter().sum::<f64>() / count
}

/// For each row, the mean of `values` over its group, `[B]`. Error: not B values.
pub fn group_means(values: &[f64], groups: &[u32]) -> Result<Vec<f64>> {
    check_len("values", values.len(), groups.len())?;
    let mut means = vec![0.0; values.len()];
    for (_, rows) in groups_of(groups) {
        let members: Vec<f64> = rows.iter().map(|row| values[*row]).collect();
        let mean = mean(&members);
        for row in rows {
            means[row] = mean;
        }
    }
    Ok(means)
}

/// Population covariance of pairs: mean of (x − x̄)(y − ȳ); 0 for nothing. What stands beyond the shorter
/// list is not looked at.
pub fn covariance(x: &[f64], y: &[f64]) -> f64 {
    let count = x.len().min(y.len());
    let (x, y) = (&x[..count], &y[..count]);
    let (x_mean, y_mean) = (mean(x), mean(y));
    let products: Vec<f64> = x.iter().zip(y).map(|(x, y)| (x - x_mean) * (y - y_mean)).collect();
    mean(&products)
}

/// Pearson correlation of pairs; 0 where the product of the standard deviations is at most 1e-8, which is
/// where all values are equal but for rounding.
pub fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let deviations = (covariance(x, x) * covariance(y, y)).sqrt();
    if deviations <= 1e-8 {
        0.0
    } else {
        covariance(x, y) / deviations
    }
}

#[cfg(test)]
mod tests {
    use super::{correlation, covariance, group_means, groups_of};

    #[test]
    fn groups_keep_their_first_appearance() {
        assert_eq!(groups_of(&[7, 2, 7, 2, 2]), [(7, vec![0, 2]), (2, vec![1, 3, 4])]);
    }

    #[test]
    fn means_are_within_groups() -> crate::Result<()> {
        let means = group_means(&[1.0, 10.0, 3.0, 20.0], &[0, 1, 0, 1])?;
        assert_eq!(means, [2.0, 15.0, 2.0, 15.0]);
        assert!(group_means(&[1.0], &[0, 0]).is_err());
        Ok(())
    }

    #[test]
    fn covariance_divides_by_the_count() {
        // Means 2 and 4; products 2, 0, 2: 4/3.
        assert!((covariance(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 4.0 / 3.0).abs() < 1e-15);
        assert_eq!(covariance(&[], &[]), 0.0);
    }

    #[test]
    fn correlation_is_one_for_lines_and_zero_for_constants() {
        assert!((correlation(&[1.0, 2.0, 3.0], &[-1.0, -2.0, -3.0]) + 1.0).abs() < 1e-12);
        assert_eq!(correlation(&[1.0, 1.0], &[0.0, 1.0]), 0.0);
    }
}
