//! PCD: the step of the first objective, turned as little as it takes to help every other one a little ("PCD",
//! arXiv 2606.29521).
//!
//! The first objective is primary. From the Gramian G `[M, M]` of a mini-batch, the t-th:
//! ```text
//! v ← β v + (1 − β) diag G ;   s = 1 / √(v / (1 − βᵗ) + 1e-8) ;   g̃_m = s_m g_m
//! d = argmin ½ ‖d − g̃_1‖²  over  g̃_jᵀ d >= τ_j ‖g̃_j‖²  for each other j     = g̃_1 + Σ_j λ_j g̃_j, λ >= 0
//! w = s∘(1, λ) ‖g_1‖ / ‖d‖
//! ```
//! The step is as long as the primary objective's own. Without conflict it is that, and the weights are (1, 0, …), as they
//! are where no step helps all others, and where the primary gradient is zero. A zero gradient asks for nothing.
//!
//! Departures from the released code (TorchJD): none in the rule; λ is exact, with 1e-10 on the diagonal of the cosines,
//! so that equal gradients share.

use moa_sdk::prelude::*;

/// How much the others are helped; v `[M]` and t.
#[derive(Params, Serialize, Deserialize)]
pub struct Pcd {
    /// part of its own squared length that each objective but the first gains, one for each of them or one for all.
    #[param(default = [0.02], range = 0.0.., per_objective = setup.m().saturating_sub(1))]
    tau: Vec<f64>,
    /// decay of the running mean of squared lengths.
    #[param(default = 0.999, range = 0.0..1.0)]
    beta: f64,
    #[state(init = vec![0.0; setup.m()])]
    mean_squares: Vec<f64>,
    #[state]
    calls: u32,
}

/// What is added to squared lengths before they are divided by.
const EPSILON: f64 = 1e-8;

/// The part of its length by which an objective's gain may miss what it should be for the constraints to count as met.
const MISSED: f64 = 1e-6;

#[scalarizer]
impl Scalarizer for Pcd {
    const NAME: &str = "pcd";
    const PAPER: &str = "PCD, arXiv 2606.29521";
    // Lengths 1, cosine −0.6, τ ½: λ = ½ + 0.6, d = (1, 0) + 1.1 (−0.6, 0.8), ‖d‖² = 0.89.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn weigh_gradients(&mut self, gradients: &Gradients) -> Result<Vec<f32>> {
        self.calls = self.calls.saturating_add(1);
        let correction = 1.0 - self.beta.powf(f64::from(self.calls));
        let square = |m: usize| gradients.gram().get(m, m).max(0.0);
        for (m, mean) in self.mean_squares.iter_mut().enumerate() {
            *mean = self.beta * *mean + (1.0 - self.beta) * square(m);
        }
        let scale: Vec<f64> = self
            .mean_squares
            .iter()
            .map(|v| (v / correction + EPSILON).sqrt().recip())
            .collect();
        let mut first = vec![0.0; gradients.m()];
        first[0] = 1.0;
        let weights = math::correct(gradients.gram(), &first, |directions| {
            let primary = directions.pick(&first);
            let (scale, tau) = (
                directions.pick(&scale),
                directions.pick(&[&[0.0], &self.tau[..]].concat()),
            );
            let found = turned(directions, &scale, &tau).filter(|_| primary[0] > 0.0);
            let found = found.unwrap_or_else(|| primary.clone());
            Ok(found.iter().zip(&primary).map(|(w, own)| w - own).collect())
        })?;
        Ok(math::to_f32(weights))
    }
}

/// w `[K]`, the first gradient being primary; `None` where no step helps all others.
fn turned(directions: &math::Directions, scale: &[f64], tau: &[f64]) -> Option<Vec<f64>> {
    let (cosines, k) = (directions.cosines(), directions.k());
    let lengths = directions.by_length(scale); // of g̃
    let others: Vec<usize> = (1..k).collect();
    // On gradients of length 1: y = (‖g̃_1‖, ν).
    let linear: Vec<f64> = others
        .iter()
        .map(|&j| lengths[0] * cosines.get(0, j) - tau[j] * lengths[j])
        .collect();
    let nu = math::nonnegative_minimum(&directions.ridged_cosines().of(&others), &linear);
    let y: Vec<f64> = std::iter::once(lengths[0]).chain(nu).collect();
    let gains = cosines.times(&y);
    let length = cosines.form(&y).max(0.0).sqrt();
    let met = others
        .iter()
        .all(|&j| gains[j] >= tau[j] * lengths[j] - MISSED * (lengths[j] + lengths[0]));
    let factor = directions.lengths()[0] / length;
    let w: Vec<f64> = directions.per_length(&y).iter().map(|w| factor * w).collect();
    (met && length > MISSED * lengths[0]).then_some(w)
}

moa_sdk::export!(scalarizers: [Pcd]);

moa_sdk::testing::suite!(Pcd,
    golden = [
        "../../../tests/golden/methods/pcd-m3.jsonl",
        "../../../tests/golden/methods/pcd-m5.jsonl",
        "../../../tests/golden/methods/pcd-tau.jsonl",
    ],
    params = [{} without permutation, {"tau": [0.5], "beta": 0.0} without permutation],
    permutation = [[0, 2, 1]: {"tau": [0.1, 0.3]} => {"tau": [0.3, 0.1]}],
);

#[cfg(test)]
mod tests {
    use super::*;
    use moa_sdk::serde_json::json;
    use moa_sdk::testing;

    /// The step is as long as the primary gradient, and helps every other objective by its part; without conflict it is
    /// the primary gradient.
    #[test]
    fn every_other_objective_gains_its_part() -> Result<()> {
        let mut rng = Rng::new(15);
        let mut plain = 0;
        for case in 0..1000 {
            let m = 2 + case % 6;
            let jacobian: Vec<Vec<f64>> = (0..m).map(|_| (0..12).map(|_| rng.normal()).collect()).collect();
            let gram = math::gramian(&jacobian);
            let mut plugin: Pcd = testing::scalarizer(m, &json!({}))?;
            let w = plugin.weigh_gradients(&testing::gradients(1e-6, &gram, &vec![0.0; m])?)?;
            let products: Vec<f64> = (0..m)
                .map(|i| (0..m).map(|j| gram[i * m + j] * f64::from(w[j])).sum())
                .collect();
            let square: f64 = products.iter().zip(&w).map(|(x, w)| x * f64::from(*w)).sum();
            assert!((square / gram[0] - 1.0).abs() < 1e-4, "case {case}: {w:?}");
            // In the first call all g̃ have length 1, and d is the step over its w_0, times s_0.
            let of_d = |i: usize| products[i] / f64::from(w[0]) / gram[0].sqrt() / gram[i * m + i].sqrt();
            assert!((1..m).all(|i| of_d(i) > 0.02 - 1e-5), "case {case}: {w:?}");
            plain += usize::from(w[0] == 1.0 && w[1..].iter().all(|w| *w == 0.0));
        }
        assert!((50..900).contains(&plain), "{plain} cases without conflict");
        Ok(())
    }

    /// Two others against each other: nothing helps both.
    #[test]
    fn where_nothing_helps_all_the_step_is_the_primary_gradient() -> Result<()> {
        let gram = math::gramian(&[vec![1.0, 0.0], vec![0.0, 1.0], vec![0.0, -1.0]]);
        let mut plugin: Pcd = testing::scalarizer(3, &json!({}))?;
        let w = plugin.weigh_gradients(&testing::gradients(1e-6, &gram, &[0.0; 3])?)?;
        assert_eq!(w, [1.0, 0.0, 0.0]);
        Ok(())
    }
}
