//! The report of a check: a line a case for people, the same as data for programs.

use serde::Serialize;

use super::finding::{Status, Verdict};

/// One case and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// `library/name`, or the library alone.
    pub plugin: String,
    /// "library", "scalarizer" or "reward".
    pub kind: String,
    /// Name of the case.
    pub case: String,
    /// What holds where the case passes.
    pub about: String,
    /// How it ended.
    pub status: Status,
    /// Why, unless it passed.
    pub reason: Option<String>,
    /// What to change, where something is known.
    pub hint: Option<String>,
    /// The first case of the plugin that ended like this one, for the same reason.
    pub same_as: Option<String>,
}

impl CaseReport {
    /// A case without verdict yet.
    pub(super) fn open(plugin: String, kind: &str, case: &str, about: &str) -> Self {
        Self {
            plugin,
            kind: kind.to_owned(),
            case: case.to_owned(),
            about: about.to_owned(),
            status: Status::Skipped,
            reason: Some("not run".to_owned()),
            hint: None,
            same_as: None,
        }
    }

    pub(super) fn with(self, verdict: Verdict) -> Self {
        Self {
            status: verdict.status,
            reason: verdict.reason,
            hint: verdict.hint,
            ..self
        }
    }

    /// The same, with the case of `earlier` that says the same.
    pub(super) fn after(self, earlier: &[CaseReport]) -> Self {
        let same = |other: &&CaseReport| {
            other.plugin == self.plugin
                && other.kind == self.kind
                && other.status == self.status
                && other.reason == self.reason
                && other.same_as.is_none()
        };
        let first = self.reason.as_ref().and_then(|_| earlier.iter().find(same));
        Self {
            same_as: first.map(|first| first.case.clone()),
            ..self
        }
    }

    /// `status  library/name  case  – description or reason`, in columns of `widths`, and a line with the hint, without
    /// the last line's end.
    pub fn line(&self, widths: Widths) -> String {
        let mut line = format!(
            "{:<7}  {:<plugin$}  {:<case$}  – {}",
            self.status.word(),
            self.plugin,
            self.case,
            self.reason.as_ref().unwrap_or(&self.about),
            plugin = widths.plugin,
            case = widths.case,
        );
        if let Some(hint) = &self.hint {
            line.push_str("\n         hint: ");
            line.push_str(hint);
        }
        line
    }
}

/// Widths of the columns of all cases of a check, known before the first has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Widths {
    plugin: usize,
    case: usize,
}

impl Widths {
    /// Wide enough for all of `cases`.
    pub(super) fn of<'a>(cases: impl Iterator<Item = &'a CaseReport>) -> Self {
        cases.fold(Self::default(), |widths, case| Self {
            plugin: widths.plugin.max(case.plugin.chars().count()),
            case: widths.case.max(case.case.chars().count()),
        })
    }
}

/// All cases of a library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file; as it was typed where it could not be opened.
    pub library: String,
    /// Version of the SDK that it was built with, where it could be opened.
    pub sdk: Option<String>,
    /// In the order in which they ran.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// Whether no case failed or crashed.
    pub fn is_good(&self) -> bool {
        !self.cases.iter().any(|case| case.status.is_bad())
    }

    /// Number of cases that ended so.
    pub fn count(&self, status: Status) -> usize {
        self.cases.iter().filter(|case| case.status == status).count()
    }

    /// `29 cases: 27 passed, 1 skipped, 1 failed`, after a line for each case that later ones repeat.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for first in &self.cases {
            let repeats = |case: &&CaseReport| {
                case.plugin == first.plugin && case.kind == first.kind && case.same_as.as_ref() == Some(&first.case)
            };
            let repeated: Vec<&str> = self
                .cases
                .iter()
                .filter(repeats)
                .map(|case| case.case.as_str())
                .collect();
            if !repeated.is_empty() {
                let (status, plugin, case) = (first.status.word(), &first.plugin, &first.case);
                let all = repeated.join(", ");
                text.push_str(&format!("{status} in the same way as {case} of {plugin}: {all}\n"));
            }
        }
        let counts: Vec<String> = Status::ALL
            .iter()
            .map(|status| (self.count(*status), status.word()))
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        text.push_str(&format!("{} cases: {}", self.cases.len(), counts.join(", ")));
        text
    }

    /// The report as JSON: library, sdk, cases, and a count for each status.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!(self);
        for status in Status::ALL {
            json["summary"][status.word()] = self.count(status).into();
        }
        json
    }
}
