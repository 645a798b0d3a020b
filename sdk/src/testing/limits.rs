//! Properties of a method that hold where its inputs change in a known way: another order of the objectives,
//! another scale, one objective only.

use serde_json::Value;

use super::{Family, create, properties_of};
use crate::replay::{Direct, run_event};
use crate::trace::{Event, Expect};
use crate::{Error, Objective, Result, Scalarizer, Setup};

fn setup_of(names: impl Iterator<Item = usize>) -> Setup {
    Setup {
        objectives: names.map(|m| Objective::new(format!("objective{m}"))).collect(),
        seed: 11,
    }
}

/// The order of the objectives does not matter: with objective `order[k]` in place k, and `reordered_params` for
/// `params`, every weight moves with its objective, and rewards, advantages, scale and metrics stay as they are,
/// within the tolerance of traces. Error: names the family, the event and what differs.
pub fn reordered<S: Scalarizer>(order: &[usize], params: &Value, reordered_params: &Value) -> Result<()> {
    let m = order.len();
    for family in Family::ALL {
        let mut one = Direct(create::<S>(&setup_of(0..m), params)?);
        let mut other = Direct(create::<S>(&setup_of(order.iter().copied()), reordered_params)?);
        for (index, event) in family.events(m, S::HOOKS, S::NEEDS, 6, 5).iter().enumerate() {
            let expected = run_event(&mut one, m, event)?;
            let mut found = run_event(&mut other, m, &event_in_order(event, order))?;
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
                return Err(Error::new(format!(
                    "{family:?} inputs, event {}, objectives in the order {order:?}: {} is {}, expected {}",
                    index + 1,
                    difference.field,
                    difference.found,
                    difference.expected
                )));
            }
        }
    }
    Ok(())
}

/// Finite outputs, determinism and a state that survives with all scores, advantages, losses, validation values and
/// gradients multiplied by 1e-10 to 1e10, all alike or growing from one objective to the next. Error: names the
/// scale and the event.
pub fn at_scales<S: Scalarizer>(m: usize, params: &Value) -> Result<()> {
    for exponent in [-10, -5, 5, 10] {
        for each_further in [false, true] {
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_possible_wrap,
                reason = "M is small"
            )]
            let scales: Vec<f64> = (0..m)
                .map(|k| {
                    let share = if each_further { (k + 1) as f64 / m as f64 } else { 1.0 };
                    10_f64.powf(f64::from(exponent) * share)
                })
                .collect();
            let events: Vec<Event> = Family::Ordinary
                .events(m, S::HOOKS, S::NEEDS, 4, 5)
                .into_iter()
                .map(|event| scaled(event, &scales))
                .collect();
            properties_of::<S>(&setup_of(0..m), params, &events)
                .map_err(|error| Error::new(format!("inputs times {scales:?}: {error}")))?;
        }
    }
    Ok(())
}

