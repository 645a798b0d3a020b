//! Weights of any sum that are brought to 1, and the rows of a batch mixed with weights.

use crate::views::Matrix;

/// x / Σx `[M]` for x >= 0; `otherwise` where the sum is at most `least`.
pub fn proportional(x: &[f64], otherwise: &[f64], least: f64) -> Vec<f64> {
    let sum: f64 = x.iter().sum();
    if sum > least && sum > 0.0 {
        x.iter().map(|x| x / sum).collect()
    } else {
        otherwise.to_vec()
    }
}

/// Σ_m w_m x_bm `[B]` for weights `[M]` and rows `[B, M]`.
pub fn mixed(rows: Matrix<'_>, weights: &[f64]) -> Vec<f64> {
    let one = |row: &[f32]| row.iter().zip(weights).map(|(x, w)| w * f64::from(*x)).sum();
    rows.iter_rows().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::{mixed, proportional};
    use crate::views::Matrix;

    #[test]
    fn by_hand() -> crate::Result<()> {
        assert_eq!(proportional(&[1.0, 3.0], &[0.5, 0.5], 0.0), [0.25, 0.75]);
        assert_eq!(proportional(&[0.0, 0.0], &[0.5, 0.5], 0.0), [0.5, 0.5]);
        assert_eq!(proportional(&[1e-13, 0.0], &[0.5, 0.5], 1e-12), [0.5, 0.5]);
        let rows = Matrix::new("rows", &[1.0, 2.0, 0.0, -4.0], 2, 2)?;
        assert_eq!(mixed(rows, &[0.5, 0.25]), [1.0, -1.0]);
        Ok(())
    }
}
