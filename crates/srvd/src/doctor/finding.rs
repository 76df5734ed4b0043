//! One thing that a checkup has to say.

use serde::Serialize;

use super::repair::Repair;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Something will not go as the person expects.
    Warning,
    /// Something does not work.
    Error,
}

/// One thing that was found. No text holds a secret or the value of a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What was looked at, for programs: `key`, `data.dir`, `cli.codex`. No two findings of a checkup have the same.
    pub id: String,
    /// How much it matters.
    pub severity: Severity,
    /// What was found, in one line.
    pub title: String,
    /// The particulars; may be empty.
    pub detail: String,
    /// What that means for the person; may be empty where all is well.
    pub meaning: String,
    /// What to do, where something can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Whether `srvd doctor --fix` does it.
    pub fixable: bool,
    /// Whether it was repaired; only where that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<bool>,
    /// Why it could not be repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix_error: Option<String>,
    /// What can be done about it without asking.
    #[serde(skip)]
    pub(super) repairs: Vec<Repair>,
}

impl Finding {
    pub(crate) fn new(
        id: impl Into<String>,
        severity: Severity,
        title: impl Into<String>,
        detail: impl Into<String>,
        meaning: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            severity,
            title: title.into(),
            detail: detail.into(),
            meaning: meaning.into(),
            fix: None,
            fixable: false,
            fixed: None,
            fix_error: None,
            repairs: Vec::new(),
        }
    }

    /// Something that is as it should be.
    pub(super) fn well(id: impl Into<String>, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(id, Severity::Ok, title, detail, "")
    }

    /// What a person can do.
    #[must_use]
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// What can be done without asking; without any, nothing changes.
    #[must_use]
    pub(super) fn repair(mut self, repairs: impl IntoIterator<Item = Repair>) -> Self {
        self.repairs.extend(repairs);
        let first: Vec<String> = self.repairs.iter().take(2).map(Repair::words).collect();
        let more = match self.repairs.len().saturating_sub(2) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        if !first.is_empty() {
            self.fix = Some(format!("{}{more}", first.join("; ")));
            self.fixable = true;
        }
        self
    }

    /// Whether it still stands in the way.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error && self.fixed != Some(true)
    }
}
