//! CAGrad: within a ball around the average gradient, the step that helps the worst objective most (Liu et al.,
//! "Conflict-Averse Gradient Descent for Multi-task Learning", arXiv 2110.14048, algorithm 1). RACO (arXiv 2602.02495)
//! brings it to alignment, and clips.
//!
//! From the Gramian G `[M, M]` of a mini-batch, preference weights p `[M]`, and g_q = Σ_m q_m g_m:
//! ```text
//! g₀ = Σ_m p_m g_m
//! q  = argmin qᵀ G p + c ‖g₀‖ √(qᵀ G q)       over the simplex of the gradients that are not zero
//! q ← min(q, p)                               with `clip` (RACO)
//! w  = (p + c ‖g₀‖ / ‖g_q‖ · q) / r           r = 1, 1 + c or 1 + c² by `rescale`
//! ```
//! w = p / r where ‖g₀‖ or ‖g_q‖ is at most 1e-9 of the longest gradient: the objectives balance each other. The step is
//! longer than linear's, by up to c. With one objective the weight is 1.
//!
//! The minimum is exact. With κ = c ‖g₀‖ and a multiplier λ for Σ q = 1, x = κ q / ‖g_q‖ is the least point of
//! ½ xᵀ G x + (G p − λ)ᵀ x over x >= 0, and its length √(xᵀ G x) grows with λ: λ is where it is κ.
//!
//! Departures from the released code: none with `rescale`, which is "one-plus-c-squared" there for three tasks and
//! "one-plus-c" in its toy; the default is the published step. RACO's default for `clip` differs between its script
//! (off) and its page (on). TorchJD gives no update at all where the trace is below 1e-4 or one gradient is zero.

use moa_sdk::prelude::*;

/// What the step is divided by.
#[derive(Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
pub enum Rescale {
    /// 1.
    #[default]
    None,
    /// 1 + c.
    OnePlusC,
    /// 1 + c².
    OnePlusCSquared,
}

/// p `[M]`, and how far the step may leave the average.
#[derive(Params, Serialize, Deserialize)]
pub struct CaGrad {
    #[param(weights)]
    weights: Vec<f64>,
    /// radius of the ball around the average gradient, as a share of its length.
    #[param(default = 0.4, range = 0.0..)]
    c: f64,
    /// no objective gets more of the correction than its weight (RACO).
    clip: bool,
    /// what the step is divided by: nothing, 1 + c, or 1 + c².
    rescale: Rescale,
}

/// A gradient or a mix of them up to this share of the longest one is taken for 0.
const ZERO: f64 = 1e-9;

#[scalarizer]
impl Scalarizer for CaGrad {
    const NAME: &str = "cagrad";
    const PAPER: &str = "Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, arXiv 2110.14048; RACO, arXiv 2602.02495";
    // g = (1, 0) and (0, 2), c = 1: g₀ = (½, 1). The worst is helped most by all of the correction on the first:
    // ‖g₀‖ / ‖g_0‖ = √5 / 2 more.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn weigh_gradients(&mut self, gradients: &Gradients) -> Result<Vec<f32>> {
        let correction = |directions: &math::Directions| Ok(self.correction(directions));
        let w = math::correct(gradients.gram(), &self.weights, correction)?;
        let divisor = match self.rescale {
            Rescale::OnePlusC if w.len() > 1 => 1.0 + self.c,
            Rescale::OnePlusCSquared if w.len() > 1 => 1.0 + self.c * self.c,
            _ => 1.0,
        };
        Ok(math::to_f32(w.iter().map(|w| w / divisor)))
    }
}

impl CaGrad {
    /// κ / ‖g_q‖ · q `[K]`; 0 where objectives balance each other.
    fn correction(&self, directions: &math::Directions) -> Vec<f64> {
        let (lengths, cosines) = (directions.lengths(), directions.cosines());
        let p = directions.pick(&self.weights);
        let length = |weights: &[f64]| cosines.form(&directions.by_length(weights)).max(0.0).sqrt();
        let (none, longest) = (vec![0.0; p.len()], lengths.iter().copied().fold(0.0, f64::max));
        let kappa = self.c * length(&p);
        if kappa <= 0.0 || length(&p) <= ZERO * longest {
            return none;
        }
        let products = directions.by_length(&cosines.times(&directions.by_length(&p))); // G p
        let x = self.of_length(directions, &products, kappa);
        let sum: f64 = x.iter().sum();
        let clipped = |(x, p): (&f64, &f64)| if self.clip { (x / sum).min(*p) } else { x / sum };
        let q: Vec<f64> = x.iter().zip(&p).map(clipped).collect();
        let of_q = length(&q);
        if of_q <= ZERO * longest {
            return none;
        }
        q.iter().map(|q| q * kappa / of_q).collect()
    }

