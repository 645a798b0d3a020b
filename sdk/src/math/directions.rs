//! What all methods that weigh gradients agree on, so that each is only its rule. The Gramian G `[M, M]` is checked and
//! made symmetric. A gradient g_m with G_mm <= 1e-200 is zero. With one objective the weight is 1; where all gradients
//! are zero the weights are the given ones. A rule sees the K gradients that are not zero, as lengths and cosines, so
//! that nothing in it depends on how large gradients are.

use super::symmetric::Symmetric;
use crate::Result;
use crate::views::Matrix64;

/// A squared length up to this is taken for 0: the length is 1e-100, and its fourth power is still an f64.
const ZERO: f64 = 1e-200;

/// What is added to the diagonal of the cosines where gradients may depend on each other: of several answers a solver
/// then finds the one of least norm, and equal gradients share.
pub const RIDGE: f64 = 1e-10;

/// The K gradients of M that are not zero.
#[derive(Debug, Clone)]
pub struct Directions {
    m: usize,
    kept: Vec<usize>,
    lengths: Vec<f64>,
    cosines: Symmetric,
}

impl Directions {
    /// Of the Gramian `[M, M]` of M gradients.
    ///
    /// # Errors
    /// See [`Symmetric::new`].
    pub fn new(gram: Matrix64<'_>) -> Result<Self> {
        let gram = Symmetric::new(gram)?;
        let kept: Vec<usize> = (0..gram.n()).filter(|&i| gram.get(i, i) > ZERO).collect();
        let of_kept = gram.of(&kept);
        let lengths: Vec<f64> = of_kept.diagonal().iter().map(|d| d.sqrt()).collect();
        let cosines = Symmetric::from_fn(kept.len(), |i, j| {
            if i == j {
                1.0
            } else {
                of_kept.get(i, j) / lengths[i] / lengths[j]
            }
        });
        Ok(Self {
            m: gram.n(),
            kept,
            lengths,
            cosines,
        })
    }

    /// M: zero gradients are counted.
    pub fn m(&self) -> usize {
        self.m
    }

    /// K: they are not.
    pub fn k(&self) -> usize {
        self.kept.len()
    }

    /// d_k = √G_kk, `[K]`.
    pub fn lengths(&self) -> &[f64] {
        &self.lengths
    }

    /// C = D⁻¹ G D⁻¹ `[K, K]`.
    pub fn cosines(&self) -> &Symmetric {
        &self.cosines
    }

    /// C + [`RIDGE`] · I.
    pub fn ridged_cosines(&self) -> Symmetric {
        self.cosines.plus_ridge(RIDGE)
    }

    /// Of weights `[M]`, those of the K gradients.
    pub fn pick(&self, weights: &[f64]) -> Vec<f64> {
        self.kept.iter().map(|&m| weights[m]).collect()
    }

    /// y_k / d_k `[K]`: weights on gradients from those on gradients of length 1.
    pub fn per_length(&self, unit: &[f64]) -> Vec<f64> {
        unit.iter().zip(&self.lengths).map(|(y, d)| y / d).collect()
    }

    /// y_k d_k `[K]`: weights on gradients of length 1 from those on gradients.
    pub fn by_length(&self, weights: &[f64]) -> Vec<f64> {
        weights.iter().zip(&self.lengths).map(|(w, d)| w * d).collect()
    }
}

/// The weights `[M]` that `rule` gives to the gradients that are not zero, `[K]`; zero gradients get 0. `otherwise` is
/// returned where all are zero, `[1]` where there is one objective.
///
/// # Errors
/// See [`Symmetric::new`], or what the rule says.
pub fn weigh(
    gram: Matrix64<'_>,
    otherwise: &[f64],
    rule: impl FnOnce(&Directions) -> Result<Vec<f64>>,
) -> Result<Vec<f64>> {
    let directions = Directions::new(gram)?;
    match (directions.m, directions.k()) {
        (1, _) => Ok(vec![1.0]),
        (_, 0) => Ok(otherwise.to_vec()),
        (m, _) => {
            let mut weights = vec![0.0; m];
            let found = rule(&directions)?;
            directions.kept.iter().zip(found).for_each(|(&m, w)| weights[m] = w);
            Ok(weights)
        }
    }
}

/// `given` `[M]` and what `rule` adds for the gradients that are not zero, `[K]`; zero gradients keep their weight.
///
/// # Errors
/// See [`weigh`].
pub fn correct(
    gram: Matrix64<'_>,
    given: &[f64],
    rule: impl FnOnce(&Directions) -> Result<Vec<f64>>,
) -> Result<Vec<f64>> {
    let added = weigh(gram, &vec![0.0; given.len()], rule)?;
    if given.len() == 1 {
        return Ok(added);
    }
    Ok(given.iter().zip(added).map(|(given, added)| given + added).collect())
}

/// J Jᵀ, row-major `[M, M]`, of M gradients `[M, D]`: for tests and examples of a method.
pub fn gramian(gradients: &[Vec<f64>]) -> Vec<f64> {
    let product = |a: &[f64], b: &[f64]| super::symmetric::dot(a, b);
    gradients
        .iter()
        .flat_map(|a| gradients.iter().map(move |b| product(a, b)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{correct, gramian, weigh};
    use crate::views::Matrix64;

    #[test]
    fn the_conventions_hold_whatever_the_rule() -> crate::Result<()> {
        let weighed = |gram: &[f64], m: usize| {
            let gram = Matrix64::new("gram", gram, m, m)?;
            let all = weigh(gram, &vec![0.25; m], |d| Ok(vec![7.0; d.k()]))?;
            Ok::<_, crate::Error>((all, correct(gram, &vec![0.25; m], |d| Ok(vec![7.0; d.k()]))?))
        };
        assert_eq!(weighed(&[4.0], 1)?, (vec![1.0], vec![1.0]));
        assert_eq!(weighed(&[0.0], 1)?, (vec![1.0], vec![1.0]));
        assert_eq!(weighed(&[0.0; 4], 2)?, (vec![0.25; 2], vec![0.25; 2]));
        assert_eq!(
            weighed(&[1e-200, 0.0, 0.0, 1.0], 2)?,
            (vec![0.0, 7.0], vec![0.25, 7.25])
        );
        assert!(weighed(&[f64::INFINITY], 1).is_err());
        Ok(())
    }

    #[test]
    fn lengths_and_cosines_are_of_the_gradients_that_are_not_zero() -> crate::Result<()> {
        let gram = gramian(&[vec![3.0, 0.0], vec![0.0, 0.0], vec![4.0, 3.0]]);
        let directions = super::Directions::new(Matrix64::new("gram", &gram, 3, 3)?)?;
        assert_eq!(directions.lengths(), [3.0, 5.0]);
        assert!((directions.cosines().get(0, 1) - 0.8).abs() < 1e-15);
        assert_eq!(directions.pick(&[0.1, 0.2, 0.7]), [0.1, 0.7]);
        assert_eq!(directions.per_length(&directions.by_length(&[2.0, 1.0])), [2.0, 1.0]);
        assert_eq!((directions.m(), directions.k()), (3, 2));
        Ok(())
    }
}
