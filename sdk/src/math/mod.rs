//! Maths that several methods share, each function with its source.

mod adam;
mod directions;
mod eigen;
mod groups;
mod hypervolume;
mod influence;
mod min_norm;
mod nonnegative;
mod pareto;
mod proportional;
mod reference;
mod spread;
mod staircase;
mod symmetric;
mod weights;

pub use crate::signal::to_f32;
pub use adam::Adam;
pub use directions::{Directions, RIDGE, correct, gramian, weigh};
pub use eigen::{eigen, pseudo_solve};
pub use groups::{correlation, covariance, group_means, groups_of, mean};
pub use hypervolume::{hypervolume, hypervolume_increment};
pub use influence::{exponentiated_gradient, influence};
pub use min_norm::min_norm_point;
pub use nonnegative::nonnegative_minimum;
pub use pareto::{dominates, pareto_front};
pub use proportional::proportional;
pub use reference::{Reference, ReferencePoint};
pub use spread::{deviation, whitened};
pub use symmetric::Symmetric;
pub use weights::{broadcast, project_to_simplex, simplex_weights, softmax};