    /// x `[K]` of length κ: bisection on δ = λ − min Gp, so that a small λ keeps its digits.
    fn of_length(&self, directions: &math::Directions, products: &[f64], kappa: f64) -> Vec<f64> {
        let ridged = directions.ridged_cosines();
        let least = products.iter().copied().fold(f64::INFINITY, f64::min);
        // On gradients of length 1: y = D x.
        let at = |delta: f64| {
            let linear: Vec<f64> = products.iter().map(|b| b - least - delta).collect();
            math::nonnegative_minimum(&ridged, &directions.per_length(&linear))
        };
        // λ is the least value, and no vertex of the simplex has less.
        let vertices = products
            .iter()
            .zip(directions.lengths())
            .map(|(b, d)| b - least + kappa * d);
        let (mut low, mut high) = (0.0, 1.001 * vertices.fold(f64::INFINITY, f64::min));
        while high - low > 1e-15 * high {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                break;
            }
            if ridged.form(&at(middle)) < kappa * kappa {
                low = middle;
            } else {
                high = middle;
            }
        }
        directions.per_length(&at(high))
    }
}

moa_sdk::export!(scalarizers: [CaGrad]);

moa_sdk::testing::suite!(CaGrad,
    golden = [
        "../../../tests/golden/methods/cagrad-m5.jsonl",
        "../../../tests/golden/methods/cagrad-clip-weights.jsonl",
        "../../../tests/golden/methods/cagrad-rescaled.jsonl",
    ],
    params = [{}, {"c": 0.0}, {"c": 1.5, "rescale": "one-plus-c"}, {"clip": true, "rescale": "one-plus-c-squared"}],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::json;
    use moa_sdk::testing;

    use super::*;

    /// The step is d = g₀ + c ‖g₀‖ g_q / ‖g_q‖, and no other step as near to g₀ helps the worst objective more: not one
    /// of random directions, nor of small changes of q.
    #[test]
    fn no_step_in_the_ball_helps_the_worst_objective_more() -> Result<()> {
        let mut rng = Rng::new(4);
        for case in 0..400 {
            let (m, n) = (2 + case % 6, 2 + rng.below(8));
            let jacobian: Vec<Vec<f64>> = (0..m).map(|_| (0..n).map(|_| rng.normal()).collect()).collect();
            let gram = math::gramian(&jacobian);
            let c = 0.1 + 0.8 * rng.uniform();
            let mut plugin: CaGrad = testing::scalarizer(m, &json!({ "c": c }))?;
            let weights = plugin.weigh_gradients(&testing::gradients(1e-6, &gram, &vec![0.0; m])?)?;
            let step = |w: &[f64]| -> Vec<f64> {
                let part = |k: usize| w.iter().zip(&jacobian).map(|(w, g)| w * g[k]).sum();
                (0..n).map(part).collect()
            };
            let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
            let worst = |d: &[f64]| jacobian.iter().map(|g| dot(g, d)).fold(f64::INFINITY, f64::min);
            let average = step(&vec![1.0 / m as f64; m]);
            let radius = c * dot(&average, &average).sqrt();
            let best = step(&weights.iter().map(|w| f64::from(*w)).collect::<Vec<_>>());
            let apart: Vec<f64> = best.iter().zip(&average).map(|(b, a)| b - a).collect();
            assert!(
                (dot(&apart, &apart).sqrt() - radius).abs() < 1e-5 * radius,
                "case {case}"
            );
            for near in [1.0, 0.1, 0.01] {
                let other: Vec<f64> = apart.iter().map(|x| x + near * radius * rng.normal()).collect();
                let scale = radius / dot(&other, &other).sqrt();
                let other: Vec<f64> = average.iter().zip(&other).map(|(a, x)| a + scale * x).collect();
                assert!(worst(&other) <= worst(&best) + 1e-5 * radius, "case {case}");
            }
        }
        Ok(())
    }

    /// c = 0 is linear's step, and one zero gradient does not stop it.
    #[test]
    fn without_a_ball_the_step_is_the_average() -> Result<()> {
        let mut plugin: CaGrad = testing::scalarizer(2, &json!({"c": 0.0, "weights": [0.75, 0.25]}))?;
        let gram = [1.0, -0.5, -0.5, 1.0];
        assert_eq!(
            plugin.weigh_gradients(&testing::gradients(1e-6, &gram, &[0.0; 2])?)?,
            [0.75, 0.25]
        );
        let mut plugin: CaGrad = testing::scalarizer(2, &json!({}))?;
        let found = plugin.weigh_gradients(&testing::gradients(1e-6, &[0.0, 0.0, 0.0, 4.0], &[0.0; 2])?)?;
        assert!(found[0] == 0.5 && (found[1] - 0.7).abs() < 1e-6, "{found:?}");
        Ok(())
    }
}
