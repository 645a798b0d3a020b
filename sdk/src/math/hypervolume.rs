//! Exact hypervolume, for maximisation: the volume of what lies between the reference point and some point of a
//! set. A point that is not strictly above the reference in every dimension contributes nothing.
//!
//! 2 dimensions: a sort and a sweep. 3 dimensions: a sweep over a staircase in a balanced tree (Beume, Fonseca,
//! López-Ibáñez, Paquete, Vahrenhold, "On the complexity of computing the hypervolume indicator", IEEE
//! Transactions on Evolutionary Computation 13(5), 2009); both O(n log n). 4 dimensions: a sweep that adds each
//! point's exclusive volume in the other three, O(n) steps of a staircase each (Guerreiro and Fonseca,
//! "Computing and updating hypervolume contributions in up to four dimensions", same journal 22(3), 2018).
//! Beyond: sliced along the last dimension, the exclusive volume of each point through the set limited to its box
//! (While, Bradstreet, Barone, "A fast way of calculating exact hypervolumes", same journal 16(1), 2012).

use super::pareto::pareto_front;
use super::staircase::{volume_of_four, volume_of_three, volume_of_two};
use crate::{Error, Result};

/// The volume that `points` dominate above `reference`, in any number of dimensions from 1 on; in more than 5 the
/// time grows quickly. Error: a point of another length, or a number that is not finite.
pub fn hypervolume<P: AsRef<[f64]>>(points: &[P], reference: &[f64]) -> Result<f64> {
    check(points, reference)?;
    Ok(volume(points, reference))
}

/// How much `point` would add to the hypervolume of `points`: 0 where one of them dominates or equals it, or where
/// it is not strictly above the reference. Not a difference of two large volumes: what is taken off the point's own
/// box is the part that the others have of it. Errors as in [`hypervolume`].
pub fn hypervolume_increment<P: AsRef<[f64]>>(points: &[P], point: &[f64], reference: &[f64]) -> Result<f64> {
    check(points, reference)?;
    check(&[point], reference)?;
    match above(&[point], reference).first() {
        Some(point) => Ok(exclusive(point, &above(points, reference))),
        None => Ok(0.0),
    }
}

/// Error: a point of another length than the reference, none at all of it, or a number that is not finite.
fn check<P: AsRef<[f64]>>(points: &[P], reference: &[f64]) -> Result<()> {
    if reference.is_empty() {
        return Err(Error::new(
            "the reference point has no dimension, expected at least one",
        ));
    }
    for (index, point) in points.iter().map(AsRef::as_ref).enumerate() {
        if point.len() != reference.len() {
            let (found, expected) = (point.len(), reference.len());
            return Err(Error::new(format!(
                "point {index} has {found} values, expected {expected}"
            )));
        }
        if let Some(bad) = point.iter().find(|x| !x.is_finite()) {
            return Err(Error::new(format!("point {index} has {bad}, expected finite numbers")));
        }
    }
    if let Some(bad) = reference.iter().find(|x| !x.is_finite()) {
        return Err(Error::new(format!(
            "the reference point has {bad}, expected finite numbers"
        )));
    }
    Ok(())
}

fn is_above(point: &[f64], reference: &[f64]) -> bool {
    point.iter().zip(reference).all(|(x, r)| x > r)
}

/// The points that are strictly above the reference, with it as their origin.
fn above<P: AsRef<[f64]>>(points: &[P], reference: &[f64]) -> Vec<Vec<f64>> {
    let points = points
        .iter()
        .map(AsRef::as_ref)
        .filter(|point| is_above(point, reference));
    let from_reference = |point: &[f64]| point.iter().zip(reference).map(|(x, r)| x - r).collect();
    points.map(from_reference).collect()
}

/// As [`above`], for a number of dimensions that is known: one allocation for all points.
fn above_of<const D: usize>(points: &[impl AsRef<[f64]>], reference: &[f64]) -> Vec<[f64; D]> {
    let points = points
        .iter()
        .map(AsRef::as_ref)
        .filter(|point| is_above(point, reference));
    points
        .map(|point| std::array::from_fn(|d| point[d] - reference[d]))
        .collect()
}

/// The volume above the reference, of points that have been checked.
fn volume<P: AsRef<[f64]>>(points: &[P], reference: &[f64]) -> f64 {
    match reference.len() {
        1 => above_of::<1>(points, reference)
            .iter()
            .map(|p| p[0])
            .fold(0.0, f64::max),
        2 => volume_of_two(above_of(points, reference)),
        3 => volume_of_three(above_of(points, reference)),
        4 => volume_of_four(above_of(points, reference)),
        dimensions => sliced(above(points, reference), dimensions - 1),
    }
}

/// From the top of the last dimension down: each point adds, over its own height, the volume in the other
/// dimensions that the points above it leave to it.
fn sliced(mut points: Vec<Vec<f64>>, last: usize) -> f64 {
    points.sort_by(|a, b| b[last].total_cmp(&a[last]));
    let heights: Vec<f64> = points.iter().map(|p| p[last]).collect();
    points.iter_mut().for_each(|p| p.truncate(last));
    let mut front: Vec<Vec<f64>> = Vec::new();
    let mut sum = 0.0;
    for (point, height) in points.into_iter().zip(heights) {
        let area = exclusive(&point, &front);
        if area > 0.0 {
            sum += height * area;
            front.retain(|other| !covers(&point, other));
            front.push(point);
        }
    }
    sum
}

