//! A comparison as Markdown, CSV, LaTeX or JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::compare::{Comparison, Pair};
use crate::{metrics::Better, stats::permutation::Test, stats::summary::Summary};

/// A form of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a README.
    Markdown,
    /// One line a group and objective, then one a test.
    Csv,
    /// For a paper: booktabs.
    Latex,
    /// Everything.
    Json,
}

impl Format {
    /// The form of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "markdown" => Some(Self::Markdown),
            "csv" => Some(Self::Csv),
            "latex" => Some(Self::Latex),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// The comparison in a form.
#[must_use]
pub fn write_table(comparison: &Comparison, format: Format) -> String {
    match format {
        Format::Markdown => markdown(comparison),
        Format::Csv => csv(comparison),
        Format::Latex => latex(comparison),
        Format::Json => format!("{:#}\n", to_json(comparison)),
    }
}

/// A number with three decimals, or one if it is large.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let text = if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    };
    if text.trim_start_matches(['-', '0', '.']).is_empty() {
        text.trim_start_matches('-').into()
    } else {
        text
    }
}

/// A p value.
pub(super) fn p_value(p: f64) -> String {
    if p < 1e-3 {
        format!("{p:.0e}")
    } else {
        format!("{p:.3}")
    }
}

fn title((name, unit, better): &(String, String, Better)) -> String {
    let arrow = if *better == Better::Low { "↓" } else { "↑" };
    match unit.as_str() {
        "score" | "1" => format!("{name} {arrow}"),
        unit => format!("{name} ({unit}) {arrow}"),
    }
}

fn interval(summary: &Summary) -> String {
    match summary.half {
        // With as many decimals as the mean.
        Some(half) if summary.mean.abs() >= 10.0 => format!("{} ± {half:.1}", number(summary.mean)),
        Some(half) => format!("{} ± {}", number(summary.mean), number(half)),
        None => number(summary.mean),
    }
}

fn seeds(seeds: &[u64]) -> String {
    seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

/// What stands under a table.
fn legend(comparison: &Comparison) -> Vec<String> {
    let mut lines = vec![format!(
        "Measured on the {}. Mean ± half of the 95 % t interval over seeds, interquartile mean in brackets.",
        comparison.on.name()
    )];
    let (worst, best) = &comparison.reference;
    let point = |values: &[f64]| values.iter().map(|&v| number(v)).collect::<Vec<_>>().join(", ");
    lines.push(format!(
        "front_volume: hypervolume of a run's validations; each objective is 0 at the worst value of any run ({}) and 1 at \
         the best ({}).",
        point(worst),
        point(best)
    ));
    let of_seeds: Vec<&Pair> = comparison.pairs.iter().filter(|pair| pair.seeds.is_some()).collect();
    if !of_seeds.is_empty() {
        let least = of_seeds
            .iter()
            .filter_map(|pair| Some(pair.seeds?.least))
            .fold(1.0, f64::min);
        let family = of_seeds.len();
        let reach = least * family as f64;
        lines.push(format!(
            "Holm over {family} tests. The least p that these seeds can reach is {}, {} after Holm{}.",
            p_value(least),
            p_value(reach.min(1.0)),
            if reach > 0.05 {
                ": too few seeds for any of them to be significant at 0.05"
            } else {
                ""
            }
        ));
    }
    lines.extend(comparison.notes.iter().map(|note| format!("Note: {note}.")));
    let aside = &comparison.set_aside;
    lines.extend(
        aside
            .iter()
            .map(|(path, why)| format!("Left out: {}: {why}.", path.display())),
    );
    lines
}

fn markdown(comparison: &Comparison) -> String {
    let clean = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let mut text = String::new();
    let titles: Vec<String> = comparison.columns.iter().map(title).collect();
    let _ = writeln!(text, "| | seeds | {} |", titles.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "---|".repeat(titles.len()));
    for row in &comparison.rows {
        let cell = |summary: &Option<Summary>| {
            summary
                .as_ref()
                .map_or("–".into(), |s| format!("{} [{}]", interval(s), number(s.iqm)))
        };
        let cells: Vec<String> = row.summaries.iter().map(cell).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            clean(&row.label),
            row.seeds.len(),
            cells.join(" | ")
        );
    }
    if !comparison.pairs.is_empty() {
        text += "\n| against the baseline | objective | difference | p over seeds (Holm) | least p | p over prompts (Holm) | better in |\n";
        text += "|---|---|---|---|---|---|---|\n";
        for pair in &comparison.pairs {
            let test = |test: &Option<Test>, holm: Option<f64>| match (test, holm) {
                (Some(test), Some(holm)) => format!("{} ({})", p_value(test.p), p_value(holm)),
                _ => "–".into(),
            };
            let kind = if pair.paired { "" } else { ", unpaired" };
            let _ = writeln!(
                text,
                "| {} − {} | {} | {} | {}{kind} | {} | {} | {} |",
                clean(&pair.group),
                clean(&pair.baseline),
                clean(&pair.objective),
                pair.seeds.map_or("–".into(), |test| number(test.difference)),
                test(&pair.seeds, pair.seeds_holm),
                pair.seeds.map_or("–".into(), |test| p_value(test.least)),
                test(&pair.prompts, pair.prompts_holm),
                pair.improvement.map_or("–".into(), |p| format!("{:.0} %", 100.0 * p)),
            );
        }
    }
    text.push('\n');
    legend(comparison).iter().for_each(|line| text += &format!("{line}\n"));
    text
}

