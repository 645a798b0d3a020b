//! The figures of a run's page, by section.

use super::{
    compare::{reference, scaled_volume},
    runs::{RunData, Steps},
    svg::{Plot, Series, matrix},
    write_table::number,
};
use crate::metrics::Better;

/// A figure and the name of its file.
pub(super) struct Figure {
    pub(super) file: String,
    pub(super) svg: String,
}

/// Title, what to know, figures.
pub(super) type Section = (String, String, Vec<Figure>);

fn line(name: &str, points: Vec<[f64; 2]>) -> Series {
    Series {
        name: name.to_owned(),
        points,
        line: true,
        ..Series::default()
    }
}

fn figure(file: &str, title: &str, (x, y): (&str, &str), series: Vec<Series>) -> Option<Figure> {
    let series: Vec<Series> = series
        .into_iter()
        .filter(|series| series.points.iter().any(|p| p[1].is_finite()))
        .collect();
    let plot = Plot {
        title: title.to_owned(),
        x: x.to_owned(),
        y: y.to_owned(),
        series,
    };
    let file = file
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    (!plot.series.is_empty()).then(|| Figure {
        file,
        svg: plot.render(),
    })
}

/// Every section of a run.
pub(super) fn figures(run: &RunData, steps: &Steps) -> Vec<Section> {
    let section = |title: &str, note: String, figures: Vec<Option<Figure>>| {
        let figures = figures.into_iter().flatten().collect();
        (title.to_owned(), note, figures)
    };
    let (front_note, fronts) = fronts(run);
    let each = |prefix: &str, name: &str| -> Option<Figure> {
        let series = run
            .objectives
            .iter()
            .map(|about| line(&about.name, steps.metrics.points(&format!("{prefix}/{}", about.name))));
        figure(prefix, name, ("step", ""), series.collect())
    };
    let single = |metric: &str, unit: &str| {
        figure(
            metric,
            metric,
            ("step", unit),
            vec![line("", steps.metrics.points(metric))],
        )
    };
    vec![
        section(
            "Objectives",
            "Dots are validations, in the objective's own unit; lines are training scores, larger is better.".into(),
            objectives(run, steps),
        ),
        section(
            "Weights and rewards",
            "Weights that trained, beside the scalar reward.".into(),
            vec![
                each("weight", "weights"),
                single("reward/mean", "reward"),
                single("advantage_scale", "1"),
            ],
        ),
        section("Fronts", front_note, fronts),
        section(
            "Interference",
            "Within a prompt: how each objective's score moves with the reward (arXiv 2602.06869, §3).".into(),
            vec![
                each("interference", "share of prompts with negative covariance"),
                each("pearson", "correlation of score and reward"),
                each("top_quarter_lift", "lift of the best quarter"),
                single("reward_hacking", "share"),
                single("groups/equal_reward", "share"),
            ],
        ),
        section(
            "Gradients",
            "Cosines of the objectives' gradients, from the Gramian.".into(),
            gradients(run, steps),
        ),
        section(
            "Policy",
            String::new(),
            [
                "length/mean",
                "length/truncated",
                "policy/entropy",
                "policy/kl",
                "policy/grad_norm",
                "policy/sampler_gap",
                "loss",
            ]
            .map(|metric| single(metric, crate::metrics::definition(metric).map_or("", |d| d.unit)))
            .into(),
        ),
        section(
            "Time and failures",
            String::new(),
            vec![
                times(steps),
                each("reward_failures", "failures of rewards"),
                single("skipped", "completions"),
            ],
        ),
        section("All metrics", "`moa-host metrics` explains each.".into(), all(steps)),
    ]
}

fn validations(run: &RunData, m: usize) -> Vec<[f64; 2]> {
    let point = |record| [run_step(record), run.performance(record)[m]];
    run.validations.iter().map(point).collect()
}

fn run_step(record: &crate::run::ValidationRecord) -> f64 {
    record.step as f64
}

fn objectives(run: &RunData, steps: &Steps) -> Vec<Option<Figure>> {
    let mut figures = Vec::new();
    for (m, about) in run.objectives.iter().enumerate() {
        let arrow = if about.better == Better::Low { "lower" } else { "higher" };
        let title = format!("{}: validation, {arrow} is better", about.performance);
        let dots = Series {
            dots: true,
            ..line("", validations(run, m))
        };
        figures.push(figure(
            &format!("validation-{}", about.name),
            &title,
            ("step", &about.unit),
            vec![dots],
        ));
        let scores = steps.metrics.points(&format!("score/{}", about.name));
        let title = format!("{}: training score", about.name);
        figures.push(figure(
            &format!("score-{}", about.name),
            &title,
            ("step", "score"),
            vec![line("", scores)],
        ));
    }
    figures
}

