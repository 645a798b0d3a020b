//! Properties of a method that hold where its inputs change in a known way: another order of the objectives, one
//! objective only.

use serde_json::Value;

use super::inputs::{FAMILIES, Family};
use super::subject::{OfType, Subject};
use crate::replay::run_event;
use crate::trace::{Event, Expect};
use crate::{Error, Objective, Result, Scalarizer, Setup};

fn setup_of(names: impl Iterator<Item = usize>) -> Setup {
    Setup {
        objectives: names.map(|m| Objective::new(format!("objective{m}"))).collect(),
        seed: 11,
    }
}

fn families() -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter().filter(|family| !family.is_long())
}

/// The order of the objectives does not matter. With objective `order[k]` in place k, and `params_in_order` for
/// `params`, every weight moves with its objective; rewards, advantages, scale and metrics stay as they are, within the
/// tolerance of traces.
///
/// # Errors
/// Names the family, the event and what differs.
pub fn check_permutation<S: Scalarizer>(order: &[usize], params: &Value, params_in_order: &Value) -> Result<()> {
    let (m, subject) = (order.len(), OfType::<S>::default());
    for family in families() {
        let mut one = subject.create(&setup_of(0..m), params)?;
        let mut other = subject.create(&setup_of(order.iter().copied()), params_in_order)?;
        for event in &family.events(m, S::HOOKS, S::NEEDS) {
            let at = |error: Error| at(family, event, error).at(format!("objectives in the order {order:?}"));
            let expected = run_event(&mut one, m, event).map_err(at)?;
            let mut found = run_event(&mut other, m, &event_in_order(event, order)).map_err(at)?;
            let weights = [
                &mut found.gradient_weights,
                &mut found.mixing_weights,
                &mut found.weights,
            ];
            for weights in weights.into_iter().flatten() {
                let moved = weights.clone();
                order.iter().zip(moved).for_each(|(&to, weight)| weights[to] = weight);
            }
            if let Some(difference) = expected.first_difference(&found) {
                return Err(at(Error::new(format!(
                    "{} is {}, expected {}",
                    difference.field, difference.found, difference.expected
                ))));
            }
        }
    }
    Ok(())
}

/// With one objective there is nothing to trade off: the signal is the one without a scalarizer. Rewards are the
/// scores, advantages the objective's own, weights 1, and nothing is scaled.
///
/// # Errors
/// Names the family and the event.
pub fn check_single_objective<S: Scalarizer>(params: &Value) -> Result<()> {
    let subject = OfType::<S>::default();
    for family in families() {
        let mut calls = subject.create(&setup_of(0..1), params)?;
        for event in &family.events(1, S::HOOKS, S::NEEDS) {
            let found = run_event(&mut calls, 1, event).map_err(|error| at(family, event, error))?;
            if let Some(what) = not_plain(event, &found) {
                return Err(at(family, event, Error::new(what)));
            }
        }
    }
    Ok(())
}

fn at(family: &Family, event: &Event, error: Error) -> Error {
    error.at(format!(
        "{} inputs: {} at step {}",
        family.name,
        event.hook(),
        event.step()
    ))
}

fn not_plain(event: &Event, found: &Expect) -> Option<String> {
    if let Some(weights) = &found.gradient_weights {
        // What trains, which need not be what `weights` reports.
        return (*weights != [1.0]).then(|| format!("the gradient's weight is {weights:?}, expected [1.0]"));
    }
    if found.weights.as_deref().is_some_and(|weights| weights != [1.0]) {
        return Some(format!("weights are {:?}, expected [1.0]", found.weights));
    }
    let Event::Scalarize(batch) = event else { return None };
    if found
        .rewards
        .as_ref()
        .is_some_and(|rewards| *rewards != batch.scores.concat())
    {
        return Some("rewards are not the scores".to_owned());
    }
    let own = batch.objective_advantages.as_ref().map(|rows| rows.concat());
    if found.advantages.is_some() && found.advantages != own {
        return Some("advantages are not the objective's own".to_owned());
    }
    let scale = found.advantage_scale.filter(|scale| *scale != 1.0)?;
    Some(format!("advantages are scaled by {scale}"))
}

