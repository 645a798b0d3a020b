//! The spread of numbers around their mean, and numbers brought to spread 1.

use super::groups::mean;

/// What is added to a spread before it is divided by, as TRL's GDPO does.
const EPSILON: f64 = 1e-4;

/// Sample standard deviation: √(Σ (x − x̄)² / (n − 1)); 0 for fewer than two numbers.
pub fn deviation(x: &[f64]) -> f64 {
    if x.len() < 2 {
        return 0.0;
    }
    // In units of the largest number, whose square may be no f64.
    let largest = x.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    if largest <= 0.0 {
        return 0.0;
    }
    let centre = mean(x);
    let squares: f64 = x.iter().map(|x| ((x - centre) / largest).powi(2)).sum();
    #[allow(clippy::cast_precision_loss, reason = "counts are small")]
    let freedom = (x.len() - 1) as f64;
    largest * (squares / freedom).sqrt()
}

/// (x − x̄) / (σ + 1e-4), `[N]`, for the sample deviation σ: the whitening of GDPO (arXiv 2601.05242) over a batch.
pub fn whitened(x: &[f64]) -> Vec<f64> {
    let (centre, spread) = (mean(x), deviation(x) + EPSILON);
    x.iter().map(|x| (x - centre) / spread).collect()
}

#[cfg(test)]
mod tests {
    use super::{deviation, whitened};

    #[test]
    fn by_hand() {
        assert!((deviation(&[1.0, 3.0]) - 2.0_f64.sqrt()).abs() < 1e-15);
        assert_eq!(
            (deviation(&[]), deviation(&[7.0]), deviation(&[0.0, 0.0])),
            (0.0, 0.0, 0.0)
        );
        assert!((deviation(&[1e200, 3e200]) / 1e200 - 2.0_f64.sqrt()).abs() < 1e-15);
        let found = whitened(&[1.0, 3.0]);
        assert!((found[1] - 1.0 / (2.0_f64.sqrt() + 1e-4)).abs() < 1e-15 && found[0] == -found[1]);
        assert_eq!(whitened(&[0.5, 0.5]), [0.0, 0.0]);
    }
}
