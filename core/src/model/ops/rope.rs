//! Rotary embedding, Hugging Face's half-split layout: (x₁, x₂) -> (x₁ cos − x₂ sin, x₂ cos + x₁ sin) with x₁, x₂ the
//! halves of a head (Su et al. 2021, eq. 34), and Llama 3's scaling of the frequencies.

use super::narrow;
use super::simd::{madd, simd};
use crate::model::spec::{RopeScaling, Spec};

/// Cosines and sines of every position that a batch uses.
#[derive(Debug, Clone)]
pub struct RopeTable {
    half: usize,
    cos: Vec<f32>, // [positions, head_dim / 2]
    sin: Vec<f32>,
}

impl RopeTable {
    /// The table of positions 0 .. `positions`.
    pub fn new(spec: &Spec, positions: usize) -> Self {
        let frequencies = inverse_frequencies(spec);
        let half = frequencies.len();
        let mut cos = Vec::with_capacity(positions * half);
        let mut sin = Vec::with_capacity(positions * half);
        for position in 0..positions {
            for f in &frequencies {
                // the product in f32, as the reference implementation forms it
                let angle = f64::from(position as f32 * f);
                cos.push(narrow(angle.cos()));
                sin.push(narrow(angle.sin()));
            }
        }
        RopeTable { half, cos, sin }
    }

    /// Number of positions in the table.
    pub fn positions(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }

    /// Rotates `heads` heads at the start of each row of `rows` (row length `width`) to its position; `inverse` turns
    /// the other way, which is the backward.
    pub(crate) fn rotate(&self, rows: &mut [f32], width: usize, heads: usize, positions: &[u32], inverse: bool) {
        let sign = if inverse { -1.0 } else { 1.0 };
        rotate_rows(rows, width, heads, positions, &self.cos, &self.sin, self.half, sign);
    }

    /// Cosines and sines of one position, each [head_dim / 2].
    pub fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.half..(position + 1) * self.half;
        (&self.cos[range.clone()], &self.sin[range])
    }
}

/// θ^(−2i / head_dim), after Llama 3's scaling where the model has it.
pub(crate) fn inverse_frequencies(spec: &Spec) -> Vec<f32> {
    let dim = spec.head_dim as f64;
    let mut frequencies: Vec<f64> = (0..spec.head_dim / 2)
        .map(|i| spec.rope_theta.powf(-(2.0 * i as f64) / dim))
        .collect();
    match &spec.rope_scaling {
        None => {}
        Some(RopeScaling::Linear { factor }) => frequencies.iter_mut().for_each(|f| *f /= factor),
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
    frequencies.into_iter().map(narrow).collect()
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
