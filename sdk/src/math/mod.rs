//! Maths that several methods share, each function with its source.

mod groups;
mod hypervolume;
mod influence;
mod min_norm;
mod pareto;
mod staircase;
mod weights;

pub use groups::{correlation, covariance, group_means, groups_of, mean};
pub use hypervolume::{hypervolume, hypervolume_increment};
pub use influence::{exponentiated_gradient, influence};
pub use min_norm::min_norm_point;
pub use pareto::{dominates, pareto_front};
pub use weights::{broadcast, project_to_simplex, simplex_weights, softmax, to_f32};
