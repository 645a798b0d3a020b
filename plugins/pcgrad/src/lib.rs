//! PCGrad: from each gradient, the part against each other gradient is taken away, one after the other (Yu et al.,
//! "Gradient Surgery for Multi-Task Learning", arXiv 2001.06782, algorithm 1).
//!
//! From the Gramian G `[M, M]` of a mini-batch and preference weights p `[M]`, for each objective i:
//! ```text
//! x = g_i ;  for each other j in an order:  if x·g_j < 0:  x ← x − (x·g_j / G_jj) g_j
//! w = Σ_i p_i (what x is made of)
//! ```
//! A zero gradient is passed over. The result depends on the order of the others. "average" is the exact mean over all
//! of them, which is what the random orders of the paper are on average: no randomness, and no objective favoured. It
//! is for up to 8 objectives.
//!
//! Departures from the released code: the result is the mean over the objectives, so that without conflict it is
//! linear's; `reduction = "sum"` is the published M times that. The released TensorFlow code throws its shuffle away and
//! uses the listed order, `order = "listed"`. The draws of "random" are the plugin's own.

use moa_sdk::prelude::*;

/// In which order the others are gone through.
#[derive(Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
pub enum Order {
    /// The mean over all orders.
    #[default]
    Average,
    /// As the objectives stand in the config.
    Listed,
    /// A new one for each objective in each mini-batch.
    Random,
}

/// How the objectives' gradients are put together.
#[derive(Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
pub enum Reduction {
    /// Weighted by p, which sums to 1.
    #[default]
    Mean,
    /// M times that.
    Sum,
}

/// p `[M]`, order and size of the step, and the generator of random orders.
#[derive(Params, Serialize, Deserialize)]
pub struct PcGrad {
    #[param(weights)]
    weights: Vec<f64>,
    /// the order in which the others' parts are taken away: the mean over all orders, as listed, or random.
    order: Order,
    /// the mean over the objectives, or their sum.
    reduction: Reduction,
    #[state(init = setup.rng())]
    rng: Rng,
}

/// 8 objectives have 5040 orders of the others each; one more has eight times as many.
const MOST: usize = 8;

#[scalarizer]
impl Scalarizer for PcGrad {
    const NAME: &str = "pcgrad";
    const PAPER: &str = "Yu et al., Gradient Surgery for Multi-Task Learning, arXiv 2001.06782";
    // g = (1, 0) and (−1, 1): each loses its part along the other, −1/2 and −1/1 of it.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn new(setup: &Setup, params: Self) -> Result<Self> {
        let m = setup.m();
        if params.order == Order::Average && m > MOST {
            return Err(Error::new(format!(
                "order is \"average\" for {m} objectives, expected at most {MOST}"
            ))
            .hint("set order = \"random\""));
        }
        Ok(params)
    }

    fn weigh_gradients(&mut self, gradients: &Gradients) -> Result<Vec<f32>> {
        let (order, rng) = (self.order, &mut self.rng);
        let w = math::correct(gradients.gram(), &self.weights, |directions| {
            let cosines = directions.cosines();
            let pull = directions.by_length(&directions.pick(&self.weights));
            let mut added = vec![0.0; pull.len()]; // of gradients of length 1
            for (i, pull) in pull.iter().enumerate() {
                let mut others: Vec<usize> = (0..cosines.n()).filter(|j| *j != i).collect();
                let mut x = X::of(cosines, i);
                if order == Order::Average {
                    let mut levels = vec![x; cosines.n()];
                    let all = others.iter().fold(0, |left, j| left | 1 << j);
                    add_mean(cosines, &mut levels, all, *pull, &mut added);
                    continue;
                }
                if order == Order::Random {
                    (1..others.len())
                        .rev()
                        .for_each(|at| others.swap(at, rng.below(at + 1)));
                }
                others.iter().for_each(|j| x.lose(cosines, *j));
                added.iter_mut().zip(&x.added).for_each(|(sum, x)| *sum += pull * x);
            }
            Ok(directions.per_length(&added))
        })?;
        let factor = if self.reduction == Reduction::Sum {
            w.len() as f64
        } else {
            1.0
        };
        Ok(math::to_f32(w.iter().map(|w| factor * w)))
    }
}

/// A gradient of length 1 on its way: its products with all others `[K]`, and what was added of each of them `[K]`.
#[derive(Clone)]
struct X {
    products: Vec<f64>,
    added: Vec<f64>,
}

impl X {
    fn of(cosines: &math::Symmetric, i: usize) -> Self {
        Self {
            products: cosines.row(i).to_vec(),
            added: vec![0.0; cosines.n()],
        }
    }

    /// Loses its part against gradient j.
    fn lose(&mut self, cosines: &math::Symmetric, j: usize) {
        let against = -self.products[j];
        if against > 0.0 {
            self.added[j] += against;
            self.products
                .iter_mut()
                .zip(cosines.row(j))
                .for_each(|(x, c)| *x += against * c);
        }
    }

    fn copy_from(&mut self, other: &Self) {
        self.products.copy_from_slice(&other.products);
        self.added.copy_from_slice(&other.added);
    }
}

