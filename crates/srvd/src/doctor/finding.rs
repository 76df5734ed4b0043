//! A finding of a checkup.

use serde::Serialize;

use super::repair::Repair;
use crate::hint::{Hint, Step};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Nothing is wrong.
    Ok,
    /// Useful to know.
    Note,
    /// Something will not work as the user expects.
    Warning,
    /// Something does not work.
    Error,
}

/// A finding of a checkup. No text holds a secret or the value of a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// The subject of the finding, for programs: `key`, `data.dir`, `cli.codex`. It is unique in a checkup.
    pub id: String,
    /// The severity of the finding.
    pub severity: Severity,
    /// The finding in one line.
    pub title: String,
    /// Details; may be empty.
    pub detail: String,
    /// The consequence for the user; may be empty if nothing is wrong.
    pub meaning: String,
    /// The next step for the user, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Hint>,
    /// True if `srvd doctor --fix` can repair it.
    pub fixable: bool,
    /// True if it was repaired; `None` if no repair was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<bool>,
    /// The reason why the repair failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix_error: Option<String>,
    /// The repairs that `srvd doctor --fix` makes.
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

    /// Returns a finding about something that is as it should be.
    pub(super) fn well(id: impl Into<String>, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(id, Severity::Ok, title, detail, "")
    }

    /// Sets the next step for the user.
    #[must_use]
    pub(crate) fn fix(mut self, fix: impl Into<Hint>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Adds repairs. An empty list changes nothing.
    #[must_use]
    pub(super) fn repair(mut self, repairs: impl IntoIterator<Item = Repair>) -> Self {
        self.repairs.extend(repairs);
        if let Some((first, more)) = self.repairs.split_first() {
            let first = first.step();
            self.fix = Some(match more.len() {
                0 => first.into(),
                more => Step::RepairAll { first: Box::new(first), more }.into(),
            });
            self.fixable = true;
        }
        self
    }

    /// Returns whether this is an error that was not repaired.
    #[must_use]
    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error && self.fixed != Some(true)
    }
}
