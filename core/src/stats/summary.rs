//! One sample in a few numbers, and several p values as one family.

use statrs::distribution::{Continuous, ContinuousCDF, StudentsT};

/// A sample in a few numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Values in the sample.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation; 0 for a single value.
    pub sd: f64,
    /// Half the width of the 95 % t interval of the mean; none for a single value.
    pub half: Option<f64>,
    /// Interquartile mean: the mean without the ⌊n/4⌋ smallest and the ⌊n/4⌋ largest values.
    pub iqm: f64,
}

/// The summary of `values`; none without any.
#[must_use]
pub fn summary(values: &[f64]) -> Option<Summary> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let sd = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { 0.0 };
    let half = (n > 1).then(|| t_quantile(0.975, (n - 1) as f64) * sd / (n as f64).sqrt());
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let iqm = self::mean(&sorted[n / 4..n - n / 4]);
    Some(Summary { n, mean, sd, half, iqm })
}

/// Mean; NaN without any value.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Quantile of Student's t distribution with `df` degrees of freedom; NaN where `df` is not above 0.
#[must_use]
pub fn t_quantile(p: f64, df: f64) -> f64 {
    StudentsT::new(0.0, 1.0, df).map_or(f64::NAN, |student| {
        // statrs gives eight digits where df is large; two steps of Newton's method give the rest.
        (0..2).fold(student.inverse_cdf(p), |t, _| t - (student.cdf(t) - p) / student.pdf(t))
    })
}

/// Probability that Student's t is at most `t`.
#[must_use]
pub fn t_below(t: f64, df: f64) -> f64 {
    StudentsT::new(0.0, 1.0, df).map_or(f64::NAN, |student| student.cdf(t))
}

/// Holm's adjustment of a family of p values, in their order: an adjusted value below α is significant at α whatever the
/// others are.
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut adjusted, mut largest) = (vec![0.0; p.len()], 0.0_f64);
    for (rank, &i) in order.iter().enumerate() {
        largest = largest.max((p[i] * (p.len() - rank) as f64).min(1.0));
        adjusted[i] = largest;
    }
    adjusted
}

/// Probability that a value of `x` is above one of `y`, ties counting half (Mann and Whitney's U over the pairs); none
/// where one is empty.
#[must_use]
pub fn probability_of_improvement(x: &[f64], y: &[f64]) -> Option<f64> {
    let pairs = x.len() * y.len();
    let above = |&a: &f64| -> f64 {
        let of = |&b: &f64| f64::from(a > b) + 0.5 * f64::from(a == b);
        y.iter().map(of).sum()
    };
    (pairs > 0).then(|| x.iter().map(above).sum::<f64>() / pairs as f64)
}