/// A field of a CSV file: quoted where it needs to be; a text that a spreadsheet would take for a formula gets an
/// apostrophe.
pub(super) fn field(text: &str) -> String {
    let formula =
        text.starts_with(['=', '@', '+', '\t', '\r']) || (text.starts_with('-') && text.parse::<f64>().is_err());
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

fn csv(comparison: &Comparison) -> String {
    let mut text = "group,seeds,objective,unit,better,n,mean,sd,half,iqm\n".to_owned();
    for row in &comparison.rows {
        for ((name, unit, better), summary) in comparison.columns.iter().zip(&row.summaries) {
            let Some(s) = summary else { continue };
            let half = s.half.map_or(String::new(), |half| half.to_string());
            let _ = writeln!(
                text,
                "{},{},{},{unit},{},{},{},{},{half},{}",
                field(&row.label),
                seeds(&row.seeds),
                field(name),
                better.name(),
                s.n,
                s.mean,
                s.sd,
                s.iqm
            );
        }
    }
    text += "\ngroup,baseline,objective,difference,p_seeds,p_seeds_holm,p_least,paired,p_prompts,p_prompts_holm,p_improvement\n";
    let optional = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for pair in &comparison.pairs {
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{}",
            field(&pair.group),
            field(&pair.baseline),
            field(&pair.objective),
            optional(pair.seeds.map(|t| t.difference)),
            optional(pair.seeds.map(|t| t.p)),
            optional(pair.seeds_holm),
            optional(pair.seeds.map(|t| t.least)),
            pair.paired,
            optional(pair.prompts.map(|t| t.p)),
            optional(pair.prompts_holm),
            optional(pair.improvement),
        );
    }
    text
}

fn latex(comparison: &Comparison) -> String {
    let clean = |text: &str| -> String {
        let escape = |c: char| match c {
            '\\' => "\\textbackslash{}".to_owned(),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => format!("\\{c}"),
            '~' => "\\textasciitilde{}".to_owned(),
            '^' => "\\textasciicircum{}".to_owned(),
            '↑' => "$\\uparrow$".to_owned(),
            '↓' => "$\\downarrow$".to_owned(),
            '−' | '–' => "--".to_owned(),
            '±' => "$\\pm$".to_owned(),
            '√' => "$\\surd$".to_owned(),
            c => c.to_string(),
        };
        text.chars().map(escape).collect()
    };
    let mut text = String::from("% needs \\usepackage{booktabs}\n");
    let _ = writeln!(
        text,
        "\\begin{{tabular}}{{lr{}}}\n\\toprule",
        "r".repeat(comparison.columns.len())
    );
    let titles: Vec<String> = comparison.columns.iter().map(|column| clean(&title(column))).collect();
    let _ = writeln!(text, "& seeds & {} \\\\\n\\midrule", titles.join(" & "));
    for row in &comparison.rows {
        let cells = row
            .summaries
            .iter()
            .map(|s| s.as_ref().map_or("--".into(), |s| clean(&interval(s))));
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(
            text,
            "{} & {} & {} \\\\",
            clean(&row.label),
            row.seeds.len(),
            cells.join(" & ")
        );
    }
    text += "\\bottomrule\n\\end{tabular}\n";
    legend(comparison)
        .iter()
        .for_each(|line| text += &format!("% {}\n", line.replace('\n', " ")));
    text
}

fn to_json(comparison: &Comparison) -> Value {
    let test = |test: &Option<Test>, holm: Option<f64>| {
        test.map(
            |t| json!({"difference": t.difference, "p": t.p, "p_holm": holm, "p_least": t.least, "exact": t.exact}),
        )
    };
    let groups = comparison.rows.iter().map(|row| {
        let columns = comparison
            .columns
            .iter()
            .zip(&row.summaries)
            .map(|((name, unit, better), summary)| {
                let numbers =
                    summary.map(|s| json!({"n": s.n, "mean": s.mean, "sd": s.sd, "t_half": s.half, "iqm": s.iqm}));
                json!({"objective": name, "unit": unit, "better": better.name(), "over_seeds": numbers})
            });
        let settings: serde_json::Map<String, Value> = row
            .settings
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect();
        json!({"group": row.label, "settings": settings, "seeds": row.seeds, "objectives": columns.collect::<Vec<_>>()})
    });
    let pairs = comparison.pairs.iter().map(|pair| {
        json!({
            "group": pair.group,
            "baseline": pair.baseline,
            "objective": pair.objective,
            "paired": pair.paired,
            "over_seeds": test(&pair.seeds, pair.seeds_holm),
            "over_prompts": test(&pair.prompts, pair.prompts_holm),
            "p_improvement": pair.improvement,
        })
    });
    json!({
        "on": comparison.on.name(),
        "reference": {"worst": comparison.reference.0, "best": comparison.reference.1},
        "groups": groups.collect::<Vec<_>>(),
        "tests": pairs.collect::<Vec<_>>(),
        "left_out": comparison.set_aside.iter().map(|(path, why)| json!({"run": path, "why": why})).collect::<Vec<_>>(),
        "notes": comparison.notes,
    })
}
