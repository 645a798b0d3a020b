//! Eigenvalues and eigenvectors of a small symmetric matrix, by cyclic Jacobi rotations: Golub and Van Loan, "Matrix
//! Computations", 4th edition, section 8.5. Slow and accurate; M is small.

use super::symmetric::{Symmetric, dot};

/// Rounds of rotations; five or six are enough for matrices of any size in use.
const ROUNDS: usize = 60;

/// The eigenvalues, least first, each with its eigenvector `[N]` of length 1.
pub fn eigen(matrix: &Symmetric) -> Vec<(f64, Vec<f64>)> {
    let n = matrix.n();
    let mut a: Vec<Vec<f64>> = (0..n).map(|i| matrix.row(i).to_vec()).collect();
    // Row k is the k-th eigenvector.
    let mut vectors: Vec<Vec<f64>> = (0..n)
        .map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect())
        .collect();
    for _ in 0..ROUNDS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                // Beside the diagonal entries it would change nothing.
                if a[p][q].abs() <= f64::EPSILON * 1e-3 * (a[p][p].abs() * a[q][q].abs()).sqrt() {
                    continue;
                }
                rotated = true;
                let half = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let tangent = half.signum() / (half.abs() + half.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = tangent * cosine;
                let turn = |x: f64, y: f64| (cosine * x - sine * y, sine * x + cosine * y);
                for row in &mut a {
                    (row[p], row[q]) = turn(row[p], row[q]);
                }
                for k in 0..n {
                    (a[p][k], a[q][k]) = turn(a[p][k], a[q][k]);
                    (vectors[p][k], vectors[q][k]) = turn(vectors[p][k], vectors[q][k]);
                }
                (a[p][q], a[q][p]) = (0.0, 0.0);
            }
        }
        if !rotated {
            break;
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> = (0..n).map(|i| a[i][i]).zip(vectors).collect();
    pairs.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    pairs
}

/// A⁺ b `[N]`: the least-norm solution of A x = b, without the directions whose eigenvalue is at most `cut_off` times
/// the largest.
pub fn pseudo_solve(matrix: &Symmetric, b: &[f64], cut_off: f64) -> Vec<f64> {
    let pairs = eigen(matrix);
    let largest = pairs.last().map_or(0.0, |(value, _)| *value);
    let mut x = vec![0.0; matrix.n()];
    for (value, vector) in pairs
        .iter()
        .filter(|(value, _)| *value > cut_off * largest && *value > 0.0)
    {
        let along = dot(vector, b) / value;
        x.iter_mut().zip(vector).for_each(|(x, v)| *x += along * v);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::{Symmetric, dot, eigen, pseudo_solve};
    use crate::Rng;

    /// A v = λ v, the vectors are orthonormal, and the values ascend: for matrices of full and of lower rank, whose rows
    /// have lengths up to 1e6 apart.
    #[test]
    fn vectors_are_orthonormal_and_belong_to_their_values() {
        let mut rng = Rng::new(6);
        for case in 0..600 {
            let (n, rank) = (1 + case % 8, 1 + rng.below(9));
            let rows: Vec<Vec<f64>> = (0..n)
                .map(|_| {
                    let length = 10_f64.powf(6.0 * rng.uniform() - 3.0);
                    (0..rank).map(|_| length * rng.normal()).collect()
                })
                .collect();
            let a = Symmetric::from_fn(n, |i, j| dot(&rows[i], &rows[j]));
            let pairs = eigen(&a);
            let largest = pairs[n - 1].0;
            assert!(pairs.is_sorted_by(|(one, _), (other, _)| one <= other));
            for (i, (value, vector)) in pairs.iter().enumerate() {
                for (found, v) in a.times(vector).iter().zip(vector) {
                    assert!((found - value * v).abs() <= 1e-13 * largest, "{found} {value} {v}");
                }
                for (j, (_, other)) in pairs.iter().enumerate() {
                    let expected = f64::from(u8::from(i == j));
                    assert!((dot(vector, other) - expected).abs() < 1e-13);
                }
                // Of rank r, all but r eigenvalues are 0.
                assert!(i + rank >= n || value.abs() <= 1e-13 * largest);
            }
        }
    }

    #[test]
    fn two_by_two_by_hand_and_zero() {
        // Eigenvalues 1 and 3 along (1, −1) and (1, 1).
        let a = Symmetric::from_fn(2, |i, j| if i == j { 2.0 } else { 1.0 });
        let pairs = eigen(&a);
        assert!((pairs[0].0 - 1.0).abs() < 1e-15 && (pairs[1].0 - 3.0).abs() < 1e-15);
        assert!((pairs[1].1[0] - pairs[1].1[1]).abs() < 1e-15);
        assert_eq!(
            pseudo_solve(&Symmetric::from_fn(2, |_, _| 0.0), &[1.0, 1.0], 1e-9),
            [0.0, 0.0]
        );
        // The same row twice: what is asked for is shared.
        let shared = pseudo_solve(&Symmetric::from_fn(2, |_, _| 2.0), &[1.0, 1.0], 1e-9);
        assert!(shared.iter().all(|x| (x - 0.25).abs() < 1e-15), "{shared:?}");
    }
}
