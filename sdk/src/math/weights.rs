//! Weights of objectives: the check of what a user gives, and maps onto the simplex {w >= 0, Σ w = 1}.

use crate::{Error, Result};

/// How far from 1 the sum of given weights may be: room for decimals such as 0.333 + 0.333 + 0.334 in f32.
const SUM_TOLERANCE: f64 = 1e-6;

/// The weights `[M]` on the simplex, or equal ones where none are given. `T` is f32 or f64: the type in which the method
/// keeps them.
///
/// # Errors
/// Not M of them, not finite, below 0, or a sum that is not 1 ± 1e-6; the message names the sum.
pub fn simplex_weights<T: From<f32>>(weights: &[f32], m: usize) -> Result<Vec<T>> {
    if m == 0 {
        return Err(Error::new("there are no objectives, expected at least one"));
    }
    if weights.is_empty() {
        #[allow(clippy::cast_precision_loss, reason = "M is small")]
        return Ok((0..m).map(|_| T::from(1.0 / m as f32)).collect());
    }
    if weights.len() != m {
        return Err(Error::new(format!(
            "weights has {} values, expected {m}, one for each objective",
            weights.len()
        ))
        .hint(format!(
            "give {m} weights that sum to 1, or leave them out: equal weights then"
        )));
    }
    if let Some(bad) = weights.iter().find(|w| !w.is_finite() || **w < 0.0) {
        return Err(Error::new(format!(
            "weights {weights:?} contain {bad}, expected finite numbers >= 0"
        )));
    }
    // Each f32 is read as the decimal that the user typed, so that only the sum's own error counts.
    let sum: f64 = weights
        .iter()
        .map(|w| w.to_string().parse::<f64>().unwrap_or(f64::from(*w)))
        .sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(Error::new(format!(
            "weights {weights:?} sum to {}, expected 1 ± 1e-6",
            (sum * 1e9).round() / 1e9
        ))
        .hint("divide each weight by the sum"));
    }
    Ok(weights.iter().map(|weight| T::from(*weight)).collect())
}

/// The numbers of a param, one for each of `m` objectives; a single number stands for all. `what` is the key.
///
/// # Errors
/// Another count, or a number that is not finite.
pub fn broadcast(what: &str, numbers: &[f64], m: usize) -> Result<Vec<f64>> {
    if let Some(bad) = numbers.iter().find(|number| !number.is_finite()) {
        return Err(Error::new(format!("{what} contains {bad}, expected finite numbers")));
    }
    match numbers {
        [all] => Ok(vec![*all; m]),
        _ if numbers.len() == m => Ok(numbers.to_vec()),
        _ => Err(Error::new(format!(
            "{what} has {} values, expected {m}, one for each objective, or one for all",
            numbers.len()
        ))
        .hint(format!("give {m} numbers for {what}, or one"))),
    }
}

