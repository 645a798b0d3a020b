//! Permutation tests: how often would labels drawn by lot give a difference at least as large? No assumption about the
//! distribution. Two-sided; p is twice the smaller tail, at most 1.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// Up to so many labellings all are counted; beyond, as many are drawn.
const EXACT: u64 = 1 << 17;
/// Drawn labellings. With the one that was observed they make p a multiple of 1e-4.
const DRAWN: u64 = 9_999;

/// What a test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The mean difference.
    pub difference: f64,
    /// Two-sided p.
    pub p: f64,
    /// The least p that the design can reach, whatever the values are.
    pub least: f64,
    /// Whether all labellings were counted.
    pub exact: bool,
}

/// Tests whether paired `differences` are centred at 0, by flipping their signs; none without any.
#[must_use]
pub fn sign_flip(differences: &[f64]) -> Option<Test> {
    let n = differences.len();
    if n == 0 {
        return None;
    }
    let observed: f64 = differences.iter().sum();
    let mut tails = Tails::new(observed, differences.iter().map(|d| d.abs()).sum());
    let all = 1_u64
        .checked_shl(u32::try_from(n).unwrap_or(u32::MAX))
        .filter(|&all| all <= EXACT);
    if let Some(all) = all {
        for signs in 0..all {
            let signed = differences.iter().enumerate();
            tails.add(signed.map(|(i, d)| if signs >> i & 1 == 1 { -d } else { *d }).sum());
        }
    } else {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        tails.add(observed);
        for _ in 0..DRAWN {
            let mut sum = 0.0;
            for part in differences.chunks(64) {
                let signs = rng.next_u64();
                let signed = part.iter().enumerate();
                sum += signed
                    .map(|(i, d)| if signs >> i & 1 == 1 { -d } else { *d })
                    .sum::<f64>();
            }
            tails.add(sum);
        }
    }
    Some(Test {
        difference: observed / n as f64,
        p: tails.p(),
        least: (2.0 / tails.count as f64).min(1.0),
        exact: all.is_some(),
    })
}

/// Tests whether `x` and `y` have the same mean, by dealing all values anew; none where one is empty.
#[must_use]
pub fn unpaired(x: &[f64], y: &[f64]) -> Option<Test> {
    if x.is_empty() || y.is_empty() {
        return None;
    }
    let mut all: Vec<f64> = x.iter().chain(y).copied().collect();
    let (n, total) = (x.len(), all.iter().sum::<f64>());
    // The mean difference is an increasing function of the sum of the first sample.
    let observed: f64 = x.iter().sum();
    let mut tails = Tails::new(observed, all.iter().map(|v| v.abs()).sum());
    let labellings = choose(all.len(), n).filter(|&count| count <= EXACT);
    if labellings.is_some() {
        deal(&all, n, 0.0, &mut tails);
    } else {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        tails.add(observed);
        for _ in 0..DRAWN {
            // The first n of a Fisher-Yates shuffle.
            for i in 0..n {
                let rest = (all.len() - i) as u64;
                let j = i + usize::try_from(rng.next_u64() % rest).unwrap_or(0);
                all.swap(i, j);
            }
            tails.add(all[..n].iter().sum());
        }
    }
    Some(Test {
        difference: observed / n as f64 - (total - observed) / y.len() as f64,
        p: tails.p(),
        least: (2.0 / tails.count as f64).min(1.0),
        exact: labellings.is_some(),
    })
}

/// Adds the sum of every choice of `n` of `values`.
fn deal(values: &[f64], n: usize, sum: f64, tails: &mut Tails) {
    match (n, values) {
        (0, _) => tails.add(sum),
        (_, [first, rest @ ..]) if rest.len() + 1 >= n => {
            deal(rest, n - 1, sum + first, tails);
            deal(rest, n, sum, tails);
        }
        _ => {}
    }
}

/// Ways to choose `k` of `n`; none where they do not fit.
fn choose(n: usize, k: usize) -> Option<u64> {
    let (n, k) = (n as u64, k.min(n - k) as u64);
    (0..k).try_fold(1_u64, |ways, i| Some(ways.checked_mul(n - i)? / (i + 1)))
}

/// Counts of both tails.
struct Tails {
    observed: f64,
    /// Sums that differ by less are equal: they were added in another order.
    tolerance: f64,
    below: u64,
    above: u64,
    count: u64,
}

impl Tails {
    fn new(observed: f64, size: f64) -> Self {
        Self {
            observed,
            tolerance: 1e-12 * size,
            below: 0,
            above: 0,
            count: 0,
        }
    }

    fn add(&mut self, sum: f64) {
        self.count += 1;
        self.below += u64::from(sum <= self.observed + self.tolerance);
        self.above += u64::from(sum >= self.observed - self.tolerance);
    }

    fn p(&self) -> f64 {
        (2.0 * self.below.min(self.above) as f64 / self.count as f64).min(1.0)
    }
}
