//! Groups of runs in one table: means with intervals over seeds, and tests of each group against a baseline.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    error::ReportError,
    groups::{Group, group},
    runs::RunData,
};
use crate::{
    metrics::Better,
    reward::About,
    run::{ResponseRecord, ValidationRecord},
    stats::{
        front::volume,
        permutation::{Test, sign_flip, unpaired},
        summary::{Summary, holm, mean, probability_of_improvement, summary},
    },
};

/// What the numbers are measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The test of the trained model, which no run uses for anything.
    Test,
    /// The last validation.
    Validation,
}

impl On {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Validation => "last validation",
        }
    }
}

/// A group's row.
#[derive(Clone, Debug)]
pub struct Row {
    /// What the group is called.
    pub label: String,
    /// The keys in which groups differ.
    pub settings: Vec<(String, String)>,
    /// Seeds, ascending.
    pub seeds: Vec<u64>,
    /// Performance over seeds of each objective `[M]`, then the front's volume.
    pub summaries: Vec<Option<Summary>>,
}

/// Two groups in one objective.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The group.
    pub group: String,
    /// What it is compared with.
    pub baseline: String,
    /// Objective, or the front's volume.
    pub objective: String,
    /// Over seeds: paired where both groups have the same seeds.
    pub seeds: Option<Test>,
    /// Whether the seeds are paired.
    pub paired: bool,
    /// The p over seeds after Holm's correction.
    pub seeds_holm: Option<f64>,
    /// Over prompts.
    pub prompts: Option<Test>,
    /// The p over prompts after Holm's correction.
    pub prompts_holm: Option<f64>,
    /// Probability that the group is better.
    pub improvement: Option<f64>,
}

/// A comparison of runs.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What the numbers are measured on.
    pub on: On,
    /// Objectives `[M]`.
    pub objectives: Vec<About>,
    /// The columns of [`Row::summaries`] with units and directions.
    pub columns: Vec<(String, String, Better)>,
    /// The groups.
    pub rows: Vec<Row>,
    /// The tests.
    pub pairs: Vec<Pair>,
    /// The reference point of the fronts' volumes, and the best values, `[M]`.
    pub reference: (Vec<f64>, Vec<f64>),
    /// Runs that are not at their end, and why.
    pub set_aside: Vec<(PathBuf, String)>,
    /// What a reader should know, a line each.
    pub notes: Vec<String>,
}