/// Adds `share` times the mean of what is added in all orders of the gradients `left`, a set of bits, from the first of
/// `levels` on; the others are room for those to come.
fn add_mean(cosines: &math::Symmetric, levels: &mut [X], left: u32, share: f64, sum: &mut [f64]) {
    let Some((x, rest)) = levels.split_first_mut() else {
        return;
    };
    let members = || (0..cosines.n()).filter(|j| left & 1 << j != 0);
    if members().all(|j| x.products[j] >= 0.0) {
        sum.iter_mut().zip(&x.added).for_each(|(sum, x)| *sum += share * x);
        return;
    }
    let share = share / f64::from(left.count_ones());
    if left.count_ones() == 2 {
        // Both orders at once: most of the time would go into these.
        let (low, high) = (left.trailing_zeros() as usize, left.ilog2() as usize);
        sum.iter_mut()
            .zip(&x.added)
            .for_each(|(sum, x)| *sum += 2.0 * share * x);
        for (j, k) in [(low, high), (high, low)] {
            let first = (-x.products[j]).max(0.0);
            let then = -(x.products[k] + first * cosines.get(j, k));
            sum[j] += share * first;
            sum[k] += share * then.max(0.0);
        }
        return;
    }
    for j in members() {
        rest[0].copy_from(x);
        rest[0].lose(cosines, j);
        add_mean(cosines, rest, left & !(1 << j), share, sum);
    }
}

moa_sdk::export!(scalarizers: [PcGrad]);

moa_sdk::testing::suite!(PcGrad,
    golden = [
        "../../../tests/golden/methods/pcgrad-m5.jsonl",
        "../../../tests/golden/methods/pcgrad-weights.jsonl",
        "../../../tests/golden/methods/pcgrad-listed-sum.jsonl",
    ],
    params = [
        {},
        {"order": "listed"} without permutation,
        {"order": "random", "reduction": "sum"} without permutation,
    ],
    permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
);

#[cfg(test)]
mod tests {
    use moa_sdk::serde_json::{Value, json};
    use moa_sdk::testing;

    use super::*;

    fn weights_of(plugin: &mut PcGrad, gram: &[f64]) -> Result<Vec<f32>> {
        plugin.weigh_gradients(&testing::gradients(1e-6, gram, &vec![0.0; plugin.weights.len()])?)
    }

    fn made(m: usize, params: &Value) -> Result<PcGrad> {
        testing::scalarizer(m, params)
    }

    /// The projected gradients of two objectives are across each other's: neither is hurt. Without conflict the weights
    /// are the preference.
    #[test]
    fn two_objectives_are_not_hurt() -> Result<()> {
        let mut rng = Rng::new(7);
        let mut plugin = made(2, &json!({}))?;
        for _ in 0..500 {
            let jacobian: Vec<Vec<f64>> = (0..2).map(|_| (0..3).map(|_| rng.normal()).collect()).collect();
            let gram = math::gramian(&jacobian);
            let w = weights_of(&mut plugin, &gram)?;
            if gram[1] >= 0.0 {
                assert_eq!(w, [0.5, 0.5]);
            }
            for i in 0..2 {
                let product = f64::from(w[0]) * gram[2 * i] + f64::from(w[1]) * gram[2 * i + 1];
                assert!(product >= -1e-6 * (gram[0] + gram[3]), "{gram:?} {w:?}");
            }
        }
        Ok(())
    }

    /// The mean of many random orders is near "average"; the generator is part of the state.
    #[test]
    fn random_orders_are_the_average_in_the_mean() -> Result<()> {
        let mut rng = Rng::new(2);
        let jacobian: Vec<Vec<f64>> = (0..5).map(|_| (0..3).map(|_| rng.normal()).collect()).collect();
        let gram = math::gramian(&jacobian);
        assert!(gram.iter().any(|product| *product < 0.0));
        let average = weights_of(&mut made(5, &json!({}))?, &gram)?;
        let mut plugin = made(5, &json!({"order": "random"}))?;
        let mut sum = [0.0; 5];
        for _ in 0..4000 {
            let w = weights_of(&mut plugin, &gram)?;
            sum.iter_mut().zip(w).for_each(|(sum, w)| *sum += f64::from(w) / 4000.0);
        }
        let listed = weights_of(&mut made(5, &json!({"order": "listed"}))?, &gram)?;
        let apart = |found: &[f64]| -> f64 {
            let differences = found.iter().zip(&average).map(|(x, w)| (x - f64::from(*w)).abs());
            differences.fold(0.0, f64::max)
        };
        let of_listed: Vec<f64> = listed.iter().map(|w| f64::from(*w)).collect();
        assert!(
            apart(&sum) < 0.02 && apart(&of_listed) > 0.05,
            "{sum:?} {listed:?} {average:?}"
        );
        Ok(())
    }

    #[test]
    fn the_average_over_too_many_orders_is_refused() {
        assert!(made(9, &json!({})).is_err_and(|error| error.hint.is_some_and(|hint| hint.contains("random"))));
        assert!(made(9, &json!({"order": "random"})).is_ok());
    }
}
