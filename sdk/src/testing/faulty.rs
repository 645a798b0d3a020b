//! The scalarizer that the tests of the checks look for faults in.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::prelude::*;

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
pub(super) enum Fault {
    #[default]
    None,
    NanOnConstant,
    Length,
    Random,
    Forgets,
    FavoursTheFirst,
    Overflows,
    Shifts,
}

/// A reward is the sum of a completion's scores, but for the fault.
#[derive(Params, Serialize, Deserialize)]
pub(super) struct Faulty {
    fault: Fault,
    #[state]
    updates: f32,
    #[state]
    #[serde(skip)]
    forgotten: f32,
}

static CALLS: AtomicU32 = AtomicU32::new(0);

#[scalarizer]
impl Scalarizer for Faulty {
    const NAME: &str = "faulty";
    const PAPER: &str = "none";

    fn observe_gradients(&mut self, _: &Gradients<'_>) -> Result<()> {
        Ok(())
    }

    fn scalarize(&mut self, batch: &Batch<'_>) -> Result<Signal> {
        let first: Vec<f32> = batch.scores().column(0).collect();
        let spread = first.iter().any(|score| *score != first[0]);
        let reward = |row: &[f32]| match self.fault {
            Fault::NanOnConstant if !spread => f32::NAN,
            #[allow(clippy::cast_precision_loss, reason = "any changing number does")]
            Fault::Random => CALLS.fetch_add(1, Ordering::Relaxed) as f32,
            Fault::Forgets => self.forgotten,
            Fault::FavoursTheFirst => row[0],
            Fault::Overflows => row.iter().map(|s| s.powi(5)).sum(),
            Fault::Shifts => row.iter().sum::<f32>() + 1.0,
            _ => row.iter().sum(),
        };
        let length = batch.len() - usize::from(self.fault == Fault::Length);
        Ok(Signal::rewards(batch.scores().iter_rows().take(length).map(reward)))
    }

    fn after_update(&mut self, _: &Update<'_>) -> Result<()> {
        self.updates += 1.0;
        self.forgotten += 1.0;
        Ok(())
    }

    fn metrics(&self) -> Metrics {
        Metrics::new().with("updates", self.updates)
    }
}
