//! The point of least norm in the convex hull of M gradients, from their Gramian G `[M, M]`: argmin wᵀGw over the
//! simplex {w >= 0, Σ w = 1}. Its gradient Σ w_m g_m has a product with every g_m that is at least its own squared
//! norm, so no objective gets worse along it (Désidéri, "Multiple-gradient descent algorithm (MGDA) for
//! multiobjective optimization", Comptes Rendus Mathématique 350, 2012).
//!
//! Exact, by an active set: Wolfe, "Finding the nearest point in a polytope", Mathematical Programming 11, 1976.
//! A corral S of affinely independent gradients is kept; in each round the gradient that violates the optimality
//! condition most joins it, and the least point of its affine hull is gone to, dropping what would get a negative
//! weight. The norm falls in every round, so that no corral comes back and the search ends.

use crate::views::Matrix64;
use crate::{Error, Result};

/// How far, in units of what rounding does to (Gw)_m, the optimality condition may be missed.
const SLACK: f64 = 1e-13;
/// A gradient that adds less than this share of its squared length to the affine hull lies in it.
const INDEPENDENT: f64 = 1e-14;

/// argmin wᵀGw over the simplex, `[M]`. Where every gradient is zero all weights are equal, and objectives with
/// the same row in G get equal shares. Error: G is not square, has no row, or has an entry that is not finite.
pub fn min_norm_point(gram: Matrix64<'_>) -> Result<Vec<f64>> {
    let g = symmetric(gram)?;
    let m = g.len();
    let mut w = match m {
        1 => vec![1.0],
        2 => of_two(&g),
        _ => wolfe(&g),
    };
    share_among_equals(&g, &mut w);
    Ok(w)
}

/// G as rows, symmetric to the last bit, divided by its largest diagonal entry so that nothing overflows.
fn symmetric(gram: Matrix64<'_>) -> Result<Vec<Vec<f64>>> {
    let m = gram.rows();
    if m == 0 || gram.columns() != m {
        return Err(Error::new(format!(
            "the Gramian is {m} by {}, expected a square one with at least one row",
            gram.columns()
        )));
    }
    if let Some(at) = gram.as_slice().iter().position(|x| !x.is_finite()) {
        return Err(Error::new(format!(
            "the Gramian's entry [{}, {}] is {}, expected a finite number",
            at / m,
            at % m,
            gram.as_slice()[at]
        )));
    }
    let largest = (0..m).map(|i| gram.get(i, i)).fold(0.0, f64::max);
    let unit = if largest > 0.0 { largest } else { 1.0 };
    Ok((0..m)
        .map(|i| {
            (0..m)
                .map(|j| 0.5 * (gram.get(i, j) / unit + gram.get(j, i) / unit))
                .collect()
        })
        .collect())
}

/// Two objectives in closed form: where d = g_0 − g_1, w_0 = −g_1·d / d·d and w_1 = g_0·d / d·d, kept within
/// [0, 1]. Each by itself: of a long gradient's small weight, 1 − w would leave few digits.
fn of_two(g: &[Vec<f64>]) -> Vec<f64> {
    let apart = g[0][0] + g[1][1] - 2.0 * g[0][1];
    if apart <= 0.0 {
        return vec![0.5; 2]; // the same gradient twice
    }
    [g[1][1], g[0][0]]
        .map(|other| ((other - g[0][1]) / apart).clamp(0.0, 1.0))
        .to_vec()
}

fn wolfe(g: &[Vec<f64>]) -> Vec<f64> {
    let m = g.len();
    let lengths: Vec<f64> = (0..m).map(|i| g[i][i].max(0.0).sqrt()).collect();
    let shortest = (0..m).fold(0, |best, i| if g[i][i] < g[best][best] { i } else { best });
    let mut corral = vec![shortest];
    let mut w = vec![0.0; m];
    w[shortest] = 1.0;
    // Every corral comes at most once, and a run of them is short; the bound is for rounding only.
    for _ in 0..64 * m {
        let products: Vec<f64> = g.iter().map(|row| dot(row, &w)).collect();
        let square = dot(&products, &w);
        // (Gw)_j is rounded to about ε · |g_j| · Σ w_i |g_i|: what is missed by less is met.
        let size = dot(&w, &lengths);
        let violation = |j: usize| (square - products[j]) / (lengths[j] * size);
        let worst = (0..m)
            .filter(|j| !corral.contains(j) && lengths[*j] > 0.0)
            .filter(|&j| violation(j) > SLACK)
            .max_by(|&a, &b| violation(a).total_cmp(&violation(b)));
        let Some(joins) = worst else { break };
        corral.push(joins);
        // Minor rounds: towards the least point of the affine hull, up to the first weight that reaches 0.
        while let Some(target) = affine_minimum(g, &corral) {
            let step = corral
                .iter()
                .zip(&target)
                .filter(|(_, to)| **to <= 0.0)
                .map(|(&i, to)| w[i] / (w[i] - to))
                .fold(1.0, f64::min);
            for (&i, to) in corral.iter().zip(&target) {
                w[i] = if step >= 1.0 {
                    *to
                } else {
                    (w[i] + step * (to - w[i])).max(0.0)
                };
            }
            if step >= 1.0 {
                break;
            }
            // The weight that reached 0 leaves; also one that rounding left beside it.
            let least = corral
                .iter()
                .zip(&target)
                .filter(|(_, to)| **to <= 0.0)
                .map(|(&i, _)| i)
                .min_by(|&a, &b| w[a].total_cmp(&w[b]));
            corral.retain(|&i| Some(i) != least && w[i] > 0.0);
            (0..m).filter(|i| !corral.contains(i)).for_each(|i| w[i] = 0.0);
        }
        // A gradient without an affine minimum lay in the hull already: what it seemed to violate is rounding.
        if affine_minimum(g, &corral).is_none() {
            break;
        }
    }
    let sum: f64 = w.iter().sum();
    w.iter().map(|w| w / sum).collect()
}