/// The same event with objective `order[k]` in place k.
fn event_in_order(event: &Event, order: &[usize]) -> Event {
    fn turn<T: Copy>(row: &mut Vec<T>, order: &[usize]) {
        *row = order.iter().map(|&m| row[m]).collect();
    }
    let mut event = event.clone();
    match &mut event {
        Event::OnValidation(event) => turn(&mut event.values, order),
        Event::ObserveGradients(event) | Event::WeighGradients(event) => {
            turn(&mut event.losses, order);
            event.gram = order.iter().map(|&m| event.gram[m].clone()).collect();
            event.gram.iter_mut().for_each(|row| turn(row, order));
        }
        Event::Scalarize(event) => {
            let advantages = event.objective_advantages.iter_mut().flatten();
            event
                .scores
                .iter_mut()
                .chain(advantages)
                .for_each(|row| turn(row, order));
        }
        Event::AfterUpdate(event) => event.scores.iter_mut().for_each(|row| turn(row, order)),
    }
    event
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::faulty::{Fault, Faulty};
    use super::{check_permutation, check_single_objective};
    use crate::prelude::*;
    use crate::testing::checks::{check_properties, check_scales};

    #[test]
    fn each_fault_is_found() -> Result<()> {
        let params = |fault: &str| json!({ "fault": fault });
        let none = params("none");
        check_permutation::<Faulty>(&[2, 0, 1], &none, &none)?;
        check_scales::<Faulty>(3, &none)?;
        check_single_objective::<Faulty>(&none)?;

        let first = params("favours-the-first");
        let error = check_permutation::<Faulty>(&[2, 0, 1], &first, &first).expect_err("the order matters");
        assert!(error.message.contains("rewards[0]"), "{error}");
        let error = check_scales::<Faulty>(3, &params("overflows")).expect_err("1e50 is no f32");
        assert!(error.message.contains("rewards[0] is"), "{error}");
        let error = check_single_objective::<Faulty>(&params("shifts")).expect_err("not the scores");
        assert!(error.message.contains("not the scores"), "{error}");
        Ok(())
    }

    /// Reports equal weights, whatever `weigh_gradients` gives back.
    #[derive(Params, Serialize, Deserialize)]
    struct TwoFaced {
        fault: Fault,
    }

    #[scalarizer]
    impl Scalarizer for TwoFaced {
        const NAME: &str = "two-faced";
        const PAPER: &str = "none";

        fn weigh_gradients(&mut self, gradients: &Gradients<'_>) -> Result<Vec<f32>> {
            let mut weights = vec![1.0; gradients.m()];
            match self.fault {
                Fault::FavoursTheFirst => weights[0] = 2.0,
                Fault::Overflows => weights[0] = f32::NAN,
                _ => {}
            }
            Ok(weights)
        }
        fn weights(&self) -> Option<Vec<f32>> {
            Some(vec![1.0; 3])
        }
    }

    /// What a hook gives back is looked at, too, where the scalarizer reports other weights.
    #[test]
    fn the_hooks_own_weights_are_looked_at() -> Result<()> {
        let params = |fault: &str| json!({ "fault": fault });
        check_permutation::<TwoFaced>(&[2, 0, 1], &params("none"), &params("none"))?;
        let first = params("favours-the-first");
        let error = check_permutation::<TwoFaced>(&[2, 0, 1], &first, &first).expect_err("the order matters");
        assert!(error.message.contains("gradient_weights[0]"), "{error}");
        let error = check_properties::<TwoFaced>(3, &params("overflows")).expect_err("NaN");
        assert!(error.message.contains("gradient_weights[0] is NaN"), "{error}");
        Ok(())
    }
}