/// Compares runs: each group with the first, or every pair with `all_pairs`. Without `on`, the test where every run has
/// one, else the last validation.
///
/// # Errors
/// The runs have other objectives, or two have the same settings and the same seed; none is finished.
pub fn compare(runs: Vec<RunData>, on: Option<On>, all_pairs: bool) -> Result<Comparison, ReportError> {
    let count = runs.len();
    let (mut finished, mut set_aside) = (Vec::new(), Vec::new());
    for run in runs {
        match run.unfinished() {
            None => finished.push(run),
            Some(why) => set_aside.push((run.path, why)),
        }
    }
    let first = finished.first().ok_or(ReportError::NoneFinished(count))?;
    let objectives = first.objectives.clone();
    for run in &finished {
        if run.objectives != objectives {
            let names = |list: &[About]| {
                list.iter()
                    .map(|o| o.performance.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            return Err(ReportError::Objectives {
                run: run.path.clone(),
                found: names(&run.objectives),
                expected: names(&objectives),
                first: first.path.clone(),
            });
        }
    }
    let on = on.unwrap_or_else(|| {
        let tested = finished.iter().all(|run| run.test.is_some());
        if tested { On::Test } else { On::Validation }
    });
    let mut notes = notes(&finished, on);
    if on == On::Test {
        let (tested, not): (Vec<_>, Vec<_>) = finished.into_iter().partition(|run| run.test.is_some());
        set_aside.extend(not.into_iter().map(|run| (run.path, "it has no test".to_owned())));
        finished = tested;
    }
    if finished.is_empty() {
        return Err(ReportError::NoneFinished(count));
    }
    let higher: Vec<bool> = objectives.iter().map(|about| about.better != Better::Low).collect();
    let reference = reference(&finished, &higher);
    let groups = group(&finished)?;
    let fewest = groups.iter().map(|group| group.runs.len()).min().unwrap_or(0);
    if fewest < 10 {
        notes.push(format!(
            "the smallest group has {fewest} seeds; ten or more are needed for an interval to cover what it says"
        ));
    }
    let mut columns: Vec<(String, String, Better)> = objectives
        .iter()
        .map(|about| (about.name.clone(), about.unit.clone(), about.better))
        .collect();
    columns.push(("front_volume".into(), "1".into(), Better::High));
    let values: Vec<Vec<BTreeMap<u64, f64>>> = groups
        .iter()
        .map(|group| values(group, on, &reference, &higher))
        .collect(); // [group][column][seed]
    let rows = groups.iter().zip(&values).map(|(group, values)| Row {
        label: group.label.clone(),
        settings: group.settings.clone(),
        seeds: group.runs.keys().copied().collect(),
        summaries: values
            .iter()
            .map(|of| summary(&of.values().copied().collect::<Vec<_>>()))
            .collect(),
    });
    let rows = rows.collect();
    let mut pairs = Vec::new();
    for b in 0..groups.len() {
        for a in b + 1..groups.len() {
            if b > 0 && !all_pairs {
                continue;
            }
            for (c, (objective, _, better)) in columns.iter().enumerate() {
                let (x, y) = (&values[a][c], &values[b][c]);
                let (test, paired) = over_seeds(x, y);
                let list = |of: &BTreeMap<u64, f64>| -> Vec<f64> {
                    let sign = if *better == Better::Low { -1.0 } else { 1.0 };
                    of.values().map(|v| sign * v).collect()
                };
                pairs.push(Pair {
                    group: groups[a].label.clone(),
                    baseline: groups[b].label.clone(),
                    objective: objective.clone(),
                    seeds: test,
                    paired,
                    seeds_holm: None,
                    prompts: (c < objectives.len())
                        .then(|| over_prompts(&groups[a], &groups[b], on, c))
                        .flatten(),
                    prompts_holm: None,
                    improvement: probability_of_improvement(&list(x), &list(y)),
                });
            }
        }
    }
    correct(&mut pairs);
    Ok(Comparison {
        on,
        objectives,
        columns,
        rows,
        pairs,
        reference,
        set_aside,
        notes,
    })
}

/// What the numbers of a run come from.
fn measured(run: &RunData, on: On) -> Option<&ValidationRecord> {
    match on {
        On::Test => run.test.as_ref(),
        On::Validation => run.validations.last(),
    }
}

/// Values by seed of each objective, and of the front's volume.
fn values(group: &Group<'_>, on: On, (worst, best): &(Vec<f64>, Vec<f64>), higher: &[bool]) -> Vec<BTreeMap<u64, f64>> {
    let mut columns = vec![BTreeMap::new(); higher.len() + 1];
    for (&seed, run) in &group.runs {
        let Some(record) = measured(run, on) else { continue };
        for (column, value) in columns.iter_mut().zip(run.performance(record)) {
            column.insert(seed, value);
        }
        let points: Vec<Vec<f64>> = run.validations.iter().map(|v| run.performance(v)).collect();
        let volume = scaled_volume(&points, worst, best, higher);
        if let (Some(volume), Some(column)) = (volume, columns.last_mut()) {
            column.insert(seed, volume);
        }
    }
    columns
}

/// The worst and the best value of each objective in any validation of any run.
pub(super) fn reference(runs: &[RunData], higher: &[bool]) -> (Vec<f64>, Vec<f64>) {
    let points: Vec<Vec<f64>> = runs
        .iter()
        .flat_map(|run| run.validations.iter().map(|v| run.performance(v)))
        .collect();
    let extreme = |m: usize, up: bool| {
        let values = points.iter().map(|point| point[m]);
        if up {
            values.fold(f64::NEG_INFINITY, f64::max)
        } else {
            values.fold(f64::INFINITY, f64::min)
        }
    };
    let worst = higher.iter().enumerate().map(|(m, &up)| extreme(m, !up));
    let best = higher.iter().enumerate().map(|(m, &up)| extreme(m, up));
    (worst.collect(), best.collect())
}

/// The volume of a front, with `worst` as 0 and `best` as 1 in each objective. An objective that never changed counts 1.
pub(super) fn scaled_volume(points: &[Vec<f64>], worst: &[f64], best: &[f64], higher: &[bool]) -> Option<f64> {
    let scale = |point: &Vec<f64>| -> Vec<f64> {
        let of = |((&v, &w), &b): ((&f64, &f64), &f64)| if b == w { 1.0 } else { (v - w) / (b - w) };
        point.iter().zip(worst).zip(best).map(of).collect()
    };
    let scaled: Vec<Vec<f64>> = points.iter().map(scale).collect();
    // Scaled values are better when larger, whatever the direction was.
    volume(&scaled, &vec![0.0; worst.len()], &vec![true; higher.len()])
}

/// The test over seeds, paired where both have the same ones.
fn over_seeds(x: &BTreeMap<u64, f64>, y: &BTreeMap<u64, f64>) -> (Option<Test>, bool) {
    if x.len() > 1 && x.keys().eq(y.keys()) {
        let differences: Vec<f64> = x.values().zip(y.values()).map(|(x, y)| x - y).collect();
        return (sign_flip(&differences), true);
    }
    let list = |of: &BTreeMap<u64, f64>| of.values().copied().collect::<Vec<_>>();
    (unpaired(&list(x), &list(y)), false)
}

/// The test over prompts: each prompt's difference is that of its means over seeds. None where the prompts differ, or a
/// run kept no responses.
fn over_prompts(a: &Group<'_>, b: &Group<'_>, on: On, objective: usize) -> Option<Test> {
    let (a, b) = (by_prompt(a, on, objective)?, by_prompt(b, on, objective)?);
    if !a.keys().eq(b.keys()) {
        return None;
    }
    let differences: Vec<f64> = a.values().zip(b.values()).map(|(x, y)| mean(x) - mean(y)).collect();
    sign_flip(&differences)
}

/// Performance over seeds of each prompt; none where a run has other prompts, or none.
fn by_prompt<'a>(group: &Group<'a>, on: On, objective: usize) -> Option<BTreeMap<(usize, &'a str), Vec<f64>>> {
    let mut prompts: BTreeMap<(usize, &str), Vec<f64>> = BTreeMap::new();
    for run in group.runs.values() {
        let responses: &'a [ResponseRecord] = match on {
            On::Test => &run.test_responses,
            On::Validation if run.responses[1].is_empty() => &run.responses[0],
            On::Validation => &run.responses[1],
        };
        for response in responses {
            let value = f64::from(*response.performance.get(objective)?);
            prompts.entry((response.row, &response.prompt)).or_default().push(value);
        }
    }
    let whole = prompts.values().all(|values| values.len() == group.runs.len());
    (whole && !prompts.is_empty()).then_some(prompts)
}

