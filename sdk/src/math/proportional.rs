//! Weights of any sum that are brought to 1.

/// x / Σx `[M]` for x >= 0; `otherwise` where the sum is at most `least`.
pub fn proportional(x: &[f64], otherwise: &[f64], least: f64) -> Vec<f64> {
    let sum: f64 = x.iter().sum();
    if sum > least && sum > 0.0 {
        x.iter().map(|x| x / sum).collect()
    } else {
        otherwise.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::proportional;

    #[test]
    fn by_hand() {
        assert_eq!(proportional(&[1.0, 3.0], &[0.5, 0.5], 0.0), [0.25, 0.75]);
        assert_eq!(proportional(&[0.0, 0.0], &[0.5, 0.5], 0.0), [0.5, 0.5]);
        assert_eq!(proportional(&[1e-13, 0.0], &[0.5, 0.5], 1e-12), [0.5, 0.5]);
    }
}
