//! `doctor.run`: the checkup.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{method, words};
use crate::hint::Hint;

/// Runs the checkup.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RunDoctor")]
pub(crate) struct Run {}
method!(
    Run,
    "doctor.run",
    Findings,
    "Checks for problems that keep srvd or the CLIs from working, as `srvd doctor` does, in the daemon's environment."
);

/// The findings of a checkup.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Findings {
    /// The findings, the most severe first.
    pub findings: Vec<Finding>,
}

words! {
    /// The severity of a finding.
    Severity {
        /// Nothing is wrong.
        Ok = "ok",
        /// Useful to know.
        Note = "note",
        /// Something will not work as the user expects.
        Warning = "warning",
        /// Something does not work.
        Error = "error",
    }
}

/// A finding of the checkup. No text contains a secret or the value of a variable.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// The subject of the finding, for programs: `key`, `data.dir`, `cli.codex`. It is unique in a checkup.
    pub id: String,
    /// The severity.
    pub severity: Severity,
    /// The finding in one line.
    pub title: String,
    /// Details; may be empty.
    pub detail: String,
    /// The consequence for the user; may be empty if nothing is wrong.
    pub meaning: String,
    /// The next step for the user, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Hint>,
    /// True if `srvd doctor --fix` can repair it.
    pub fixable: bool,
}