/// Holm's correction, the tests over seeds as one family and those over prompts as another.
fn correct(pairs: &mut [Pair]) {
    let p: Vec<f64> = pairs.iter().filter_map(|pair| Some(pair.seeds?.p)).collect();
    let mut adjusted = holm(&p).into_iter();
    for pair in pairs.iter_mut().filter(|pair| pair.seeds.is_some()) {
        pair.seeds_holm = adjusted.next();
    }
    let p: Vec<f64> = pairs.iter().filter_map(|pair| Some(pair.prompts?.p)).collect();
    let mut adjusted = holm(&p).into_iter();
    for pair in pairs.iter_mut().filter(|pair| pair.prompts.is_some()) {
        pair.prompts_holm = adjusted.next();
    }
}

/// What a reader should know of how the runs were made.
fn notes(runs: &[RunData], on: On) -> Vec<String> {
    let mut notes = Vec::new();
    if on == On::Validation {
        notes.push("measured on the validation prompts, which a method may have used".to_owned());
    }
    let mut makers: Vec<String> = Vec::new();
    for process in runs
        .iter()
        .filter_map(|run| run.manifest.as_ref())
        .flat_map(|m| m.processes())
    {
        let build = match (&process.commit, &process.program_hash) {
            (Some(commit), _) => commit.clone(),
            (None, Some(hash)) => hash.clone(),
            (None, None) => "unknown build".to_owned(),
        };
        let processor = process.processor.as_deref().unwrap_or("unknown processor");
        makers.push(format!("moa {} ({build}) on {processor}", process.moa));
    }
    makers.sort();
    makers.dedup();
    if makers.len() > 1 {
        notes.push(format!("made by several builds or machines: {}", makers.join("; ")));
    }
    let without = runs.iter().filter(|run| run.manifest.is_none()).count();
    if without > 0 {
        notes.push(format!(
            "{without} runs have no run.json: whether their model, data and plugins were the same is not known"
        ));
    }
    notes
}
