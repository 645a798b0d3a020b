//! The least point of a convex quadratic function over x >= 0, which is what projections onto the cone of directions
//! that hurt no objective come to in their dual. Exact, by an active set: Lawson and Hanson, "Solving Least Squares
//! Problems", 1974, chapter 23, on the normal equations.

use super::symmetric::Symmetric;

/// How far, in units of what rounding does to a slope, the optimality condition may be missed.
const SLACK: f64 = 1e-13;

/// argmin ½ xᵀ A x + bᵀ x over x >= 0, `[N]`, for A `[N, N]` positive definite and b `[N]`, all finite.
///
/// The value falls in every round, so that no set of positive entries comes back and the search ends. Where A is
/// singular but for rounding, the point may not be the least one: add a ridge first ([`Symmetric::plus_ridge`]).
pub fn nonnegative_minimum(a: &Symmetric, b: &[f64]) -> Vec<f64> {
    let n = a.n();
    let mut free: Vec<usize> = Vec::new(); // the entries that may be above 0
    let mut x = vec![0.0; n];
    // Few rounds are ever needed; the bound is for rounding only.
    for _ in 0..64 * n {
        // The slope of entry j, in units of its own curvature; `None` where it is not below 0 but for rounding.
        let descent = |j: usize| {
            let terms = || a.row(j).iter().zip(&x).map(|(a, x)| a * x);
            let (slope, size) = (
                b[j] + terms().sum::<f64>(),
                b[j].abs() + terms().map(f64::abs).sum::<f64>(),
            );
            (slope < -SLACK * size).then(|| -slope / a.get(j, j).sqrt())
        };
        let steepest = (0..n)
            .filter(|j| !free.contains(j))
            .filter_map(|j| Some((descent(j)?, j)))
            .max_by(|(one, _), (other, _)| one.total_cmp(other));
        let Some((_, joins)) = steepest else { break };
        free.push(joins);
        // Towards the least point of the free entries, up to the first one that reaches 0 and leaves.
        loop {
            let right: Vec<f64> = free.iter().map(|&i| -b[i]).collect();
            let Some(target) = a.of(&free).solve(&right) else {
                free.retain(|&i| i != joins); // what it seemed to add is rounding
                break;
            };
            // How far each entry that falls below 0 can go.
            let leaves = free
                .iter()
                .zip(&target)
                .filter(|(_, to)| **to <= 0.0)
                .map(|(&i, to)| (if x[i] > *to { x[i] / (x[i] - to) } else { 0.0 }, i))
                .min_by(|(one, _), (other, _)| one.total_cmp(other));
            for (&i, to) in free.iter().zip(&target) {
                x[i] = match leaves {
                    Some((step, _)) => (x[i] + step * (to - x[i])).max(0.0),
                    None => *to,
                };
            }
            let Some((_, least)) = leaves else { break };
            free.retain(|&i| i != least && x[i] > 0.0);
            (0..n).filter(|i| !free.contains(i)).for_each(|i| x[i] = 0.0);
            if free.is_empty() {
                break;
            }
        }
        if !free.contains(&joins) {
            break; // a slope that is below 0 by rounding only
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::super::symmetric::dot;
    use super::{Symmetric, nonnegative_minimum};
    use crate::Rng;

    /// x >= 0, the slope A x + b >= 0, and one of them 0 in each entry: for a convex function that is the least point.
    #[test]
    fn the_optimality_conditions_hold() {
        let mut rng = Rng::new(8);
        let mut inside = 0;
        for case in 0..4000 {
            let (n, rank) = (1 + case % 10, 1 + rng.below(12));
            let scale = [0.0, 2.0][case % 2];
            let rows: Vec<Vec<f64>> = (0..n)
                .map(|_| {
                    let length = 10_f64.powf(scale * (2.0 * rng.uniform() - 1.0));
                    (0..rank).map(|_| length * rng.normal()).collect()
                })
                .collect();
            let plain = Symmetric::from_fn(n, |i, j| dot(&rows[i], &rows[j]));
            let ridge: Vec<f64> = plain.diagonal().iter().map(|d| 1e-10 * d).collect();
            let a = plain.plus_diagonal(&ridge);
            let along: Vec<f64> = (0..rank).map(|_| rng.normal()).collect();
            let b: Vec<f64> = rows.iter().map(|row| dot(row, &along)).collect();
            let x = nonnegative_minimum(&a, &b);
            for j in 0..n {
                let terms: Vec<f64> = a.row(j).iter().zip(&x).map(|(a, x)| a * x).collect();
                let slope = b[j] + terms.iter().sum::<f64>();
                let size = b[j].abs() + terms.iter().map(|t| t.abs()).sum::<f64>();
                assert!(
                    x[j] >= 0.0 && slope >= -1e-9 * size,
                    "case {case}: {x:?}, slope {slope} of {size}"
                );
                assert!(
                    x[j] == 0.0 || slope <= 1e-9 * size,
                    "case {case}: {x:?}, slope {slope} of {size}"
                );
            }
            inside += usize::from(x.iter().filter(|x| **x > 0.0).count() > 1);
        }
        assert!(inside > 1000, "{inside} cases had more than one positive entry");
    }

    #[test]
    fn by_hand() {
        let a = Symmetric::from_fn(2, |i, j| if i == j { 1.0 } else { 0.5 });
        assert_eq!(nonnegative_minimum(&a, &[1.0, 2.0]), [0.0, 0.0]);
        assert_eq!(nonnegative_minimum(&a, &[-1.0, 2.0]), [1.0, 0.0]);
        // x + y/2 = 1 and x/2 + y = 1.
        let both = nonnegative_minimum(&a, &[-1.0, -1.0]);
        assert!(both.iter().all(|x| (x - 2.0 / 3.0).abs() < 1e-15), "{both:?}");
    }
}
