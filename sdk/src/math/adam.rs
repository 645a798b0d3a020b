//! Adam on a few numbers: Kingma and Ba, "Adam: A method for stochastic optimization", ICLR 2015, algorithm 1.

use serde::{Deserialize, Serialize};

/// Decay of the running mean of gradients.
const BETA_1: f64 = 0.9;
/// Decay of the running mean of squared gradients.
const BETA_2: f64 = 0.999;

/// Both moments `[N]` and the number of steps; keep it in the scalarizer's struct and it is saved with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    first: Vec<f64>,
    second: Vec<f64>,
    steps: u32,
}

impl Adam {
    /// For `n` numbers.
    pub fn new(n: usize) -> Self {
        Self {
            first: vec![0.0; n],
            second: vec![0.0; n],
            steps: 0,
        }
    }

    /// Moves `x` `[N]` by −`lr` · m̂ / (√v̂ + `epsilon`) for `gradient` `[N]`.
    pub fn step(&mut self, x: &mut [f64], gradient: &[f64], lr: f64, epsilon: f64) {
        self.steps = self.steps.saturating_add(1);
        let correction = |beta: f64| 1.0 - beta.powf(f64::from(self.steps));
        let (first, second) = (correction(BETA_1), correction(BETA_2));
        for (i, (x, g)) in x.iter_mut().zip(gradient).enumerate() {
            self.first[i] += (1.0 - BETA_1) * (g - self.first[i]);
            self.second[i] += (1.0 - BETA_2) * (g * g - self.second[i]);
            *x -= lr * (self.first[i] / first) / ((self.second[i] / second).sqrt() + epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Adam;

    /// The first step has length lr whatever the gradient's; torch.optim.Adam gives the second and third.
    #[test]
    fn three_steps() {
        let (mut x, mut adam) = (vec![1.0, -2.0], Adam::new(2));
        adam.step(&mut x, &[0.5, -300.0], 0.1, 1e-8);
        assert!((x[0] - 0.9).abs() < 1e-8 && (x[1] + 1.9).abs() < 1e-8, "{x:?}");
        adam.step(&mut x, &[-0.5, -300.0], 0.1, 1e-8);
        adam.step(&mut x, &[0.25, 0.0], 0.1, 1e-8);
        // By hand for x_0: m̂ = −0.05/0.19·…; the three moments written out.
        let (m1, m2, m3) = (0.05, 0.9 * 0.05 - 0.05, 0.9 * (0.9 * 0.05 - 0.05) + 0.025);
        let (v1, v2) = (0.001 * 0.25, 0.999 * (0.001 * 0.25) + 0.001 * 0.25);
        let v3 = 0.999 * v2 + 0.001 * 0.0625;
        let moved = |m: f64, v: f64, t: i32| {
            0.1 * (m / (1.0 - 0.9_f64.powi(t))) / ((v / (1.0 - 0.999_f64.powi(t))).sqrt() + 1e-8)
        };
        let expected = 1.0 - moved(m1, v1, 1) - moved(m2, v2, 2) - moved(m3, v3, 3);
        assert!((x[0] - expected).abs() < 1e-12, "{} {expected}", x[0]);
    }
}