/// With one objective there is nothing to trade off: the signal is the one without a scalarizer. Rewards are the
/// scores, advantages the objective's own, weights 1, and nothing is scaled. Error: names the family and the event.
pub fn plain_with_one_objective<S: Scalarizer>(params: &Value) -> Result<()> {
    for family in Family::ALL {
        let mut hooks = Direct(create::<S>(&setup_of(0..1), params)?);
        for (index, event) in family.events(1, S::HOOKS, S::NEEDS, 4, 5).iter().enumerate() {
            let number = index + 1;
            let found = run_event(&mut hooks, 1, event)?;
            if let Some(what) = not_plain(event, &found) {
                return Err(Error::new(format!("{family:?} inputs, event {number}: {what}")));
            }
        }
    }
    Ok(())
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

fn scaled(mut event: Event, scales: &[f64]) -> Event {
    let wide = |row: &mut Vec<f64>| row.iter_mut().zip(scales).for_each(|(x, scale)| *x *= scale);
    let narrow = |row: &mut Vec<f32>| {
        for (x, scale) in row.iter_mut().zip(scales) {
            *x = super::narrow(f64::from(*x) * scale);
        }
    };
    match &mut event {
        Event::OnValidation(event) => wide(&mut event.values),
        Event::ObserveGradients(event) | Event::WeighGradients(event) => {
            wide(&mut event.losses);
            event.gram.iter_mut().for_each(wide);
            for (row, scale) in event.gram.iter_mut().zip(scales) {
                row.iter_mut().for_each(|x| *x *= scale);
            }
        }
        Event::Scalarize(event) => {
            event.scores.iter_mut().for_each(narrow);
            event.objective_advantages.iter_mut().flatten().for_each(narrow);
        }
        Event::AfterUpdate(event) => {
            event.scores.iter_mut().for_each(narrow);
            for advantage in &mut event.advantages {
                *advantage = super::narrow(f64::from(*advantage) * scales[0]);
            }
        }
    }
    event
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{at_scales, plain_with_one_objective, reordered};
    use crate::prelude::*;

    /// What the scalarizer under test does wrong.
    #[derive(Debug, Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
    enum Fault {
        #[default]
        None,
        FavoursTheFirst,
        Overflows,
        Shifts,
    }

    #[derive(Params, Serialize, Deserialize)]
    struct FaultyParams {
        fault: Fault,
    }

    #[derive(Serialize, Deserialize)]
    struct Faulty {
        fault: Fault,
    }

    #[scalarizer]
    impl Scalarizer for Faulty {
        const NAME: &str = "faulty";
        const PAPER: &str = "none";
        type Params = FaultyParams;
        fn new(_: &Setup, params: FaultyParams) -> Result<Self> {
            Ok(Self { fault: params.fault })
        }
        fn scalarize(&mut self, batch: &Batch<'_>) -> Result<Signal> {
            let reward = |row: &[f32]| match self.fault {
                Fault::None => row.iter().sum(),
                Fault::FavoursTheFirst => row[0],
                Fault::Overflows => row.iter().map(|s| s.powi(5)).sum(),
                Fault::Shifts => row.iter().sum::<f32>() + 1.0,
            };
            Ok(Signal::rewards(batch.scores().iter_rows().map(reward)))
        }
    }

    #[test]
    fn each_fault_is_found() -> Result<()> {
        let params = |fault: &str| json!({ "fault": fault });
        let none = params("none");
        reordered::<Faulty>(&[2, 0, 1], &none, &none)?;
        at_scales::<Faulty>(3, &none)?;
        plain_with_one_objective::<Faulty>(&none)?;

        let first = params("favours-the-first");
        let error = reordered::<Faulty>(&[2, 0, 1], &first, &first).expect_err("the order matters");
        assert!(error.message.contains("rewards[0]"), "{error}");
        let error = at_scales::<Faulty>(3, &params("overflows")).expect_err("1e50 is no f32");
        assert!(error.message.contains("rewards[0] is"), "{error}");
        let error = plain_with_one_objective::<Faulty>(&params("shifts")).expect_err("not the scores");
        assert!(error.message.contains("not the scores"), "{error}");
        Ok(())
    }

    /// Reports equal weights, whatever `weigh_gradients` gives back.
    #[derive(Serialize, Deserialize)]
    struct TwoFaced {
        fault: Fault,
    }

    #[scalarizer]
    impl Scalarizer for TwoFaced {
        const NAME: &str = "two-faced";
        const PAPER: &str = "none";
        type Params = FaultyParams;
        fn new(_: &Setup, params: FaultyParams) -> Result<Self> {
            Ok(Self { fault: params.fault })
        }
        fn scalarize(&mut self, _: &Batch<'_>) -> Result<Signal> {
            Ok(Signal::gradient_weights())
        }
        fn weigh_gradients(&mut self, gradients: &Gradients<'_>) -> Result<Vec<f32>> {
            let mut weights = vec![1.0; gradients.m()];
            match self.fault {
                Fault::FavoursTheFirst => weights[0] = 2.0,
                Fault::Overflows => weights[0] = f32::NAN,
                Fault::None | Fault::Shifts => {}
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
        reordered::<TwoFaced>(&[2, 0, 1], &params("none"), &params("none"))?;
        let first = params("favours-the-first");
        let error = reordered::<TwoFaced>(&[2, 0, 1], &first, &first).expect_err("the order matters");
        assert!(error.message.contains("gradient_weights[0]"), "{error}");
        let error = crate::testing::properties::<TwoFaced>(3, &params("overflows")).expect_err("NaN");
        assert!(error.message.contains("gradient_weights[0] is NaN"), "{error}");
        Ok(())
    }
}
