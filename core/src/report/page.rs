//! A run as one HTML page without scripts: figures as static SVG, filters of samples in CSS. Nothing is loaded from
//! anywhere, and a policy in the page forbids it. The same run folder makes the same bytes.

use std::fmt::Write;

use super::{
    compare::{reference, scaled_volume},
    figures::{Figure, figures},
    runs::{RunData, Steps},
    samples::samples,
    svg::escape,
    write_table::number,
};
use crate::{
    error::Error,
    metrics::Better,
    run::{Ended, ResponseRecord},
    stats::summary::summary,
};

/// Colours, layout, and what hides samples. Only this file's own text goes in.
const STYLE: &str = include_str!("page.css");

/// A page with the figures and tables that it shows.
#[derive(Clone, Debug)]
pub struct Page {
    /// The page.
    pub html: String,
    /// Name and text of each figure and table, as files beside the page.
    pub files: Vec<(String, String)>,
}

/// The page of a run.
///
/// # Errors
/// metrics.jsonl holds something else.
pub fn page(run: &RunData) -> Result<Page, Error> {
    let steps = run.steps()?;
    let figures = figures(run, &steps);
    let mut files = vec![("objectives.csv".to_owned(), objectives_csv(run))];
    files.push(("validations.csv".into(), validations_csv(run)));
    files.push(("metrics.csv".into(), metrics_csv(&steps)));
    let name = run.name();
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
         form-action 'none'\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{0} · moa</title><style>{STYLE}</style></head><body>\
         <header><h1>{0}</h1>{1}</header><main>",
        escape(&name),
        facts(run, &steps)
    );
    html += &objectives_table(run);
    for (title, note, group) in &figures {
        if group.is_empty() {
            continue;
        }
        let id = title.to_lowercase().replace(' ', "-");
        let _ = write!(html, "<section id=\"{id}\"><h2>{}</h2>", escape(title));
        if !note.is_empty() {
            let _ = write!(html, "<p>{}</p>", escape(note));
        }
        html += "<div class=\"grid\">";
        for Figure { file, svg } in group {
            let _ = write!(html, "<figure>{svg}</figure>");
            files.push((format!("{file}.svg"), svg.clone()));
        }
        html += "</div></section>";
    }
    html += &failures(&steps);
    html += &samples(run);
    html += &repeat(run);
    html += "</main></body></html>\n";
    Ok(Page { html, files })
}

/// What the run is, in lines.
fn facts(run: &RunData, steps: &Steps) -> String {
    let config = &run.config;
    let state = run
        .unfinished()
        .map_or("finished".to_owned(), |why| format!("not finished: {why}"));
    let mut rows = vec![
        ("scalarizer", config.scalarizer.name.clone()),
        ("state", state),
        (
            "steps",
            format!("{} of {}", steps.metrics.steps.last().unwrap_or(&0), config.train.steps),
        ),
        ("seed", config.train.seed.to_string()),
    ];
    if let Some(manifest) = &run.manifest {
        let began = manifest.began();
        rows.push(("model", began.model.clone()));
        let test = began.test.as_ref().map_or(0, |test| test.prompts);
        rows.push((
            "prompts",
            format!(
                "{} training, {} validation, {test} test",
                began.training.prompts, began.validation.prompts
            ),
        ));
        if let Some(process) = manifest.processes().last() {
            let commit = process.commit.as_deref().unwrap_or("unknown commit");
            rows.push(("made by", format!("moa {} ({commit})", process.moa)));
            let processor = process.processor.as_deref().unwrap_or("unknown processor");
            rows.push(("machine", format!("{processor}, {} threads", process.threads)));
        }
    }
    let mut html = "<dl>".to_owned();
    for (name, value) in rows {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    html + "</dl>"
}

/// Mean change of each prompt with half of its t interval, where the responses of both ends are there.
fn change(before: &[ResponseRecord], after: &[ResponseRecord], m: usize) -> Option<(f64, Option<f64>)> {
    let value = |response: &ResponseRecord| response.performance.get(m).map(|&v| f64::from(v));
    let same = before.len() == after.len() && before.iter().zip(after).all(|(a, b)| a.row == b.row);
    if !same {
        return None;
    }
    let changes = before.iter().zip(after).map(|(a, b)| Some(value(b)? - value(a)?));
    let found = summary(&changes.collect::<Option<Vec<f64>>>()?)?;
    Some((found.mean, found.half))
}

/// First and last validation and the test, with the interval of the change over prompts.
fn objectives_table(run: &RunData) -> String {
    let (Some(first), Some(last)) = (run.validations.first(), run.validations.last()) else {
        return String::new();
    };
    let (before, after) = (run.performance(first), run.performance(last));
    let test = run.test.as_ref().map(|test| run.performance(test));
    let mut html = format!(
        "<section id=\"objectives-table\"><h2>Before and after</h2><p>Validation on {} prompts at steps {} and {}; the change \
         has the 95 % t interval over prompts{}.</p><div class=\"wide\"><table><thead><tr><th>objective</th><th>better</th>\
         <th>before</th><th>after</th><th>change</th><th>test</th></tr></thead><tbody>",
        last.prompts,
        first.step,
        last.step,
        if run.test.is_some() {
            ", and the test was used for nothing else"
        } else {
            ""
        }
    );
    for (m, about) in run.objectives.iter().enumerate() {
        let delta = after[m] - before[m];
        let worse = (delta > 0.0) == (about.better == Better::Low) && delta != 0.0;
        let half = change(&run.responses[0], &run.responses[1], m).and_then(|(_, half)| half);
        let sign = if delta > 0.0 { "+" } else { "" };
        let interval = half.map_or(String::new(), |half| format!(" ± {}", number(half)));
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"{}\">{sign}{}{interval}</td><td>{}</td></tr>",
            escape(&about.performance),
            about.better.name(),
            number(before[m]),
            number(after[m]),
            if worse { "worse" } else { "" },
            number(delta),
            test.as_ref().map_or("–".into(), |test| number(test[m])),
        );
    }
    html + "</tbody></table></div></section>"
}

