//! From advantages to new parameters: losses in closed form over packed log-probabilities (`loss`,
//! `kl`, `aggregation`), the optimizer (`optimizer`) and its learning rate (`schedule`).
//!
//! A loss gives its value and its derivative with respect to every new log-probability, the
//! cotangent `[N]` that the model's backward pass starts from; no graph is built here.

pub mod aggregation;
pub mod kl;
pub mod loss;
pub mod optimizer;
pub mod schedule;
mod step;

pub use aggregation::{Aggregation, Denominators};
pub use kl::{KlEstimator, KlPenalty};
pub use loss::{
    Advantages, LossError, LossInput, LossOutput, LossSettings, PolicyLoss, kl_loss, loss, objective_losses,
    policy_loss, stack_cotangents,
};
pub use optimizer::{AdamW, AdamWSettings, OptimizerError, OptimizerState, StepReport};
pub use schedule::{Schedule, ScheduleError, ScheduleKind};
pub use step::{UpdateBatch, UpdateError, UpdateReport, UpdateSettings, Weigh, objective_gramian, update_policy};
