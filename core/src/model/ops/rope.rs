//! Rotary embedding, Hugging Face's half-split layout: (x₁, x₂) -> (x₁ cos − x₂ sin, x₂ cos + x₁ sin) with x₁, x₂ the
//! halves of a head (Su et al. 2021, eq. 34), and the scalings of the frequencies for long contexts.

use super::simd::{madd, simd};
use crate::model::architecture::{Architecture, RopeScaling};
use crate::num::to_f32;

/// Cosines and sines of every position that a batch uses.
#[derive(Debug, Clone)]
pub(crate) struct RopeTable {
    half: usize,
    cos: Vec<f32>, // [positions, head_dim / 2]
    sin: Vec<f32>, // as `cos`
}

impl RopeTable {
    /// The table of positions 0 .. `positions`.
    pub(crate) fn new(architecture: &Architecture, positions: usize) -> Self {
        let frequencies = inverse_frequencies(architecture);
        let half = frequencies.len();
        let scale = match &architecture.rope_scaling {
            Some(RopeScaling::Yarn { attention_factor, .. }) => Some(to_f32(*attention_factor)),
            _ => None,
        };
        let mut cos = Vec::with_capacity(positions * half);
        let mut sin = Vec::with_capacity(positions * half);
        for position in 0..positions {
            for f in &frequencies {
                // the product in f32, as the reference implementation forms it
                let angle = f64::from(position as f32 * f);
                cos.push(to_f32(angle.cos()));
                sin.push(to_f32(angle.sin()));
            }
        }
        if let Some(scale) = scale {
            cos.iter_mut().chain(&mut sin).for_each(|v| *v *= scale);
        }
        RopeTable { half, cos, sin }
    }

    /// Number of positions in the table.
    pub(crate) fn positions(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }

    /// Rotates the first `heads` heads of each row of `rows` `[R, width]` to its position `[R]`. `backward` rotates the
    /// other way, which maps gradients back.
    pub(crate) fn rotate(&self, rows: &mut [f32], width: usize, heads: usize, positions: &[u32], backward: bool) {
        let sign = if backward { -1.0 } else { 1.0 };
        rotate_rows(rows, width, heads, positions, &self.cos, &self.sin, self.half, sign);
    }
}

/// θ^(−2i / head_dim), after Llama 3's scaling where the model has it.
pub(crate) fn inverse_frequencies(architecture: &Architecture) -> Vec<f32> {
    let dim = architecture.head_dim as f64;
    let mut frequencies: Vec<f64> = (0..architecture.head_dim / 2)
        .map(|i| architecture.rope_theta.powf(-(2.0 * i as f64) / dim))
        .collect();
    match &architecture.rope_scaling {
        None => {}
        Some(RopeScaling::Linear { factor }) => frequencies.iter_mut().for_each(|f| *f /= factor),
        Some(RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            truncate,
            original_max_positions,
            ..
        }) => {
            // the dimension that turns `rotations` times within the original context (section 3.2 of the paper)
            let at = |rotations: f64| {
                let wavelength = *original_max_positions as f64 / (rotations * 2.0 * std::f64::consts::PI);
                dim * wavelength.ln() / (2.0 * architecture.rope_theta.ln())
            };
            let (mut low, mut high) = (at(*beta_fast), at(*beta_slow));
            if *truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            (low, high) = (low.max(0.0), high.min(dim - 1.0));
            if low == high {
                high += 0.001; // as the reference implementation, which divides by the difference
            }
            for (i, f) in frequencies.iter_mut().enumerate() {
                let slow = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                *f = *f / factor * slow + *f * (1.0 - slow);
            }
        }
        Some(RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_positions,
        }) => {
            // Wavelengths shorter than original / high stay, longer than original / low are divided by the factor,
            // between them it is a linear blend (Llama 3.1's reference code, `apply_scaling`).
            let original = *original_max_positions as f64;
            for f in &mut frequencies {
                let wavelength = 2.0 * std::f64::consts::PI / *f;
                if wavelength > original / low_freq_factor {
                    *f /= factor;
                } else if wavelength > original / high_freq_factor {
                    let smooth = (original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    *f = (1.0 - smooth) * *f / factor + smooth * *f;
                }
            }
        }
    }
    frequencies.into_iter().map(to_f32).collect()
}

simd! {
    fn rotate_rows(rows: &mut [f32], width: usize, heads: usize, positions: &[u32], cos: &[f32], sin: &[f32], half: usize, sign: f32) {
        for (row, &position) in rows.chunks_exact_mut(width).zip(positions) {
            let at = position as usize * half;
            let (cos, sin) = (&cos[at..at + half], &sin[at..at + half]);
            for head in row.chunks_exact_mut(2 * half).take(heads) {
                let (a, b) = head.split_at_mut(half);
                for (((a, b), c), s) in a.iter_mut().zip(b.iter_mut()).zip(cos).zip(sin) {
                    let s = *s * sign;
                    let (x, y) = (*a, *b);
                    *a = madd::<FMA>(x, *c, -(y * s));
                    *b = madd::<FMA>(y, *c, x * s);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    const DIM: usize = 6;

    fn table() -> RopeTable {
        let frequencies = [1.0, 0.1, 0.01];
        let angles = |f: fn(f32) -> f32| (0..64).flat_map(|p| frequencies.map(|w| f(p as f32 * w))).collect();
        RopeTable {
            half: DIM / 2,
            cos: angles(f32::cos),
            sin: angles(f32::sin),
        }
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 64,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(9),
            ..ProptestConfig::default()
        })]

        /// What rotary embeddings are for: a score depends on the distance of query and key alone.
        #[test]
        fn scores_depend_on_the_distance_alone(
            q in prop::array::uniform6(-1.0f32..1.0), k in prop::array::uniform6(-1.0f32..1.0),
            at in 0u32..32, distance in 0u32..32,
        ) {
            let table = table();
            let score = |position: u32| {
                let mut rows = [q, k].concat();
                table.rotate(&mut rows, DIM, 1, &[position + distance, position], false);
                dot(&rows[..DIM], &rows[DIM..])
            };
            prop_assert!((score(0) - score(at)).abs() < 1e-4, "{} and {}", score(0), score(at));
        }

        /// The way back undoes the rotation, and values behind the rotated heads stay.
        #[test]
        fn backward_undoes_the_rotation(row in prop::array::uniform8(-1.0f32..1.0), position in 0u32..64) {
            let table = table();
            let mut turned = row;
            table.rotate(&mut turned, 8, 1, &[position], false);
            prop_assert_eq!(&turned[DIM..], &row[DIM..]);
            prop_assert!((dot(&turned, &turned) - dot(&row, &row)).abs() < 1e-4);
            table.rotate(&mut turned, 8, 1, &[position], true);
            prop_assert!(turned.iter().zip(&row).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}
