//! Two bargaining solutions among the objectives' gradients: [`NashMtl`] (Navon et al., "Multi-Task Learning as a
//! Bargaining Game", arXiv 2202.01017) and [`FairGrad`] (Ban and Ji, "Fair Resource Allocation in Multi-Task Learning",
//! arXiv 2402.15638, equation 4), of which the former is the case a = 1.
//!
//! From the Gramian G `[M, M]` of a mini-batch, α > 0 `[M]` solves
//! ```text
//! (G α)_m = α_m^(−1/a)       the least point of ½ αᵀ G α − Σ_m ∫ α_m^(−1/a), which is convex
//! w = α / Σ α ("sum-to-one")  or  α ("published")
//! ```
//! (G α)_m is what the step does for objective m: all of them gain, whatever the sizes of their gradients. A zero
//! gradient has weight 0; where all are zero, the weights are equal; with one objective it is 1. In calls between every
//! `update_every`-th one the weights stay.
//!
//! Solved by Newton's method, for gradients scaled to a unit diagonal, with 1e-8 on it, so that equal gradients share.
//!
//! Departures from the released code: it solves a linearised problem with ECOS for at most 20 rounds and then clips the
//! step to length 1. "published" has no clip: for a = 1 the step has length √M whatever the gradients' sizes, beside
//! which a KL penalty is nothing; hence the default.

use moa_sdk::prelude::*;

mod fairgrad;
mod nash_mtl;

pub use fairgrad::FairGrad;
pub use nash_mtl::NashMtl;

/// The sum of the weights.
#[derive(Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
pub enum Scale {
    /// 1.
    #[default]
    SumToOne,
    /// As the equation has it.
    Published,
}

/// How long the step is, how often weights are looked for, the last ones `[M]`, and the mini-batches until the next.
#[derive(Params, Serialize, Deserialize)]
struct Bargain {
    /// weights that sum to 1, or the published ones, whose step has a length of its own.
    scale: Scale,
    /// the weights are found anew once in this many mini-batches.
    #[param(default = 1, range = 1..)]
    update_every: u32,
    #[state(init = math::simplex_weights(&[], setup.m())?)]
    weights: Vec<f64>,
    #[state]
    wait: u32,
}

/// On the diagonal of gradients scaled to length 1.
const RIDGE: f64 = 1e-8;
/// Rounds of Newton's method; about ten are needed.
const ROUNDS: usize = 200;

impl Bargain {
    fn weigh(&mut self, gradients: &Gradients, a: f64) -> Result<Vec<f32>> {
        if self.wait == 0 {
            self.wait = self.update_every;
            let equal = math::simplex_weights(&[], gradients.m())?;
            self.weights = math::weigh(gradients.gram(), &equal, |directions| {
                let alpha = solution(directions, a);
                let sum: f64 = alpha.iter().sum();
                let divisor = if self.scale == Scale::Published { 1.0 } else { sum };
                Ok(alpha.iter().map(|alpha| alpha / divisor).collect())
            })?;
        }
        self.wait -= 1;
        Ok(math::to_f32(&self.weights))
    }
}

