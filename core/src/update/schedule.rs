//! Learning-rate schedules: a factor on the base learning rate for each step of the run. All updates of a step
//! (mini-batches, epochs) have its learning rate.
//!
//! ```text
//! warm-up   (s + 1) / warmup                     for s < warmup, s counting steps from 0
//! then, with p = (s − warmup) / (steps − warmup), at most 1:
//! constant  1        linear 1 − p        cosine (1 + cos πp) / 2        polynomial (1 − p)^power
//! factor    floor + (1 − floor) · that
//! ```
//! As in Hugging Face's `get_scheduler`, except that the first step of a warm-up already learns
//! (theirs has a learning rate of 0). verl, too, moves its scheduler once per step, not per mini-batch.

pub use crate::config::ScheduleKind;

use crate::config::Optimizer;

/// A schedule with its lengths in steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Shape after the warm-up.
    pub kind: ScheduleKind,
    /// Steps of the warm-up.
    pub warmup: u64,
    /// Steps of the run, warm-up included; the floor is reached there and kept after.
    pub steps: u64,
    /// Fraction of the base learning rate at which the decay ends, 0 to 1.
    pub floor: f64,
    /// Exponent of `polynomial`, above 0; the others do not use it.
    pub power: f64,
}

impl Schedule {
    /// The schedule that `[optimizer]` asks for in a run of `steps` steps. The config has checked the ranges.
    #[must_use]
    pub fn new(optimizer: &Optimizer, steps: u64) -> Self {
        Self {
            kind: optimizer.schedule,
            warmup: optimizer.warmup,
            steps,
            floor: optimizer.min_lr_ratio,
            power: optimizer.schedule_power,
        }
    }

    /// Factor on the base learning rate in the step after `done` completed ones.
    #[must_use]
    pub fn factor(&self, done: u64) -> f64 {
        if done < self.warmup {
            return (done + 1) as f64 / self.warmup as f64;
        }
        let length = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let left = 1.0 - ((done - self.warmup) as f64 / length).min(1.0);
        let shape = match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Linear => left,
            ScheduleKind::Cosine => 0.5 * (1.0 - (std::f64::consts::PI * left).cos()),
            ScheduleKind::Polynomial => left.powf(self.power),
        };
        self.floor + (1.0 - self.floor) * shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: ScheduleKind, floor: f64) -> Schedule {
        Schedule {
            kind,
            warmup: 2,
            steps: 10,
            floor,
            power: 2.0,
        }
    }

    #[test]
    fn tables() {
        // Completed steps     0    1    2    4       6    8       10   50
        let steps = [0_u64, 1, 2, 4, 6, 8, 10, 50];
        let half = 0.5_f64.sqrt();
        for (kind, floor, expected) in [
            (ScheduleKind::Constant, 0.0, [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
            (ScheduleKind::Linear, 0.0, [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]),
            (ScheduleKind::Linear, 0.2, [0.5, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2]),
            (
                ScheduleKind::Cosine,
                0.0,
                [0.5, 1.0, 1.0, 0.5 + half / 2.0, 0.5, 0.5 - half / 2.0, 0.0, 0.0],
            ),
            (
                ScheduleKind::Cosine,
                0.1,
                [0.5, 1.0, 1.0, 0.55 + 0.45 * half, 0.55, 0.55 - 0.45 * half, 0.1, 0.1],
            ),
            (
                ScheduleKind::Polynomial,
                0.0,
                [0.5, 1.0, 1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0],
            ),
        ] {
            let found = steps.map(|done| schedule(kind, floor).factor(done));
            for (u, (a, b)) in found.iter().zip(expected).enumerate() {
                assert!(
                    (a - b).abs() < 1e-12,
                    "{kind:?} floor {floor} step {}: {a} != {b}",
                    steps[u]
                );
            }
        }
    }

    /// A run without steps, or of warm-up only, does not divide by 0.
    #[test]
    fn degenerate_lengths() {
        for (warmup, steps) in [(0, 0), (3, 3)] {
            let schedule = Schedule {
                kind: ScheduleKind::Linear,
                warmup,
                steps,
                floor: 0.0,
                power: 1.0,
            };
            assert!((0..5).all(|done| schedule.factor(done).is_finite()));
        }
    }
}
