//! Random weights: embedding N(0, .02²), matrices N(0, 1 / inputs), biases 0, norms 1. Matrices that write to the
//! residual stream are also divided by sqrt(2 · layers).

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::architecture::Architecture;
use super::error::ModelError;
use crate::engine::{Params, Slot};
use crate::num::to_f32;

/// Uniform in (0, 1).
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// Standard normal values (Box–Muller), in pairs.
fn normals(rng: &mut ChaCha8Rng, n: usize, std: f64) -> Vec<f32> {
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        let radius = std * (-2.0 * uniform(rng).ln()).sqrt();
        let angle = 2.0 * std::f64::consts::PI * uniform(rng);
        values.push(to_f32(radius * angle.cos()));
        values.push(to_f32(radius * angle.sin()));
    }
    values.truncate(n);
    values
}

/// All weights of a new model; the same seed makes the same weights.
///
/// # Errors
/// None: the values fill the layout that they are made for.
pub(crate) fn random(architecture: &Architecture, seed: u64) -> Result<Params, ModelError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let residual = (2.0 * architecture.layers as f64).sqrt();
    let layout = architecture.layout();
    let mut values = Vec::with_capacity(layout.len());
    for Slot { name, shape, range } in layout.slots() {
        let n = range.len();
        if shape.len() == 1 {
            values.resize(values.len() + n, if name.ends_with("bias") { 0.0 } else { 1.0 });
            continue;
        }
        let std = match name.as_str() {
            "model.embed_tokens.weight" => 0.02,
            _ if name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight") => {
                (shape[1] as f64).powf(-0.5) / residual
            }
            _ => (shape[1] as f64).powf(-0.5),
        };
        values.extend(normals(&mut rng, n, std));
    }
    Ok(Params::new(layout, values)?)
}
