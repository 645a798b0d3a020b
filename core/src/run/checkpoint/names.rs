//! Names of the folders and files of checkpoints.

/// Folder of the checkpoints within a run folder.
pub(super) const FOLDER: &str = "checkpoints";
pub(super) const OPTIMIZER: &str = "optimizer.safetensors";
/// What the names of first and second moments begin with; a parameter's name follows.
pub(super) const MOMENTS: [&str; 2] = ["moment1.", "moment2."];
pub(super) const STATE: &str = "state.json";

/// `step-000040`
pub(super) fn name(step: u64) -> String {
    format!("step-{step:06}")
}

/// The step of a checkpoint's folder by its name.
pub(super) fn step_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("step-")?;
    let step = digits.parse().ok()?;
    (self::name(step) == name).then_some(step) // no other spelling of the number
}
