//! Sampling completions; the Policy boundary between the algorithm and the tensors.
