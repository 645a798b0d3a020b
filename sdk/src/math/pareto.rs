//! Pareto dominance, for maximisation: a dominates b where it is nowhere smaller and somewhere larger.

/// Whether `a` is nowhere smaller than `b` and somewhere larger.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a >= b) && a.iter().zip(b).any(|(a, b)| a > b)
}

/// Indices, rising, of the points that no other point dominates. Equal points are all kept: none of them
/// dominates another. O(n²) comparisons at worst, fewer where few points are not dominated.
pub fn pareto_front<P: AsRef<[f64]>>(points: &[P]) -> Vec<usize> {
    let mut front: Vec<usize> = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let point = point.as_ref();
        if front.iter().any(|&other| dominates(points[other].as_ref(), point)) {
            continue;
        }
        front.retain(|&other| !dominates(point, points[other].as_ref()));
        front.push(index);
    }
    front
}

#[cfg(test)]
mod tests {
    use super::{dominates, pareto_front};
    use crate::Rng;

    #[test]
    fn by_hand() {
        let points = [[1.0, 3.0], [2.0, 2.0], [1.0, 2.0], [3.0, 1.0], [2.0, 2.0]];
        assert_eq!(pareto_front(&points), [0, 1, 3, 4]);
        assert_eq!(pareto_front::<[f64; 2]>(&[]), [0_usize; 0]);
        assert!(!dominates(&[1.0, 1.0], &[1.0, 1.0]) && dominates(&[1.0, 2.0], &[1.0, 1.0]));
    }

    #[test]
    fn it_is_the_definition_on_random_points() {
        let mut rng = Rng::new(4);
        for dimension in 1..6 {
            // A coarse grid, so that coordinates and whole points come more than once.
            let points: Vec<Vec<f64>> = (0..80)
                .map(|_| {
                    (0..dimension)
                        .map(|_| f64::from(u8::try_from(rng.below(5)).unwrap()))
                        .collect()
                })
                .collect();
            let expected: Vec<usize> = (0..points.len())
                .filter(|&i| !points.iter().any(|other| dominates(other, &points[i])))
                .collect();
            assert_eq!(pareto_front(&points), expected);
        }
    }
}