/// The weights, in the order of `corral`, of the least point of its affine hull; `None` where the corral is not
/// affinely independent. With the shortest gradient g_0 as origin, the point is g_0 + Σ v_i (g_i − g_0), and v
/// solves D v = r with D_ij = (g_i − g_0)·(g_j − g_0), r_i = −g_0·(g_i − g_0): by Cholesky on D scaled to a unit
/// diagonal, so that gradients of very different lengths do not disturb each other.
fn affine_minimum(g: &[Vec<f64>], corral: &[usize]) -> Option<Vec<f64>> {
    let origin = (0..corral.len()).min_by(|&a, &b| g[corral[a]][corral[a]].total_cmp(&g[corral[b]][corral[b]]))?;
    let zero = corral[origin];
    let others: Vec<usize> = corral.iter().copied().filter(|&i| i != zero).collect();
    let d = |i: usize, j: usize| g[i][j] - g[i][zero] - g[zero][j] + g[zero][zero];
    let scale: Vec<f64> = others.iter().map(|&i| d(i, i).max(0.0).sqrt()).collect();
    if others.iter().zip(&scale).any(|(&i, s)| s * s <= INDEPENDENT * g[i][i]) {
        return None;
    }
    let count = others.len();
    let mut lower = vec![vec![0.0; count]; count];
    let mut v = vec![0.0; count];
    for row in 0..count {
        for column in 0..=row {
            let entry = d(others[row], others[column]) / (scale[row] * scale[column]);
            let rest = entry - dot(&lower[row][..column], &lower[column][..column]);
            lower[row][column] = if row > column {
                rest / lower[column][column]
            } else if rest > INDEPENDENT {
                rest.sqrt()
            } else {
                return None;
            };
        }
        let right = (g[zero][zero] - g[zero][others[row]]) / scale[row];
        v[row] = (right - dot(&lower[row][..row], &v[..row])) / lower[row][row];
    }
    for row in (0..count).rev() {
        let above: f64 = (row + 1..count).map(|k| lower[k][row] * v[k]).sum();
        v[row] = (v[row] - above) / lower[row][row];
    }
    for (v, scale) in v.iter_mut().zip(&scale) {
        *v /= scale;
    }
    let first = 1.0 - v.iter().sum::<f64>();
    v.insert(origin, first);
    Some(v)
}

