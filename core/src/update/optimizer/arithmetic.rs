//! The arithmetic of AdamW on f32 slices.

use rayon::prelude::*;

/// Elements that one task updates or sums. Fixed, so that sums have the same order everywhere.
pub(super) const CHUNK: usize = 1 << 15;

/// The numbers of one update, in the arithmetic's type.
#[derive(Clone, Copy)]
pub(super) struct Update {
    pub(super) scale: f32,
    pub(super) decay: f32,
    pub(super) one_minus_beta1: f32,
    pub(super) beta2: f32,
    pub(super) one_minus_beta2: f32,
    pub(super) step_size: f32,
    pub(super) root_correction2: f32,
    pub(super) epsilon: f32,
}

impl Update {
    pub(super) fn run(&self, params: &mut [f32], gradient: &[f32], moment1: &mut [f32], moment2: &mut [f32]) {
        if params.len() <= CHUNK {
            return self.run_chunk(params, gradient, moment1, moment2);
        }
        params
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(moment1.par_chunks_mut(CHUNK).zip(moment2.par_chunks_mut(CHUNK)))
            .for_each(|((p, g), (m, v))| self.run_chunk(p, g, m, v));
    }

    fn run_chunk(&self, params: &mut [f32], gradient: &[f32], moment1: &mut [f32], moment2: &mut [f32]) {
        for (((p, &g), m), v) in params.iter_mut().zip(gradient).zip(moment1).zip(moment2) {
            let g = g * self.scale;
            *m += self.one_minus_beta1 * (g - *m);
            *v = self.beta2 * *v + self.one_minus_beta2 * g * g;
            let denominator = v.sqrt() / self.root_correction2 + self.epsilon;
            *p = *p * self.decay - self.step_size * (*m / denominator);
        }
    }
}

/// Σ g² in f64, chunk by chunk in a fixed order.
pub(super) fn sum_of_squares(values: &[f32]) -> f64 {
    if values.len() <= CHUNK {
        return sum_of_chunk(values); // waking the pool would cost more than the sum
    }
    let sums: Vec<f64> = values.par_chunks(CHUNK).map(sum_of_chunk).collect();
    sums.iter().sum()
}

/// Eight sums side by side, so that additions need not wait for each other.
fn sum_of_chunk(values: &[f32]) -> f64 {
    let mut lanes = [0.0; 8];
    for block in values.chunks(lanes.len()) {
        for (lane, &g) in lanes.iter_mut().zip(block) {
            *lane += f64::from(g) * f64::from(g);
        }
    }
    lanes.iter().sum()
}
