//! Responses before and after training side by side, with what got worse, where objectives disagree, and where a reward
//! failed.

use std::fmt::Write;

use super::{runs::RunData, svg::escape, write_table::number};
use crate::run::ResponseRecord;

/// Most prompts of a page.
const SHOWN: usize = 60;

/// A prompt with both responses.
struct Pair<'a> {
    before: &'a ResponseRecord,
    after: &'a ResponseRecord,
    /// An objective fell.
    worse: bool,
    /// One objective fell and another rose.
    disagree: bool,
    failed: bool,
}

/// The section; nothing where the run kept no responses.
pub(super) fn samples(run: &RunData) -> String {
    let [before, after] = &run.responses;
    let higher = run.higher();
    let pairs: Vec<Pair<'_>> = before
        .iter()
        .zip(after)
        .filter(|(a, b)| a.row == b.row)
        .map(|(before, after)| {
            let gains = before.performance.iter().zip(&after.performance).zip(&higher);
            let gains: Vec<f32> = gains.map(|((a, b), &up)| if up { b - a } else { a - b }).collect();
            let worse = gains.iter().any(|&gain| gain < 0.0);
            Pair {
                before,
                after,
                worse,
                disagree: worse && gains.iter().any(|&gain| gain > 0.0),
                failed: !before.failed.is_empty() || !after.failed.is_empty(),
            }
        })
        .collect();
    if pairs.is_empty() {
        return String::new();
    }
    let count = |of: &dyn Fn(&Pair<'_>) -> bool| pairs.iter().filter(|pair| of(pair)).count();
    // The first prompts, whatever they are, and then those that a filter asks for.
    let mut shown: Vec<usize> = (0..pairs.len().min(SHOWN / 2)).collect();
    let rest = |of: &dyn Fn(&Pair<'_>) -> bool| (SHOWN / 2..pairs.len()).filter(|&i| of(&pairs[i])).collect::<Vec<_>>();
    let wanted = [
        rest(&|p| p.failed),
        rest(&|p| p.disagree),
        rest(&|p| p.worse),
        rest(&|_| true),
    ];
    for i in wanted.concat() {
        if shown.len() < SHOWN && !shown.contains(&i) {
            shown.push(i);
        }
    }
    shown.sort_unstable();
    let (first, last) = (pairs[0].before.step, pairs[0].after.step);
    let mut html = format!(
        "<section id=\"samples\"><h2>Responses before and after</h2><p>Validation prompts at steps {first} and {last}; {} of {} \
         are shown, those that a filter asks for first.</p>",
        shown.len(),
        pairs.len()
    );
    let filters = [
        ("all", "all", pairs.len()),
        ("worse", "an objective got worse", count(&|p| p.worse)),
        ("disagree", "objectives disagree", count(&|p| p.disagree)),
        ("failed", "reward failed", count(&|p| p.failed)),
    ];
    for (i, (id, text, count)) in filters.iter().enumerate() {
        let checked = if i == 0 { " checked" } else { "" };
        let _ = write!(
            html,
            "<input type=\"radio\" name=\"only\" id=\"only-{id}\"{checked}><label for=\"only-{id}\">{text} ({count})</label>"
        );
    }
    html += "<div class=\"list\">";
    for i in shown {
        article(run, &pairs[i], &mut html);
    }
    html + "</div></section>"
}

fn article(run: &RunData, pair: &Pair<'_>, html: &mut String) {
    let class = [
        (pair.worse, "is-worse"),
        (pair.disagree, "is-disagree"),
        (pair.failed, "is-failed"),
    ];
    let class: Vec<&str> = class.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
    let _ = write!(
        html,
        "<article class=\"{}\"><pre dir=\"auto\">{}</pre><p>row {}, ground truth <code>{}</code></p><div class=\"two\">",
        class.join(" "),
        escape(&pair.before.prompt),
        pair.before.row,
        escape(&pair.before.ground_truth)
    );
    for (response, other) in [(pair.before, None), (pair.after, Some(pair.before))] {
        let _ = write!(html, "<div><p>step {}: ", response.step);
        for (m, about) in run.objectives.iter().enumerate() {
            let value = response.performance.get(m).copied().unwrap_or(f32::NAN);
            let before = other.and_then(|other| other.performance.get(m));
            let fell = before.is_some_and(|&b| if run.higher()[m] { value < b } else { value > b });
            let failed = response.failed.contains(&about.name);
            let _ = write!(
                html,
                "<span class=\"tag{}\">{} {}{}</span>",
                if fell || failed { " worse" } else { "" },
                escape(&about.name),
                number(f64::from(value)),
                if failed { " (reward failed)" } else { "" }
            );
        }
        let cut = if response.truncated { ", truncated" } else { "" };
        let _ = write!(
            html,
            "<span class=\"tag\">{} tokens{cut}</span></p><pre dir=\"auto\">{}</pre></div>",
            response.tokens,
            escape(&response.response)
        );
    }
    *html += "</div></article>";
}