/// α `[K]` = r∘β with r = d^(−2a/(a+1)), where β solves h∘(C̃ β) = β^(−1/a) for a diagonal of 1.
fn solution(directions: &math::Directions, a: f64) -> Vec<f64> {
    // In units of the longest gradient, so that no power leaves f64.
    let longest = directions.lengths().iter().copied().fold(0.0, f64::max);
    let power = |d: f64| d.powf(-2.0 * a / (a + 1.0));
    let r: Vec<f64> = directions.lengths().iter().map(|d| power(d / longest)).collect();
    // R G R, whose row m stands against k_m β_m^(−1/a) with k = r^(1 − 1/a): both have k on the diagonal at β = 1.
    let k: Vec<f64> = r.iter().map(|r| r.powf(1.0 - 1.0 / a)).collect();
    let lengths: Vec<f64> = r
        .iter()
        .zip(directions.lengths())
        .map(|(r, d)| r * (d / longest))
        .collect();
    let g = directions.cosines().plus_ridge(RIDGE).scaled(&lengths);
    let mut beta: Vec<f64> = vec![1.0; r.len()];
    for _ in 0..ROUNDS {
        let pulls: Vec<f64> = beta.iter().zip(&k).map(|(beta, k)| k * beta.powf(-1.0 / a)).collect();
        let slope: Vec<f64> = pulls.iter().zip(g.times(&beta)).map(|(pull, own)| pull - own).collect();
        let curvature: Vec<f64> = pulls.iter().zip(&beta).map(|(pull, beta)| pull / (a * beta)).collect();
        let Some(step) = g.plus_diagonal(&curvature).solve(&slope) else {
            break;
        };
        // Never below a tenth.
        let shrinks = step
            .iter()
            .zip(&beta)
            .map(|(step, beta)| -step / beta)
            .fold(0.0, f64::max);
        let length = if shrinks > 0.9 { 0.9 / shrinks } else { 1.0 };
        beta.iter_mut()
            .zip(&step)
            .for_each(|(beta, step)| *beta += length * step);
        if step.iter().zip(&beta).all(|(step, beta)| step.abs() <= 1e-13 * beta) {
            break;
        }
    }
    r.iter().zip(&beta).map(|(r, beta)| power(longest) * r * beta).collect()
}

moa_sdk::export!(scalarizers: [NashMtl, FairGrad]);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::{Value, json};
    use moa_sdk::testing;

    use super::*;

    /// The largest |(G α)_m α_m^(1/a) − 1| over random gradients, lengths within 10^±3, ridge included; and what
    /// published weights are: α.
    pub(crate) fn residual<S: Scalarizer>(params: &Value, a: f64) -> Result<f64> {
        let mut rng = Rng::new(10);
        let mut worst = 0.0_f64;
        for case in 0..1500 {
            let (m, n) = (2 + case % 7, 8 + rng.below(6));
            let scale = [0.0, 3.0][case % 2];
            let jacobian: Vec<Vec<f64>> = (0..m)
                .map(|_| {
                    let length = 10_f64.powf(scale * (2.0 * rng.uniform() - 1.0));
                    (0..n).map(|_| length * rng.normal()).collect()
                })
                .collect();
            let gram = math::gramian(&jacobian);
            let mut params = params.clone();
            params["scale"] = json!("published");
            let mut plugin: S = testing::scalarizer(m, &params)?;
            let published = plugin.weigh_gradients(&testing::gradients(1e-6, &gram, &vec![0.0; m])?)?;
            let alpha = solution(&math::Directions::new(Matrix64::new("gram", &gram, m, m)?)?, a);
            assert_eq!(published, math::to_f32(&alpha));
            for i in 0..m {
                let own = RIDGE * gram[i * m + i] * alpha[i];
                let gain: f64 = own + (0..m).map(|j| gram[i * m + j] * alpha[j]).sum::<f64>();
                assert!(alpha[i] > 0.0 && gain > 0.0, "case {case}: {alpha:?}");
                worst = worst.max((gain * alpha[i].powf(1.0 / a) - 1.0).abs());
            }
        }
        Ok(worst)
    }

    /// Whatever the gradients, the sizes of which differ or which cancel: the rounds end at a solution.
    #[test]
    fn hard_gramians_are_solved() -> Result<()> {
        let rows = [[1.0, 1e-3], [-1.0, 1e-3], [1e-6, 1e6]].map(Vec::from);
        let gram = math::gramian(&rows);
        for a in [0.3, 1.0, 2.0, 8.0] {
            let directions = math::Directions::new(Matrix64::new("gram", &gram, 3, 3)?)?;
            let alpha = solution(&directions, a);
            for i in 0..3 {
                let d = directions.lengths();
                let ridge = RIDGE * d[i] * d[i] * alpha[i];
                let gain: f64 = ridge + (0..3).map(|j| gram[3 * i + j] * alpha[j]).sum::<f64>();
                assert!((gain * alpha[i].powf(1.0 / a) - 1.0).abs() < 1e-5, "a = {a}: {alpha:?}");
            }
        }
        Ok(())
    }
}