/// exp(x) / Σ exp(x), shifted by the maximum so that no exponential overflows.
pub fn softmax(x: &[f64]) -> Vec<f64> {
    let maximum = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = x.iter().map(|x| (x - maximum).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

/// The point of the simplex that is nearest to `x` in the Euclidean norm, by sorting: Duchi, Shalev-Shwartz,
/// Singer, Chandra, "Efficient projections onto the l1-ball", ICML 2008, figure 1. `x` is finite.
pub fn project_to_simplex(x: &[f64]) -> Vec<f64> {
    let mut sorted = x.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (mut sum, mut count, mut shift) = (0.0, 0.0, 0.0);
    for value in sorted {
        sum += value;
        count += 1.0;
        // The entries that stay positive are the first ones for which this holds.
        let candidate = (sum - 1.0) / count;
        if value > candidate {
            shift = candidate;
        }
    }
    x.iter().map(|value| (value - shift).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{broadcast, project_to_simplex, simplex_weights, softmax};
    use crate::Rng;
    use crate::signal::to_f32;
    use crate::testing::cases::cases;

    #[test]
    fn weights_are_checked() -> crate::Result<()> {
        assert_eq!(simplex_weights::<f32>(&[], 4)?, [0.25; 4]);
        simplex_weights::<f64>(&[0.333, 0.333, 0.334], 3)?;
        simplex_weights::<f64>(&[0.5, 0.500_000_9], 2)?;
        let refused = |w: &[f32], m| simplex_weights::<f64>(w, m).expect_err("refused").message;
        assert!(refused(&[0.5, 0.500_002], 2).contains("1.000002"));
        assert!(refused(&[0.5, 0.4], 2).contains("sum to 0.9,"));
        assert!(refused(&[1.0], 2).contains("has 1 values, expected 2"));
        assert!(refused(&[1.5, -0.5], 2).contains("-0.5"));
        assert!(refused(&[f32::NAN, 1.0], 2).contains("NaN"));
        assert!(simplex_weights::<f64>(&[], 0).is_err());
        Ok(())
    }

    #[test]
    fn one_number_stands_for_all() -> crate::Result<()> {
        assert_eq!(broadcast("k", &[0.5], 3)?, [0.5; 3]);
        assert_eq!(to_f32(&broadcast("k", &[0.1, 0.2], 2)?), [0.1, 0.2]);
        let refused = |numbers: &[f64]| broadcast("k", numbers, 3).expect_err("refused").message;
        assert!(refused(&[0.1, 0.2]).contains("k has 2 values, expected 3"));
        assert!(refused(&[f64::NAN]).contains("k contains NaN"));
        Ok(())
    }

    #[test]
    fn softmax_does_not_overflow() {
        assert_eq!(softmax(&[1000.0, 1000.0]), [0.5, 0.5]);
        assert_eq!(softmax(&[-1e6, 0.0]), [0.0, 1.0]);
    }

    #[test]
    fn projection_meets_the_optimality_conditions() {
        assert_eq!(project_to_simplex(&[0.2, 0.3, 0.5]), [0.2, 0.3, 0.5]);
        assert_eq!(project_to_simplex(&[2.0, 0.0]), [1.0, 0.0]);
        let mut rng = Rng::new(3);
        for _ in 0..200 {
            let x: Vec<f64> = (0..5).map(|_| 2.0 * rng.normal()).collect();
            let w = project_to_simplex(&x);
            assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            // Every positive entry was shifted by the same amount, every zero one by no more than that.
            let shift = x
                .iter()
                .zip(&w)
                .filter(|(_, w)| **w > 0.0)
                .map(|(x, w)| x - w)
                .fold(f64::NEG_INFINITY, f64::max);
            for (x, w) in x.iter().zip(&w) {
                assert!(if *w > 0.0 {
                    (x - w - shift).abs() < 1e-12
                } else {
                    *x <= shift + 1e-12
                });
            }
        }
    }

    proptest! {
        #![proptest_config(cases(128, 4))]

        /// Whatever a user divides by its sum is accepted; whatever is off by more than the tolerance is not.
        #[test]
        fn normalized_weights_are_accepted_and_others_refused(
            raw in prop::collection::vec(0.01_f32..1.0, 1..9),
            off in 1e-3_f32..0.5,
        ) {
            let sum: f64 = raw.iter().map(|w| f64::from(*w)).sum();
            let weights: Vec<f32> = to_f32(raw.iter().map(|w| f64::from(*w) / sum));
            prop_assert_eq!(simplex_weights::<f32>(&weights, weights.len()).map_err(|e| e.message), Ok(weights.clone()));
            let larger: Vec<f32> = weights.iter().map(|w| w * (1.0 + off)).collect();
            prop_assert!(simplex_weights::<f64>(&larger, larger.len()).is_err());
        }

        /// No point of the simplex is nearer than the projection.
        #[test]
        fn the_projection_is_the_nearest_point(
            (x, other) in (1_usize..8).prop_flat_map(|m| {
                (prop::collection::vec(-1e3_f64..1e3, m), prop::collection::vec(0.01_f64..1.0, m))
            }),
        ) {
            let distance = |w: &[f64]| x.iter().zip(w).map(|(x, w)| (x - w).powi(2)).sum::<f64>();
            let projected = project_to_simplex(&x);
            prop_assert!(projected.iter().all(|w| *w >= 0.0));
            prop_assert!((projected.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            let sum: f64 = other.iter().sum();
            let other: Vec<f64> = other.iter().map(|w| w / sum).collect();
            prop_assert!(distance(&projected) <= distance(&other) * (1.0 + 1e-9));
        }
    }
}
