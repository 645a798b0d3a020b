//! Learning-rate schedules: a factor on the base learning rate for each optimizer update.
//!
//! ```text
//! warm-up   (u + 1) / warmup                     for u < warmup, u counting updates from 0
//! then, with p = (u − warmup) / (total − warmup), at most 1:
//! constant  1        linear 1 − p        cosine (1 + cos πp) / 2        polynomial (1 − p)^power
//! factor    floor + (1 − floor) · that
//! ```
//! As in Hugging Face's `get_scheduler`, except that the first update of a warm-up already learns
//! (theirs has a learning rate of 0).

use serde::{Deserialize, Serialize};

pub use crate::config::ScheduleKind;

use crate::error::{Fault, Report};

/// A schedule with its lengths in optimizer updates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Shape after the warm-up.
    pub kind: ScheduleKind,
    /// Updates of the warm-up.
    pub warmup: u64,
    /// Updates of the run, warm-up included; the floor is reached there and kept after.
    pub total: u64,
    /// Share of the base learning rate that the decay ends at, 0 to 1.
    pub floor: f64,
    /// Exponent of `polynomial`, above 0; the others do not use it.
    pub power: f64,
}

/// A schedule that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("schedule: {key} is {found}, expected {expected}")]
pub struct ScheduleError {
    /// Key in the config's `[optimizer]`.
    pub key: &'static str,
    /// What it is.
    pub found: f64,
    /// What it may be.
    pub expected: String,
}

impl Report for ScheduleError {
    fn hint(&self) -> Option<String> {
        Some(format!("set optimizer.{} to {}", self.key, self.expected))
    }

    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

impl Schedule {
    /// Checks ranges, before any work.
    ///
    /// # Errors
    /// [`ScheduleError`] with the first key that is out of range.
    pub fn check(&self) -> Result<(), ScheduleError> {
        let wrong = |key, found, expected: &str| {
            Err(ScheduleError {
                key,
                found,
                expected: expected.into(),
            })
        };
        if !(0.0..=1.0).contains(&self.floor) {
            return wrong("floor", self.floor, "a number from 0 to 1");
        }
        if !(self.power > 0.0 && self.power.is_finite()) {
            return wrong("power", self.power, "a finite number above 0");
        }
        if self.warmup > self.total {
            return wrong(
                "warmup",
                self.warmup as f64,
                &format!("at most the {} updates of the run", self.total),
            );
        }
        Ok(())
    }

    /// Factor on the base learning rate for update `update`, counted from 0.
    #[must_use]
    pub fn factor(&self, update: u64) -> f64 {
        if update < self.warmup {
            return (update + 1) as f64 / self.warmup as f64;
        }
        let length = self.total.saturating_sub(self.warmup).max(1) as f64;
        let left = 1.0 - ((update - self.warmup) as f64 / length).min(1.0);
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
            total: 10,
            floor,
            power: 2.0,
        }
    }

    #[test]
    fn tables() {
        // Updates             0    1    2    4       6    8       10   50
        let updates = [0_u64, 1, 2, 4, 6, 8, 10, 50];
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
            let found = updates.map(|update| schedule(kind, floor).factor(update));
            for (u, (a, b)) in found.iter().zip(expected).enumerate() {
                assert!(
                    (a - b).abs() < 1e-12,
                    "{kind:?} floor {floor} update {}: {a} != {b}",
                    updates[u]
                );
            }
        }
    }

    /// A run of no updates, or of warm-up only, divides by nothing.
    #[test]
    fn degenerate_lengths() {
        for (warmup, total) in [(0, 0), (3, 3)] {
            let schedule = Schedule {
                kind: ScheduleKind::Linear,
                warmup,
                total,
                floor: 0.0,
                power: 1.0,
            };
            assert!((0..5).all(|update| schedule.factor(update).is_finite()));
        }
    }

    #[test]
    fn refusals() {
        let error = Schedule {
            warmup: 11,
            ..schedule(ScheduleKind::Linear, 0.0)
        }
        .check()
        .expect_err("too long");
        assert_eq!(
            error.to_string(),
            "schedule: warmup is 11, expected at most the 10 updates of the run"
        );
        assert!(schedule(ScheduleKind::Linear, -0.1).check().is_err());
        assert!(schedule(ScheduleKind::Linear, f64::NAN).check().is_err());
        assert!(
            Schedule {
                power: 0.0,
                ..schedule(ScheduleKind::Polynomial, 0.0)
            }
            .check()
            .is_err()
        );
        assert!(schedule(ScheduleKind::Linear, 0.5).check().is_ok());
    }
}
