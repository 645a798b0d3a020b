//! Prints how long the exact hypervolume takes, the median of 21 runs: on points of the unit cube, and on points
//! that are all on one front (the unit sphere), which is the hard case.
//!
//! cargo run --release -p moa-sdk --example hypervolume_times

#![allow(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a program that prints times"
)]

use std::time::Instant;

use moa_sdk::{Result, Rng, math};

fn main() -> Result<()> {
    println!(
        "{:>6} {:>10} {:>12} {:>12}",
        "points", "dimensions", "cube, ms", "sphere, ms"
    );
    for (count, dimensions) in [(2000, 2), (2000, 3), (1000, 4), (100, 5)] {
        let mut rng = Rng::new(1);
        let cube: Vec<Vec<f64>> = (0..count)
            .map(|_| (0..dimensions).map(|_| rng.uniform()).collect())
            .collect();
        let sphere: Vec<Vec<f64>> = (0..count)
            .map(|_| {
                let x: Vec<f64> = (0..dimensions).map(|_| rng.normal().abs()).collect();
                let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
                x.iter().map(|x| x / length).collect()
            })
            .collect();
        let (cube, sphere) = (milliseconds(&cube)?, milliseconds(&sphere)?);
        println!("{count:>6} {dimensions:>10} {cube:>12.3} {sphere:>12.3}");
    }
    Ok(())
}

fn milliseconds(points: &[Vec<f64>]) -> Result<f64> {
    let reference = vec![0.0; points[0].len()];
    let mut times = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        std::hint::black_box(math::hypervolume(std::hint::black_box(points), &reference)?);
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