/// What of the box below `point` no other point dominates: the box less the volume of the others limited to it.
fn exclusive(point: &[f64], others: &[Vec<f64>]) -> f64 {
    // Nothing is left of the box: the common case, and no volume is needed to know it.
    if others.iter().any(|other| covers(other, point)) {
        return 0.0;
    }
    let limited: Vec<Vec<f64>> = others
        .iter()
        .map(|other| other.iter().zip(point).map(|(o, p)| o.min(*p)).collect())
        .collect();
    let front = pareto_front(&limited);
    let limited: Vec<&[f64]> = front.into_iter().map(|index| &limited[index][..]).collect();
    (point.iter().product::<f64>() - volume(&limited, &vec![0.0; point.len()])).max(0.0)
}

fn covers(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a >= b)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{hypervolume, hypervolume_increment};
    use crate::{Result, Rng};

    #[derive(Deserialize)]
    struct Table {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        points: Vec<Vec<f64>>,
        reference: Vec<f64>,
        hypervolume: f64,
    }

    /// The table's values are exact: whole-number arithmetic on points of nine digits (tests/golden/counts.py).
    #[test]
    fn golden_values() -> Result<()> {
        let table: Table = serde_json::from_str(include_str!("../../../tests/golden/hypervolume_values.json")).unwrap();
        assert_eq!(table.cases.len(), 16);
        for case in &table.cases {
            let found = hypervolume(&case.points, &case.reference)?;
            let expected = case.hypervolume;
            assert!(
                (found - expected).abs() <= 1e-13 * expected,
                "{found}, expected {expected}"
            );
        }
        Ok(())
    }

    /// By inclusion and exclusion over all subsets.
    fn twin(points: &[Vec<f64>], reference: &[f64]) -> f64 {
        let mut sum = 0.0;
        for subset in 1_u32..1 << points.len() {
            let members = || (0..points.len()).filter(|i| subset >> i & 1 == 1);
            let overlap: f64 = (0..reference.len())
                .map(|d| {
                    let lowest = members().map(|i| points[i][d]).fold(f64::INFINITY, f64::min);
                    (lowest - reference[d]).max(0.0)
                })
                .product();
            sum += if subset.count_ones() % 2 == 1 {
                overlap
            } else {
                -overlap
            };
        }
        sum
    }

    /// Points in [-1, 1]; on every other case on a coarse grid, so that coordinates coincide.
    fn random_points(rng: &mut Rng, count: usize, dimensions: usize, grid: bool) -> Vec<Vec<f64>> {
        let mut coordinate = || {
            let x = 2.0 * rng.uniform() - 1.0;
            if grid { (4.0 * x).round() / 4.0 } else { x }
        };
        (0..count)
            .map(|_| (0..dimensions).map(|_| coordinate()).collect())
            .collect()
    }

    #[test]
    fn volume_and_increment_agree_with_inclusion_and_exclusion() -> Result<()> {
        let mut rng = Rng::new(9);
        for case in 0..400 {
            let dimensions = 1 + case % 6;
            let count = 1 + rng.below(9);
            let mut points = random_points(&mut rng, count, dimensions, case % 2 == 0);
            let reference = vec![-0.5; dimensions];
            let all = hypervolume(&points, &reference)?;
            assert!((all - twin(&points, &reference)).abs() < 1e-11, "{points:?}");
            let last = points.pop().unwrap();
            let added = hypervolume_increment(&points, &last, &reference)?;
            assert!((all - hypervolume(&points, &reference)? - added).abs() < 1e-11 && added >= 0.0);
            assert_eq!(
                hypervolume_increment(std::slice::from_ref(&last), &last, &reference)?,
                0.0
            );
        }
        Ok(())
    }

    /// Many points on one front, where the fast sweeps have long staircases: the sliced recursion as a twin.
    #[test]
    fn sweeps_agree_with_the_recursion_on_large_fronts() -> Result<()> {
        let mut rng = Rng::new(10);
        for dimensions in 2..5 {
            let points: Vec<Vec<f64>> = (0..150)
                .map(|_| {
                    let x: Vec<f64> = (0..dimensions).map(|_| rng.normal().abs() + 1e-3).collect();
                    let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
                    x.iter().map(|x| x / length).collect()
                })
                .collect();
            let swept = hypervolume(&points, &vec![0.0; dimensions])?;
            let sliced = super::sliced(points, dimensions - 1);
            assert!((swept - sliced).abs() < 1e-12, "{swept} {sliced}");
        }
        Ok(())
    }

    #[test]
    fn what_is_not_above_the_reference_adds_nothing() -> Result<()> {
        let front = [vec![2.0, 1.0], vec![1.0, 2.0]];
        assert_eq!(hypervolume(&front, &[0.0, 0.0])?, 3.0);
        assert_eq!(hypervolume(&[vec![9.0, -1.0], vec![5.0, 0.0]], &[0.0, 0.0])?, 0.0);
        assert_eq!(hypervolume_increment(&front, &[9.0, 0.0], &[0.0, 0.0])?, 0.0);
        assert_eq!(hypervolume_increment(&front, &[2.0, 2.0], &[0.0, 0.0])?, 1.0);
        assert_eq!(hypervolume::<Vec<f64>>(&[], &[0.0])?, 0.0);
        Ok(())
    }

    #[test]
    fn bad_points_are_refused() {
        let message = |points: &[Vec<f64>], reference: &[f64]| hypervolume(points, reference).expect_err("bad").message;
        assert!(message(&[vec![1.0]], &[0.0, 0.0]).contains("point 0 has 1 values, expected 2"));
        assert!(message(&[vec![1.0, f64::NAN]], &[0.0, 0.0]).contains("NaN"));
        assert!(message(&[], &[f64::INFINITY]).contains("inf"));
        assert!(message(&[], &[]).contains("no dimension"));
    }
}
