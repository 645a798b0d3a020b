//! Maths that several methods share, each function with its source.

mod groups;
mod weights;

pub use groups::{correlation, covariance, group_means, groups_of, mean};
pub use weights::{project_to_simplex, softmax, weights_or_equal};