fn fronts(run: &RunData) -> (String, Vec<Option<Figure>>) {
    let higher = run.higher();
    let (worst, best) = reference(std::slice::from_ref(run), &higher);
    let points: Vec<Vec<f64>> = run.validations.iter().map(|v| run.performance(v)).collect();
    let test = run.test.as_ref().map(|test| run.performance(test));
    let mut figures = Vec::new();
    for i in 0..higher.len() {
        for j in i + 1..higher.len() {
            let (a, b) = (&run.objectives[i], &run.objectives[j]);
            let label = |k: usize| match k {
                0 => "start".to_owned(),
                k if k + 1 == points.len() => "end".to_owned(),
                _ => String::new(),
            };
            let path = Series {
                dots: true,
                labels: (0..points.len()).map(label).collect(),
                ..line("validations in order", points.iter().map(|p| [p[i], p[j]]).collect())
            };
            let mark = |name: &str, point: &[f64]| Series {
                name: name.into(),
                points: vec![[point[i], point[j]]],
                dots: true,
                ..Series::default()
            };
            let mut series = vec![path, mark("reference", &worst)];
            series.extend(test.as_ref().map(|test| mark("test", test)));
            let axis = |about: &crate::reward::About, up: &str, down: &str| {
                let way = if about.better == Better::Low { down } else { up };
                format!("{}, better {way}", about.performance)
            };
            let (x, y) = (axis(a, "→", "←"), axis(b, "↑", "↓"));
            let (file, title) = (
                format!("front-{}-{}", a.name, b.name),
                format!("{} and {}", a.name, b.name),
            );
            figures.push(figure(&file, &title, (&x, &y), series));
        }
    }
    let volume = |of: &[Vec<f64>]| scaled_volume(of, &worst, &best, &higher).unwrap_or(f64::NAN);
    let at = |i: usize| run_step(&run.validations[i]);
    let so_far = (0..points.len()).map(|i| [at(i), volume(&points[..=i])]).collect();
    let alone = (0..points.len()).map(|i| [at(i), volume(&points[i..=i])]).collect();
    figures.push(figure(
        "front-volume",
        "hypervolume of the front",
        ("step", "share"),
        vec![
            Series {
                dots: true,
                ..line("all validations so far", so_far)
            },
            Series {
                dots: true,
                dashed: true,
                ..line("this validation alone", alone)
            },
        ],
    ));
    let scaled = |p: &Vec<f64>| -> Vec<[f64; 2]> {
        let of = |m: usize| {
            if best[m] == worst[m] {
                1.0
            } else {
                (p[m] - worst[m]) / (best[m] - worst[m])
            }
        };
        (0..p.len()).map(|m| [m as f64 + 1.0, of(m)]).collect()
    };
    let chosen = [0, points.len() / 2, points.len().saturating_sub(1)];
    let mut parallel: Vec<Series> = Vec::new();
    for (k, &i) in chosen.iter().enumerate() {
        if i < points.len() && !chosen[..k].contains(&i) {
            parallel.push(Series {
                dots: true,
                ..line(&format!("step {}", run.validations[i].step), scaled(&points[i]))
            });
        }
    }
    let names: Vec<&str> = run.objectives.iter().map(|o| o.name.as_str()).collect();
    figures.push(figure(
        "parallel",
        "all objectives, 0 worst and 1 best",
        (&names.join(" | "), ""),
        parallel,
    ));
    let point = |values: &[f64]| -> String {
        let named = run
            .objectives
            .iter()
            .zip(values)
            .map(|(o, &v)| format!("{} {}", o.performance, number(v)));
        named.collect::<Vec<_>>().join(", ")
    };
    let note = format!(
        "Points are validations of this one run. Reference point: the worst value of each objective in them ({}). For the \
         hypervolume each objective is 0 there and 1 at its best ({}), so it is no number to compare between pages: \
         `moa-host compare` takes one reference for all runs.",
        point(&worst),
        point(&best)
    );
    (note, figures)
}

fn gradients(run: &RunData, steps: &Steps) -> Vec<Option<Figure>> {
    let m = run.objectives.len();
    let cosine = |i: usize, j: usize| {
        let (a, b) = (&run.objectives[i.min(j)].name, &run.objectives[i.max(j)].name);
        steps.metrics.points(&format!("gradient/cosine/{a}/{b}"))
    };
    let (mut series, mut any) = (Vec::new(), false);
    let mut values = vec![vec![1.0; m]; m];
    for (i, row) in values.iter_mut().enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            if i == j {
                continue;
            }
            let points = cosine(i, j);
            let finite: Vec<f64> = points.iter().map(|p| p[1]).filter(|v| v.is_finite()).collect();
            any |= !finite.is_empty();
            *value = crate::stats::summary::mean(&finite);
            if i < j {
                series.push(line(
                    &format!("{} {}", run.objectives[i].name, run.objectives[j].name),
                    points,
                ));
            }
        }
    }
    let names: Vec<String> = run.objectives.iter().map(|o| o.name.clone()).collect();
    let mean = any.then(|| Figure {
        file: "gradient-cosine-mean".into(),
        svg: matrix("mean cosine over the run", &names, &values),
    });
    let norms = run
        .objectives
        .iter()
        .map(|o| line(&o.name, steps.metrics.points(&format!("gradient/norm/{}", o.name))));
    vec![
        mean,
        figure("gradient-cosine", "cosines of gradients", ("step", ""), series),
        figure("gradient-norm", "norms of gradients", ("step", ""), norms.collect()),
    ]
}

fn times(steps: &Steps) -> Option<Figure> {
    let phases = steps
        .times
        .columns
        .iter()
        .filter(|(name, _)| name != "tokens_per_second");
    let series = phases.map(|(name, _)| line(name, steps.times.points(name)));
    figure("time", "seconds of a step", ("step", "s"), series.collect())
}

fn all(steps: &Steps) -> Vec<Option<Figure>> {
    let one = |(name, _): &(String, Vec<f64>)| {
        let unit = crate::metrics::definition(name).map_or("", |d| d.unit);
        figure(
            &format!("metric-{name}"),
            name,
            ("step", unit),
            vec![line("", steps.metrics.points(name))],
        )
    };
    steps.metrics.columns.iter().map(one).collect()
}
