//! From advantages to new parameters: losses in closed form over packed log-probabilities (`loss`,
//! `kl`, `aggregation`), the weight of a KL penalty (`kl_control`), the optimizer (`optimizer`) and its learning rate (`schedule`).
//!
//! A loss gives its value and its derivative with respect to every new log-probability, the
//! cotangent `[N]` that the model's backward pass starts from; no graph is built here.

pub mod aggregation;
pub mod kl;
pub mod kl_control;
pub mod loss;
pub mod optimizer;
pub mod schedule;
mod step;

pub use aggregation::{Aggregation, Denominators};
pub use kl::{KlEstimator, KlPenalty, completion_kl};
pub use kl_control::{KlControl, KlControlState, KlTarget};
pub use loss::{
    LossError, LossInput, LossOutput, LossSettings, PolicyLoss, loss, objective_losses, penalty_loss, policy_loss,
};
pub use optimizer::{AdamW, AdamWSettings, OptimizerError, OptimizerState, StepReport};
pub use schedule::{Schedule, ScheduleKind};
pub use step::{BatchGramian, UpdateBatch, UpdateReport, UpdateSettings, WeighGradients, batch_gramian, update_policy};
