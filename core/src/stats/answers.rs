//! Several answers to one prompt: pass@k and maj@k without bias, from n answers of which some are right.

/// Probability that at least one of `k` answers is right, drawn without replacement from `n` of which `right` are
/// (arXiv 2107.03374, as a product, so that nothing overflows). None where there are fewer than `k`, or `k` is 0.
#[must_use]
pub fn pass_at_k(n: usize, right: usize, k: usize) -> Option<f64> {
    if k == 0 || k > n || right > n {
        return None;
    }
    if n - right < k {
        return Some(1.0); // fewer wrong ones than are drawn
    }
    let none: f64 = (n - right + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product();
    Some(1.0 - none)
}

/// Probability that the most frequent answer among `k`, drawn without replacement, is the right one; a tie is drawn by
/// lot. `right` answers are right, and `others` are the sizes of the classes of equal wrong answers. None where there
/// are fewer than `k` answers, or `k` is 0.
#[must_use]
pub fn maj_at_k(right: usize, others: &[usize], k: usize) -> Option<f64> {
    let n = right + others.iter().sum::<usize>();
    if k == 0 || k > n {
        return None;
    }
    let mut probability = 0.0;
    for votes in 1..=right.min(k) {
        // ways[drawn][ties]: wrong answers drawn so far, none of a class more often than `votes`, and classes with as many.
        let (rest, most) = (k - votes, others.len());
        let mut ways = vec![vec![0.0; most + 1]; rest + 1];
        ways[0][0] = 1.0;
        for &size in others {
            let mut next = vec![vec![0.0; most + 1]; rest + 1];
            for (drawn, row) in ways.iter().enumerate() {
                for (ties, &count) in row.iter().enumerate().filter(|(_, count)| **count > 0.0) {
                    for more in 0..=size.min(votes).min(rest - drawn) {
                        next[drawn + more][ties + usize::from(more == votes)] += count * choose(size, more);
                    }
                }
            }
            ways = next;
        }
        let won: f64 = ways[rest]
            .iter()
            .enumerate()
            .map(|(ties, count)| count / (ties + 1) as f64)
            .sum();
        probability += choose(right, votes) * won;
    }
    Some(probability / choose(n, k))
}

/// Ways to choose `k` of `n`.
fn choose(n: usize, k: usize) -> f64 {
    if k > n {
        return 0.0;
    }
    (0..k.min(n - k)).fold(1.0, |ways, i| ways * (n - i) as f64 / (i + 1) as f64)
}
