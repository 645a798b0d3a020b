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
pub use influence::{exponentiated, influence};
pub use min_norm::min_norm_point;
pub use pareto::{dominates, pareto_front};
pub use weights::{as_f32, one_for_each, project_to_simplex, softmax, weights_or_equal};
