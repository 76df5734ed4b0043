//! `audit.*`: the audit log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// Lists rows of the audit log, newest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListAudit")]
pub(crate) struct List {
    /// Only rows since this time, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Only rows of this actor, such as `unix:1000`, `tcp` or `token:<id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Only rows whose action begins with this text, such as `auth.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only rows with this part in their subject, such as an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Only rows with this outcome, such as `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The maximum number of rows, from 1 to 1000; 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `nextCursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
method!(
    List,
    "audit.list",
    AuditRows,
    "Lists rows of the audit log, newest first. `srvd audit --verify` checks that the log was not changed."
);

/// Rows of the audit log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditRows {
    /// The rows, newest first.
    pub rows: Vec<AuditRow>,
    /// The cursor of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A row of the audit log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditRow {
    /// The number of the row.
    pub seq: i64,
    /// The time, in Unix milliseconds.
    pub at: i64,
    /// The caller, or `srvd` for the daemon itself.
    pub actor: String,
    /// The action.
    pub action: String,
    /// The object of the action.
    pub subject: String,
    /// The outcome.
    pub outcome: String,
    /// Further details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
