//! Families of inputs for scalarizers: the edges of what a run can send, as events in the order of a run. All of them
//! are valid: shapes agree, numbers are finite, a Gramian is J Jᵀ of some Jacobian J `[M, D]`.

use crate::trace::{BatchEvent, Event, GradientsEvent, UpdateEvent, ValidationEvent};
use crate::{Direction, Hooks, Needs, Objective, Rng, Setup};

/// The numbers of objectives that are tried.
pub const OBJECTIVES: std::ops::RangeInclusive<usize> = 1..=8;

/// M objectives, every second of which is minimised.
pub fn setup(m: usize) -> Setup {
    let direction = |index: usize| match index % 2 {
        0 => Direction::Maximize,
        _ => Direction::Minimize,
    };
    let objective = |index: usize| Objective {
        name: format!("objective-{}", index + 1),
        direction: direction(index),
    };
    Setup {
        objectives: (0..m).map(objective).collect(),
        seed: 11,
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Scores {
    Normal,
    Binary,
    Signs,
    Equal,
    OneEqual,
}

#[derive(Debug, Clone, Copy)]
enum Groups {
    OfFour,
    One,
    OfOne,
    Uneven,
    OneCompletion,
}

#[derive(Debug, Clone, Copy)]
enum Gradients {
    Independent,
    Zero,
    OneZero,
    Opposed,
}

#[derive(Debug, Clone, Copy)]
enum Losses {
    AnySign,
    Negative,
    Zero,
}

#[derive(Debug, Clone, Copy)]
enum Scale {
    Of(f64),
    /// 1e10 and 1e-10 by turns.
    Alternating,
    /// 10 to the power of this times (k + 1) / M for objective k.
    Growing(f64),
}

/// One family.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// kebab-case.
    pub name: &'static str,
    /// What is finite for these inputs.
    pub about: &'static str,
    scores: Scores,
    groups: Groups,
    gradients: Gradients,
    losses: Losses,
    scale: Scale,
    far: bool,
    minibatches: u32,
    steps: u64,
}

/// What the other families differ from.
pub const ORDINARY: Family = Family {
    name: "ordinary",
    about: "finite outputs of the right lengths on normal scores, M = 1 to 8",
    scores: Scores::Normal,
    groups: Groups::OfFour,
    gradients: Gradients::Independent,
    losses: Losses::AnySign,
    scale: Scale::Of(1.0),
    far: false,
    minibatches: 2,
    steps: 6,
};

/// The families of shapes and values; those of other sizes are [`SCALES`].
pub const FAMILIES: &[Family] = &[
    ORDINARY,
    Family {
        name: "binary",
        about: "finite outputs where scores are 0 or 1",
        scores: Scores::Binary,
        ..ORDINARY
    },
    Family {
        name: "equal-scores",
        about: "finite outputs where all scores are equal",
        scores: Scores::Equal,
        ..ORDINARY
    },
    Family {
        name: "one-equal",
        about: "finite outputs where one objective has no spread",
        scores: Scores::OneEqual,
        ..ORDINARY
    },
    Family {
        name: "one-group",
        about: "finite outputs where the batch is one group",
        groups: Groups::One,
        ..ORDINARY
    },
    Family {
        name: "groups-of-one",
        about: "finite outputs where each group has one completion",
        groups: Groups::OfOne,
        ..ORDINARY
    },
    Family {
        name: "uneven-groups",
        about: "finite outputs where groups have 1 to 7 completions",
        groups: Groups::Uneven,
        ..ORDINARY
    },
    Family {
        name: "one-completion",
        about: "finite outputs where the batch is one completion",
        groups: Groups::OneCompletion,
        ..ORDINARY
    },
    Family {
        name: "zero-gradients",
        about: "finite outputs where the Gramian is 0",
        gradients: Gradients::Zero,
        ..ORDINARY
    },
    Family {
        name: "one-zero-gradient",
        about: "finite outputs where one objective has no gradient",
        gradients: Gradients::OneZero,
        ..ORDINARY
    },
    Family {
        name: "opposed-gradients",
        about: "finite outputs where gradients cancel and the Gramian has rank 1",
        gradients: Gradients::Opposed,
        ..ORDINARY
    },
    Family {
        name: "negative-losses",
        about: "finite outputs where all losses are below 0",
        losses: Losses::Negative,
        ..ORDINARY
    },
    Family {
        name: "zero-losses",
        about: "finite outputs where all losses are 0",
        losses: Losses::Zero,
        ..ORDINARY
    },
    Family {
        name: "many-minibatches",
        about: "finite outputs with 16 mini-batches in a step",
        minibatches: 16,
        ..ORDINARY
    },
    Family {
        name: "far-policy",
        about: "finite outputs where log-probabilities move by 30 in one update",
        far: true,
        ..ORDINARY
    },
    Family {
        name: "nothing-varies",
        about: "finite outputs where scores, validations and gradients all lack spread",
        scores: Scores::Equal,
        gradients: Gradients::Zero,
        ..ORDINARY
    },
    Family {
        name: "large-and-far",
        about: "finite outputs where scores are ±1e4 and log-probabilities move by 30",
        scores: Scores::Signs,
        scale: Scale::Of(1e4),
        far: true,
        ..ORDINARY
    },
    Family {
        name: "many-steps",
        about: "finite outputs over 500 steps",
        steps: 500,
        ..ORDINARY
    },
];

/// The ordinary family with scores, advantages, losses, validation values and gradients of other sizes.
pub const SCALES: &[Family] = &[
    Family {
        name: "scale-1e-10",
        about: "finite outputs where all inputs are of size 1e-10",
        scale: Scale::Of(1e-10),
        ..ORDINARY
    },
    Family {
        name: "scale-1e-5",
        about: "finite outputs where all inputs are of size 1e-5",
        scale: Scale::Of(1e-5),
        ..ORDINARY
    },
    Family {
        name: "scale-1e5",
        about: "finite outputs where all inputs are of size 1e5",
        scale: Scale::Of(1e5),
        ..ORDINARY
    },
    Family {
        name: "scale-1e10",
        about: "finite outputs where all inputs are of size 1e10",
        scale: Scale::Of(1e10),
        ..ORDINARY
    },
    Family {
        name: "mixed-scales",
        about: "finite outputs where objectives are of size 1e10 and 1e-10 by turns",
        scale: Scale::Alternating,
        ..ORDINARY
    },
    Family {
        name: "growing-to-1e-10",
        about: "finite outputs where the size grows from one objective to the next, to 1e-10",
        scale: Scale::Growing(-10.0),
        ..ORDINARY
    },
    Family {
        name: "growing-to-1e-5",
        about: "finite outputs where the size grows from one objective to the next, to 1e-5",
        scale: Scale::Growing(-5.0),
        ..ORDINARY
    },
    Family {
        name: "growing-to-1e5",
        about: "finite outputs where the size grows from one objective to the next, to 1e5",
        scale: Scale::Growing(5.0),
        ..ORDINARY
    },
    Family {
        name: "growing-to-1e10",
        about: "finite outputs where the size grows from one objective to the next, to 1e10",
        scale: Scale::Growing(10.0),
        ..ORDINARY
    },
];

/// D of the made-up Jacobian: above the largest M, so that its rows are independent.
const DIMENSIONS: usize = 12;

impl Family {
    /// The events of a run for a scalarizer with `hooks` and `needs` and `m` objectives, in the order of a step.
    pub fn events(&self, m: usize, hooks: Hooks, needs: Needs) -> Vec<Event> {
        let mut rng = Rng::new(5);
        let mut events = vec![self.validation(m, 0, &mut rng)];
        for step in 1..=self.steps {
            let (batch, update) = self.batch(m, step, needs, &mut rng);
            if hooks.has(Hooks::OBSERVE_GRADIENTS) {
                let whole = self.gradients(m, step, None, &mut rng);
                events.push(Event::ObserveGradients(whole));
            }
            events.push(Event::Scalarize(batch));
            if hooks.has(Hooks::WEIGH_GRADIENTS) {
                for minibatch in 0..self.minibatches {
                    let part = self.gradients(m, step, Some(minibatch), &mut rng);
                    events.push(Event::WeighGradients(part));
                }
            }
            if hooks.has(Hooks::AFTER_UPDATE) {
                events.push(Event::AfterUpdate(update));
            }
            // Without that need a run validates at an interval.
            if needs.has(Needs::VALIDATION_EACH_STEP) || step % 2 == 0 {
                events.push(self.validation(m, step, &mut rng));
            }
        }
        events
    }

    /// Whether it is cheap enough for every M.
    pub(super) fn is_long(&self) -> bool {
        self.steps > 100
    }

    #[allow(clippy::cast_precision_loss, reason = "M is small")]
    fn scale(&self, objective: usize, m: usize) -> f64 {
        match self.scale {
            Scale::Growing(exponent) => 10_f64.powf(exponent * (objective + 1) as f64 / m as f64),
            Scale::Of(scale) => scale,
            Scale::Alternating if objective.is_multiple_of(2) => 1e10,
            Scale::Alternating => 1e-10,
        }
    }

    fn groups(&self) -> Vec<u32> {
        match self.groups {
            Groups::OfFour => (0..16).map(|b| b / 4).collect(),
            Groups::One => vec![0; 16],
            Groups::OfOne => (0..16).collect(),
            Groups::Uneven => vec![0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 3, 4, 4, 5],
            Groups::OneCompletion => vec![0],
        }
    }

    fn score(&self, objective: usize, m: usize, rng: &mut Rng) -> f32 {
        let normal = rng.normal();
        let value = match self.scores {
            Scores::Binary => f64::from(u8::from(normal > 0.0)),
            Scores::Signs => normal.signum(),
            Scores::Equal => 0.5,
            Scores::OneEqual if objective == 0 => 0.5,
            Scores::Normal | Scores::OneEqual => normal,
        };
        narrow(value * self.scale(objective, m))
    }

    /// The inputs of `scalarize` and of `after_update` of one step.
    fn batch(&self, m: usize, step: u64, needs: Needs, rng: &mut Rng) -> (BatchEvent, UpdateEvent) {
        let groups = self.groups();
        let b = groups.len();
        let lengths: Vec<u32> = (0..16_u32).map(|b| 1 + (b * 5) % 8).take(b).collect();
        let scores: Vec<Vec<f32>> = (0..b)
            .map(|_| (0..m).map(|k| self.score(k, m, rng)).collect())
            .collect();
        let advantages = centred(&scores, &groups);
        let mean = |row: &Vec<f32>| row.iter().map(|a| a / count(m)).sum();
        let logprobs = |rng: &mut Rng| -> Vec<Vec<f32>> {
            let row =
                |length: &u32, rng: &mut Rng| (0..*length).map(|_| -narrow(rng.normal().abs())).collect::<Vec<f32>>();
            lengths.iter().map(|length| row(length, rng)).collect()
        };
        let mut old_logprobs = logprobs(rng);
        let mut new_logprobs = old_logprobs.clone();
        for (row, (old, new)) in old_logprobs.iter_mut().zip(&mut new_logprobs).enumerate() {
            for (old, new) in old.iter_mut().zip(new) {
                *new = (*new + 0.1 * narrow(rng.normal())).min(0.0);
                if self.far {
                    // Half of the responses become likely, the other half all but impossible.
                    *(if row % 2 == 0 { old } else { new }) -= 30.0;
                }
            }
        }
        let update = UpdateEvent {
            step,
            groups: groups.clone(),
            scores: scores.clone(),
            advantages: advantages.iter().map(mean).collect(),
            old_logprobs: old_logprobs.clone(),
            new_logprobs,
            clip_low: 0.2,
            clip_high: 0.28,
            expect: None,
        };
        let batch = BatchEvent {
            step,
            ref_logprobs: needs.has(Needs::REF_LOGPROBS).then(|| logprobs(rng)),
            old_logprobs: needs.has(Needs::OLD_LOGPROBS).then_some(old_logprobs),
            objective_advantages: needs.has(Needs::OBJECTIVE_ADVANTAGES).then_some(advantages),
            scores,
            groups,
            lengths,
            expect: None,
        };
        (batch, update)
    }

    fn validation(&self, m: usize, step: u64, rng: &mut Rng) -> Event {
        let mut value = |objective: usize| {
            let uniform = rng.uniform();
            let equal = self.scores == Scores::Equal;
            self.scale(objective, m) * if equal { 0.5 } else { uniform }
        };
        Event::OnValidation(ValidationEvent {
            step,
            values: (0..m).map(&mut value).collect(),
            expect: None,
        })
    }

    fn gradients(&self, m: usize, step: u64, minibatch: Option<u32>, rng: &mut Rng) -> GradientsEvent {
        let shared: Vec<f64> = (0..DIMENSIONS).map(|_| rng.normal()).collect();
        let jacobian: Vec<Vec<f64>> = (0..m)
            .map(|k| {
                let own: Vec<f64> = (0..DIMENSIONS).map(|_| rng.normal()).collect();
                let (row, factor) = match self.gradients {
                    Gradients::Independent => (own, 1.0),
                    Gradients::Zero => (own, 0.0),
                    Gradients::OneZero => (own, if k == 0 { 0.0 } else { 1.0 }),
                    Gradients::Opposed => (shared.clone(), if k % 2 == 0 { 1.0 } else { -1.0 }),
                };
                let factor = factor * self.scale(k, m);
                row.iter().map(|value| factor * value).collect()
            })
            .collect();
        let gram = jacobian
            .iter()
            .map(|a| {
                let product = |b: &Vec<f64>| a.iter().zip(b).map(|(a, b)| a * b).sum();
                jacobian.iter().map(product).collect()
            })
            .collect();
        let mut loss = |objective: usize| {
            let normal = rng.normal();
            let value = match self.losses {
                Losses::AnySign => normal,
                Losses::Negative => -normal.abs(),
                Losses::Zero => 0.0,
            };
            value * self.scale(objective, m)
        };
        GradientsEvent {
            step,
            minibatch,
            lr: 1e-6,
            gram,
            losses: (0..m).map(&mut loss).collect(),
            expect: None,
        }
    }
}

/// Each score less the mean of its group: the advantages `[B, M]` of an estimator that does not divide.
fn centred(scores: &[Vec<f32>], groups: &[u32]) -> Vec<Vec<f32>> {
    let mean = |group: u32, objective: usize| {
        let of_group = scores.iter().zip(groups).filter(|(_, g)| **g == group);
        let values: Vec<f32> = of_group.map(|(row, _)| row[objective]).collect();
        values.iter().sum::<f32>() / count(values.len())
    };
    let row = |(row, group): (&Vec<f32>, &u32)| {
        let objectives = row.iter().enumerate();
        objectives
            .map(|(objective, score)| score - mean(*group, objective))
            .collect()
    };
    scores.iter().zip(groups).map(row).collect()
}

#[allow(clippy::cast_precision_loss, reason = "at most 16")]
fn count(n: usize) -> f32 {
    n as f32
}

#[allow(clippy::cast_possible_truncation, reason = "made-up inputs")]
fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use crate::trace::Event;
    use crate::{Hooks, Needs};

    use super::{FAMILIES, OBJECTIVES, ORDINARY, SCALES};

    const ALL: (Hooks, Needs) = (
        Hooks::NONE.observe_gradients().weigh_gradients().after_update(),
        Needs::NONE.objective_advantages().old_logprobs().ref_logprobs(),
    );

    #[test]
    fn a_step_calls_the_hooks_in_the_order_of_a_run() {
        let hooks = |(hooks, needs): (Hooks, Needs)| -> Vec<&str> {
            let events = ORDINARY.events(2, hooks, needs);
            events.iter().take(8).map(Event::hook).collect()
        };
        assert_eq!(
            hooks(ALL),
            [
                "on_validation",
                "observe_gradients",
                "scalarize",
                "weigh_gradients",
                "weigh_gradients",
                "after_update",
                "observe_gradients",
                "scalarize"
            ]
        );
        assert_eq!(
            hooks((Hooks::NONE, Needs::NONE))[..5],
            ["on_validation", "scalarize", "scalarize", "on_validation", "scalarize"]
        );
    }

    /// JSON has no number that is not finite, so a trace that reads back equal has none.
    #[test]
    fn all_inputs_are_finite() -> crate::Result<()> {
        for family in FAMILIES.iter().chain(SCALES).filter(|family| !family.is_long()) {
            for m in OBJECTIVES {
                for event in family.events(m, ALL.0, ALL.1) {
                    assert_eq!(Event::parse(&event.to_line()?)?, event, "{}", family.name);
                }
            }
        }
        Ok(())
    }
}
