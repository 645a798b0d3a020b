//! The table before and after, from two validations.

use std::fmt::Write;

use crate::run::ValidationRecord;

/// A table with one row per objective: performance before, after, and the change.
#[must_use]
pub fn before_after(before: &ValidationRecord, after: &ValidationRecord) -> String {
    let number =
        |record: &ValidationRecord, name: &str| record.performance.get(name).and_then(serde_json::Value::as_f64);
    let mut rows: Vec<(String, f64, f64)> = Vec::new();
    for name in before.performance.keys() {
        if let (Some(b), Some(a)) = (number(before, name), number(after, name)) {
            rows.push((name.clone(), b, a));
        }
    }
    // Where an objective is the response length, the row is there already.
    if !rows.iter().any(|(_, b, a)| (*b, *a) == (before.length, after.length)) {
        rows.push(("response length (tokens)".into(), before.length, after.length));
    }
    rows.push(("truncated".into(), before.truncated, after.truncated));
    let title = format!("validation ({} prompts)", before.prompts);
    let names = rows.iter().map(|(name, ..)| name.chars().count());
    let width = names.chain([title.chars().count()]).max().unwrap_or(0);
    let mut table = format!("{title:width$} {:>9} {:>9} {:>9}\n", "before", "after", "change");
    for (name, b, a) in rows {
        // Shares get three decimals, lengths one.
        let digits = if b.abs().max(a.abs()) > 2.0 { 1 } else { 3 };
        let _ = writeln!(
            table,
            "{name:width$} {b:>9.digits$} {a:>9.digits$} {:>+9.digits$}",
            a - b
        );
    }
    table
}

/// The test of a trained model in one line.
#[must_use]
pub fn one_line(test: &ValidationRecord) -> String {
    let mut line = format!("test ({} prompts, after training)", test.prompts);
    for (name, value) in &test.performance {
        let value = value.as_f64().unwrap_or(f64::NAN);
        let digits = if value.abs() > 2.0 { 1 } else { 3 };
        let _ = write!(line, "  {name} {value:.digits$}");
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_each_objective_in_its_unit() {
        let record = |step, accuracy: f64, tokens: f64| ValidationRecord {
            step,
            prompts: 200,
            performance: [
                ("accuracy".into(), accuracy.into()),
                ("conciseness (tokens)".into(), tokens.into()),
            ]
            .into_iter()
            .collect(),
            length: tokens,
            truncated: 0.0,
            weights: None,
        };
        let table = before_after(&record(0, 0.5, 52.1), &record(60, 0.985, 35.0));
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[1], "accuracy                     0.500     0.985    +0.485");
        assert_eq!(lines[2], "conciseness (tokens)          52.1      35.0     -17.1");
        assert_eq!(lines.len(), 4, "the length is an objective here, and has one row");
    }
}
