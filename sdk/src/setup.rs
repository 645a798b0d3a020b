//! What a scalarizer is told about the run when it is made.

use serde::{Deserialize, Serialize};

use crate::Rng;

/// Which way is better, for the values of a validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Larger is better.
    #[default]
    Maximize,
    /// Smaller is better.
    Minimize,
}

/// One objective of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    /// Its name in the config.
    pub name: String,
    /// Which way its validation values are better.
    #[serde(default)]
    pub direction: Direction,
}

impl Objective {
    /// An objective that is maximised.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            direction: Direction::Maximize,
        }
    }
}

/// What `new` is told about the run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Setup {
    /// The M objectives, in the order of the columns of the scores.
    pub objectives: Vec<Objective>,
    /// Seed of the run.
    pub seed: u64,
}

impl Setup {
    /// Number of objectives M.
    pub fn m(&self) -> usize {
        self.objectives.len()
    }

    /// The objectives' names `[M]`.
    pub fn names(&self) -> Vec<String> {
        self.objectives.iter().map(|objective| objective.name.clone()).collect()
    }

    /// `[M]`: 1, or −1 where the objective is minimised: what makes larger values better.
    pub fn signs(&self) -> Vec<f64> {
        let sign = |objective: &Objective| match objective.direction {
            Direction::Maximize => 1.0,
            Direction::Minimize => -1.0,
        };
        self.objectives.iter().map(sign).collect()
    }

    /// A generator with the run's seed. Keep it in the struct, so that it is saved with the state.
    pub fn rng(&self) -> Rng {
        Rng::new(self.seed)
    }
}