/// The first failures of rewards.
fn failures(steps: &Steps) -> String {
    const SHOWN: usize = 20;
    if steps.failures.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<section id=\"failures\"><h2>Failures of rewards</h2><p>{} steps had one; the first of a step is quoted.</p><ul>",
        steps.failures.len()
    );
    for (step, text) in steps.failures.iter().take(SHOWN) {
        let _ = write!(html, "<li>step {step}: {}</li>", escape(text));
    }
    html + "</ul></section>"
}

/// Config, processes, and how to make the run again.
fn repeat(run: &RunData) -> String {
    let mut html = "<section id=\"repeat\"><h2>Repeat it</h2>".to_owned();
    let _ = write!(
        html,
        "<p><code>moa-host train --config {}/config.toml</code></p>",
        escape(&run.name())
    );
    if let Some(manifest) = &run.manifest {
        html += "<div class=\"wide\"><table><thead><tr><th>command</th><th>after step</th><th>started</th><th>ended</th><th>how\
                 </th></tr></thead><tbody>";
        for process in manifest.processes() {
            let how = match &process.end {
                None => "no end: killed, or still running",
                Some(Ended::Finished) => "finished",
                Some(Ended::Interrupted) => "interrupted",
                Some(Ended::Failed(why)) => why,
            };
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&process.command.join(" ")),
                process.after_step,
                escape(&process.started),
                escape(process.ended.as_deref().unwrap_or("–")),
                escape(how)
            );
        }
        html += "</tbody></table></div>";
        if let Ok(text) = serde_json::to_string_pretty(&serde_json::json!({
            "began": manifest.began(),
            "plugins": manifest.processes().last().map(|process| &process.plugins),
        })) {
            let _ = write!(
                html,
                "<details><summary>Hashes of model, data and plugins</summary><pre>{}</pre></details>",
                escape(&text)
            );
        }
    }
    let _ = write!(
        html,
        "<details><summary>config.toml</summary><pre>{}</pre></details>",
        escape(&run.config_text)
    );
    html + "</section>"
}

fn objectives_csv(run: &RunData) -> String {
    let mut csv = "objective,unit,better,before,after,change,change_half,test\n".to_owned();
    let (Some(first), Some(last)) = (run.validations.first(), run.validations.last()) else {
        return csv;
    };
    let (before, after) = (run.performance(first), run.performance(last));
    let test = run.test.as_ref().map(|test| run.performance(test));
    for (m, about) in run.objectives.iter().enumerate() {
        let half = change(&run.responses[0], &run.responses[1], m).and_then(|(_, half)| half);
        let _ = writeln!(
            csv,
            "{},{},{},{},{},{},{},{}",
            super::write_table::field(&about.performance),
            about.unit,
            about.better.name(),
            before[m],
            after[m],
            after[m] - before[m],
            half.map_or(String::new(), |half| half.to_string()),
            test.as_ref().map_or(String::new(), |test| test[m].to_string()),
        );
    }
    csv
}

fn validations_csv(run: &RunData) -> String {
    let names = run
        .objectives
        .iter()
        .map(|about| super::write_table::field(&about.performance));
    let mut csv = format!(
        "step,{},length,truncated,front_volume\n",
        names.collect::<Vec<_>>().join(",")
    );
    let higher = run.higher();
    let (worst, best) = reference(std::slice::from_ref(run), &higher);
    let points: Vec<Vec<f64>> = run.validations.iter().map(|v| run.performance(v)).collect();
    for (i, record) in run.validations.iter().enumerate() {
        let values: Vec<String> = points[i].iter().map(f64::to_string).collect();
        let volume = scaled_volume(&points[..=i], &worst, &best, &higher);
        let volume = volume.map_or(String::new(), |v| v.to_string());
        let _ = writeln!(
            csv,
            "{},{},{},{},{volume}",
            record.step,
            values.join(","),
            record.length,
            record.truncated
        );
    }
    csv
}

/// Every number of metrics.jsonl and the times; a number that is not there is an empty field.
#[must_use]
pub fn metrics_csv(steps: &Steps) -> String {
    let times = steps
        .times
        .columns
        .iter()
        .map(|(name, values)| (format!("time/{name}"), values));
    let metrics = steps
        .metrics
        .columns
        .iter()
        .map(|(name, values)| (name.clone(), values));
    let columns: Vec<(String, &Vec<f64>)> = metrics.chain(times).collect();
    let names: Vec<String> = columns
        .iter()
        .map(|(name, _)| super::write_table::field(name))
        .collect();
    let mut csv = format!("step,{}\n", names.join(","));
    for (row, step) in steps.metrics.steps.iter().enumerate() {
        let _ = write!(csv, "{step}");
        for (_, values) in &columns {
            csv.push(',');
            if let Some(value) = values.get(row).filter(|v| v.is_finite()) {
                let _ = write!(csv, "{value}");
            }
        }
        csv.push('\n');
    }
    csv
}