/// The least point is one point, but not its weights where gradients coincide: they share what they have, so that
/// the order of the objectives does not matter. Zero gradients coincide as well.
fn share_among_equals(g: &[Vec<f64>], w: &mut [f64]) {
    let m = w.len();
    let mut done = vec![false; m];
    for i in 0..m {
        let same = |j: &usize| {
            // A row says how a gradient lies to all others, its own length included.
            (0..m).all(|k| k == i || k == *j || g[i][k] == g[*j][k]) && g[i][i] == g[*j][*j] && g[i][i] == g[i][*j]
        };
        if done[i] {
            continue;
        }
        let equals: Vec<usize> = (i..m).filter(|j| *j == i || same(j)).collect();
        #[allow(clippy::cast_precision_loss, reason = "M is small")]
        let share = equals.iter().map(|&j| w[j]).sum::<f64>() / equals.len() as f64;
        for j in equals {
            (w[j], done[j]) = (share, true);
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::min_norm_point;
    use crate::views::Matrix64;
    use crate::{Result, Rng};

    fn solve(rows: &[Vec<f64>]) -> Result<Vec<f64>> {
        let flat = rows.concat();
        min_norm_point(Matrix64::new("gram", &flat, rows.len(), rows.len())?)
    }

    fn gram_of(jacobian: &[Vec<f64>]) -> Vec<Vec<f64>> {
        jacobian
            .iter()
            .map(|a| jacobian.iter().map(|b| super::dot(a, b)).collect())
            .collect()
    }

    /// w on the simplex, (Gw)_m >= wᵀGw, and equality where w_m > 0; in units of |g_m| · Σ w_i |g_i|.
    fn assert_optimal(g: &[Vec<f64>], w: &[f64]) {
        assert!(
            (w.iter().sum::<f64>() - 1.0).abs() < 1e-12 && w.iter().all(|w| *w >= 0.0),
            "{w:?}"
        );
        let products: Vec<f64> = g.iter().map(|row| super::dot(row, w)).collect();
        let square = super::dot(&products, w);
        let size: f64 = w.iter().enumerate().map(|(m, w)| w * g[m][m].sqrt()).sum();
        for (m, product) in products.iter().enumerate() {
            let unit = g[m][m].sqrt() * size;
            assert!(product - square >= -1e-11 * unit, "objective {m} of {g:?}: {w:?}");
            // What a weight does is w_m |g_m|: one of a long gradient is small and rounded on that scale.
            let excess = w[m] * (product - square);
            assert!(excess <= 1e-11 * size * size, "objective {m} of {g:?}: {w:?}");
        }
    }

    #[test]
    fn optimality_conditions_hold_for_random_gramians() -> Result<()> {
        let mut rng = Rng::new(5);
        for case in 0..4000 {
            let m = 1 + case % 8;
            let n = 1 + rng.below(12); // fewer parameters than objectives: a singular Gramian
            let spread = [0.0, 2.0, 10.0][case / 8 % 3]; // lengths within 10^±spread
            let common = [0.0, 1.0, 3.0][case / 24 % 3]; // gradients that agree, so that few are active
            let jacobian: Vec<Vec<f64>> = (0..m)
                .map(|_| {
                    let scale = 10_f64.powf(spread * (2.0 * rng.uniform() - 1.0));
                    (0..n).map(|_| scale * (common + rng.normal())).collect()
                })
                .collect();
            let g = gram_of(&jacobian);
            assert_optimal(&g, &solve(&g)?);
        }
        Ok(())
    }

    #[test]
    fn degenerate_gramians_have_a_plain_answer() -> Result<()> {
        assert_eq!(solve(&vec![vec![0.0; 4]; 4])?, [0.25; 4]);
        assert_eq!(solve(&vec![vec![2.0; 3]; 3])?, [1.0 / 3.0; 3]);
        assert_eq!(solve(&[vec![1.0, 1.0], vec![1.0, 1.0]])?, [0.5, 0.5]);
        // A zero gradient is the least point; of two, both.
        assert_eq!(solve(&gram_of(&[vec![1.0], vec![0.0], vec![2.0]]))?, [0.0, 1.0, 0.0]);
        assert_eq!(solve(&gram_of(&[vec![0.0], vec![1.0], vec![0.0]]))?, [0.5, 0.0, 0.5]);
        // Opposite gradients cancel: 2/3 · 1 − 1/3 · 2 = 0.
        let w = solve(&gram_of(&[vec![1.0, 0.0], vec![-2.0, 0.0], vec![0.0, 9.0]]))?;
        assert!((w[0] - 2.0 / 3.0).abs() < 1e-15 && (w[1] - 1.0 / 3.0).abs() < 1e-15 && w[2] == 0.0);
        // Orthogonal gradients: in proportion to 1 / |g|².
        let w = solve(&gram_of(&[
            vec![1.0, 0.0, 0.0],
            vec![0.0, 2.0, 0.0],
            vec![0.0, 0.0, 4.0],
        ]))?;
        for (w, expected) in w.iter().zip([16.0 / 21.0, 4.0 / 21.0, 1.0 / 21.0]) {
            assert!((w - expected).abs() < 1e-15);
        }
        Ok(())
    }

    #[test]
    fn two_objectives_agree_with_the_active_set() -> Result<()> {
        let mut rng = Rng::new(2);
        for _ in 0..500 {
            let jacobian: Vec<Vec<f64>> = (0..2).map(|_| (0..3).map(|_| 1.0 + rng.normal()).collect()).collect();
            let g = gram_of(&jacobian);
            for (closed, active) in solve(&g)?.iter().zip(super::wolfe(&g)) {
                assert!((closed - active).abs() < 1e-12);
            }
        }
        Ok(())
    }

    #[test]
    fn the_order_of_the_objectives_does_not_matter() -> Result<()> {
        let mut rng = Rng::new(7);
        for case in 0..300 {
            let m = 3 + case % 6;
            let mut jacobian: Vec<Vec<f64>> = (0..m).map(|_| (0..10).map(|_| rng.normal()).collect()).collect();
            jacobian[m - 1] = jacobian[0].clone();
            let w = solve(&gram_of(&jacobian))?;
            jacobian.rotate_left(1);
            let turned = solve(&gram_of(&jacobian))?;
            for i in 0..m {
                assert!((w[(i + 1) % m] - turned[i]).abs() < 1e-9, "{w:?} {turned:?}");
            }
            assert_eq!(w[0], w[m - 1]);
        }
        Ok(())
    }

    #[test]
    fn what_is_no_gramian_is_refused() {
        let nan = solve(&[vec![1.0, f64::NAN], vec![0.0, 1.0]]).expect_err("refused");
        assert!(nan.message.contains("[0, 1] is NaN"), "{nan}");
        assert!(solve(&[]).is_err());
        assert!(
            Matrix64::new("gram", &[1.0, 2.0], 1, 2)
                .and_then(min_norm_point)
                .is_err()
        );
    }
}
