//! Sweeps over staircases: the upper right border of a union of boxes [0, x] × [0, y] is a staircase, its corners
//! with x rising and y falling. All coordinates are positive and finite. Source: see `hypervolume`.

use std::collections::BTreeMap;

/// The corners of a staircase, y by the bits of x: positive floats are ordered as their bits are.
#[derive(Default)]
struct Staircase {
    corners: BTreeMap<u64, f64>,
}

impl Staircase {
    /// Adds the box of (x, y) and gives the area that is new. Corners that it covers go: each goes only once, so
    /// that n boxes take O(n log n).
    fn add(&mut self, x: f64, y: f64) -> f64 {
        let key = x.to_bits();
        let mut below = self.corners.range(key..).next().map_or(0.0, |(_, y)| *y);
        if below >= y {
            return 0.0;
        }
        let mut area = 0.0;
        let mut right = x;
        // Leftwards: up to the next corner the staircase is `below` high.
        while let Some((&left_key, &left_y)) = self.corners.range(..=key).next_back() {
            let left = f64::from_bits(left_key);
            if left_y >= y {
                area += (right - left) * (y - below);
                self.corners.insert(key, y);
                return area;
            }
            area += (right - left) * (y - below);
            (right, below) = (left, left_y);
            self.corners.remove(&left_key);
        }
        area += right * (y - below);
        self.corners.insert(key, y);
        area
    }
}

pub(super) fn volume_of_two(mut points: Vec<[f64; 2]>) -> f64 {
    points.sort_unstable_by(|a, b| b[0].total_cmp(&a[0]));
    let (mut sum, mut top) = (0.0, 0.0);
    for [x, y] in points {
        if y > top {
            sum += x * (y - top);
            top = y;
        }
    }
    sum
}

/// From the top of z down: between two points the slice is the area of the staircase so far.
pub(super) fn volume_of_three(mut points: Vec<[f64; 3]>) -> f64 {
    points.sort_unstable_by(|a, b| b[2].total_cmp(&a[2]));
    let mut staircase = Staircase::default();
    points.iter().map(|[x, y, z]| z * staircase.add(*x, *y)).sum()
}

/// From the top of the fourth dimension down: each point adds, over its own height, its exclusive volume in the
/// other three among the points above it.
pub(super) fn volume_of_four(mut points: Vec<[f64; 4]>) -> f64 {
    points.sort_unstable_by(|a, b| b[3].total_cmp(&a[3]));
    let mut front: Vec<[f64; 3]> = Vec::new(); // z falling, none dominates another
    let mut corners = Vec::new();
    let mut sum = 0.0;
    for [x, y, z, height] in points {
        let point = [x, y, z];
        let volume = exclusive_of_three(point, &front, &mut corners);
        if volume > 0.0 {
            sum += height * volume;
            front.retain(|other| !(other[0] <= x && other[1] <= y && other[2] <= z));
            let place = front.partition_point(|other| other[2] >= z);
            front.insert(place, point);
        }
    }
    sum
}

/// What of the box below `point` no point of `front` (z falling) dominates: from the top of z down, the area of
/// the box's floor that the staircase of the limited points leaves free. `corners` is room to work in.
fn exclusive_of_three(point: [f64; 3], front: &[[f64; 3]], corners: &mut Vec<[f64; 2]>) -> f64 {
    let [width, depth, mut top] = point;
    let (mut free, mut volume) = (width * depth, 0.0);
    corners.clear();
    for &[x, y, z] in front {
        if z < top {
            volume += free * (top - z);
            top = z;
        }
        if x >= width && y >= depth {
            return volume; // nothing is free from here down
        }
        free -= add_corner(corners, x.min(width), y.min(depth));
    }
    volume + free.max(0.0) * top
}

/// As [`Staircase::add`], on a sorted list: within one box staircases are short, and moving a few corners costs
/// less than a tree.
fn add_corner(corners: &mut Vec<[f64; 2]>, x: f64, y: f64) -> f64 {
    let end = corners.partition_point(|corner| corner[0] < x);
    let mut below = corners.get(end).map_or(0.0, |corner| corner[1]);
    if below >= y {
        return 0.0;
    }
    // One corner may stand at the same x, lower: it goes, too.
    let upto = end + usize::from(corners.get(end).is_some_and(|corner| corner[0] <= x));
    let (mut area, mut right, mut start) = (0.0, x, end);
    while start > 0 && corners[start - 1][1] <= y {
        let [left, left_y] = corners[start - 1];
        area += (right - left) * (y - below);
        (right, below, start) = (left, left_y, start - 1);
    }
    let left = if start > 0 { corners[start - 1][0] } else { 0.0 };
    area += (right - left) * (y - below);
    corners.splice(start..upto, [[x, y]]);
    area
}
