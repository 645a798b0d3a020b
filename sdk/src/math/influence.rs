//! Weights that follow gradients: how much the mixed update would do for each objective, and the multiplicative
//! step that turns it into weights.

use crate::views::Matrix64;
use crate::{Error, Result};

/// I = G·1 `[M]`: the product of each objective's gradient with the sum of all (Lu et al., arXiv 2509.11452). With
/// `clip_norm`, each gradient is first shortened to at most that length, which the Gramian is enough for:
/// G_ij f_i f_j with f_i = min(1, clip / √G_ii). Error: an entry of G that is not finite.
pub fn influence(gram: Matrix64<'_>, clip_norm: Option<f64>) -> Result<Vec<f64>> {
    let factors: Vec<f64> = (0..gram.rows())
        .map(|m| {
            let norm = gram.get(m, m).max(0.0).sqrt();
            clip_norm.filter(|clip| norm > *clip).map_or(1.0, |clip| clip / norm)
        })
        .collect();
    let sums: Vec<f64> = gram
        .iter_rows()
        .zip(&factors)
        .map(|(row, factor)| row.iter().zip(&factors).map(|(g, f)| factor * f * g).sum())
        .collect();
    match sums.iter().position(|sum| !sum.is_finite()) {
        Some(m) => Err(Error::new(format!(
            "the gradient of objective {m} has products {:?} with the others, expected finite numbers",
            gram.row(m)
        ))),
        None => Ok(sums),
    }
}

/// w_m · exp(x_m) / Σ_k w_k · exp(x_k): a step of exponentiated gradient (Kivinen and Warmuth, "Exponentiated
/// gradient versus gradient descent for linear predictors", Information and Computation 132, 1997). `weights` are 0 or
/// more, at least one of them above 0. A weight of 0 stays 0; any other stays above it, so that it can come back
/// however large a step was. Error: an x that is not finite.
pub fn exponentiated_gradient(weights: &[f64], x: &[f64]) -> Result<Vec<f64>> {
    if let Some((m, x)) = x.iter().enumerate().find(|(_, x)| !x.is_finite()) {
        return Err(Error::new(format!(
            "the logarithm of weight {m} would change by {x}, expected a finite number"
        )));
    }
    let logs: Vec<f64> = weights.iter().zip(x).map(|(w, x)| w.ln() + x).collect();
    Ok(super::softmax(&logs)
        .into_iter()
        .zip(weights)
        .map(|(new, old)| if *old > 0.0 { new.max(f64::MIN_POSITIVE) } else { 0.0 })
        .collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{exponentiated_gradient, influence};
    use crate::Result;
    use crate::testing::cases::cases;
    use crate::views::Matrix64;

    #[test]
    fn influence_is_the_row_sums_of_the_clipped_gramian() -> Result<()> {
        // Gradients (3, 0) and (4, 3): lengths 3 and 5.
        let gram = Matrix64::new("gram", &[9.0, 12.0, 12.0, 25.0], 2, 2)?;
        assert_eq!(influence(gram, None)?, [21.0, 37.0]);
        assert_eq!(influence(gram, Some(5.0))?, [21.0, 37.0]);
        // At length 1: (1, 0) and (0.8, 0.6), which have the product 0.8.
        for i in influence(gram, Some(1.0))? {
            assert!((i - 1.8).abs() < 1e-15);
        }
        let nan = Matrix64::new("gram", &[9.0, f64::NAN, 0.0, 1.0], 2, 2)?;
        assert!(influence(nan, None).is_err());
        assert_eq!(
            influence(Matrix64::new("gram", &[0.0; 4], 2, 2)?, Some(1.0))?,
            [0.0, 0.0]
        );
        Ok(())
    }

    #[test]
    fn weights_are_multiplied_and_none_is_lost() -> Result<()> {
        let w = exponentiated_gradient(&[0.5, 0.5], &[2_f64.ln(), 0.0])?;
        assert!((w[0] - 2.0 / 3.0).abs() < 1e-15 && (w[1] - 1.0 / 3.0).abs() < 1e-15);
        let far = exponentiated_gradient(&[0.5, 0.5, 0.0], &[1e19, 0.0, 1e20])?;
        assert!(far[0] == 1.0 && far[1] > 0.0 && far[2] == 0.0, "{far:?}");
        assert!(exponentiated_gradient(&far, &[0.0, 1e19, 0.0])?[1] == 1.0);
        let error = exponentiated_gradient(&[0.5, 0.5], &[0.0, f64::INFINITY]).expect_err("refused");
        assert!(error.message.contains("weight 1 would change by inf"));
        Ok(())
    }

    proptest! {
        #![proptest_config(cases(128, 5))]

        /// However large a step: the weights stay on the simplex, one of 0 stays 0 and any other stays above it.
        #[test]
        fn a_step_stays_on_the_simplex(
            (weights, x) in (1_usize..8).prop_flat_map(|m| {
                (prop::collection::vec(0.0_f64..1.0, m), prop::collection::vec(-1e25_f64..1e25, m))
            }),
            zero in 0_usize..8,
        ) {
            let mut weights = weights;
            weights[0] += 0.1;
            if let Some(weight) = weights.iter_mut().skip(1).nth(zero) {
                *weight = 0.0;
            }
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= sum);
            let after = exponentiated_gradient(&weights, &x).map_err(|e| TestCaseError::fail(e.message))?;
            prop_assert!((after.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{:?}", after);
            for (before, after) in weights.iter().zip(&after) {
                prop_assert_eq!(*before > 0.0, *after > 0.0);
            }
        }
    }
}
