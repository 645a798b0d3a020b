//! Fronts of points with several objectives, each with a direction: what no other point beats, the volume above a
//! reference point, and the surface that a share of several runs attains.

use moa_sdk::math::{hypervolume, pareto_front};

/// Points with larger numbers better in every objective.
#[must_use]
pub fn oriented(points: &[Vec<f64>], higher: &[bool]) -> Vec<Vec<f64>> {
    let turn = |(&v, &higher): (&f64, &bool)| if higher { v } else { -v };
    points
        .iter()
        .map(|point| point.iter().zip(higher).map(turn).collect())
        .collect()
}

/// Whether each point is on the front: no other is at least as good in all objectives and better in one.
#[must_use]
pub fn on_front(points: &[Vec<f64>], higher: &[bool]) -> Vec<bool> {
    let front = pareto_front(&oriented(points, higher));
    (0..points.len()).map(|i| front.binary_search(&i).is_ok()).collect()
}

/// The volume that points dominate beyond `reference`; none where a number is not finite or a point has another length.
#[must_use]
pub fn volume(points: &[Vec<f64>], reference: &[f64], higher: &[bool]) -> Option<f64> {
    let reference = oriented(&[reference.to_vec()], higher).pop()?;
    hypervolume(&oriented(points, higher), &reference).ok()
}

/// The corners of the surface that at least `level` of the `fronts` attain, two objectives, larger is better in both
/// (the empirical attainment function; Fonseca and Fleming 1996). Ascending in the first.
#[must_use]
pub fn attained(fronts: &[Vec<[f64; 2]>], level: usize) -> Vec<[f64; 2]> {
    let mut across: Vec<f64> = fronts.iter().flatten().map(|point| point[0]).collect();
    across.sort_by(|a, b| b.total_cmp(a));
    across.dedup();
    // The best second objective that each front reaches with at least x in the first; the level-th best is attained.
    let attained = |x: f64| {
        let best = |front: &Vec<[f64; 2]>| {
            let far = front.iter().filter(|point| point[0] >= x);
            far.map(|point| point[1]).max_by(f64::total_cmp)
        };
        let mut best: Vec<f64> = fronts.iter().filter_map(best).collect();
        best.sort_by(|a, b| b.total_cmp(a));
        best.get(level.max(1) - 1).copied()
    };
    let mut corners: Vec<[f64; 2]> = Vec::new();
    for x in across {
        // From the right: only what is higher than everything further right is a corner.
        if let Some(y) = attained(x).filter(|&y| corners.last().is_none_or(|last| y > last[1])) {
            corners.push([x, y]);
        }
    }
    corners.reverse();
    corners
}
