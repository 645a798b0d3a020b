//! Statistics over seeds and prompts, as reviewers ask for them: pure functions in f64, without clock and without any
//! state. Sources: rliable (arXiv 2108.13264) for the interquartile mean and the probability of improvement, Colas et
//! al. (arXiv 1806.08295) and Miller (arXiv 2411.00640) for the designs. `tests/golden/stats` has what scipy,
//! statsmodels, rliable and moocore answer on 200 random cases of each.

pub mod answers;
pub mod front;
pub mod permutation;
pub mod summary;

#[cfg(test)]
mod tests;
