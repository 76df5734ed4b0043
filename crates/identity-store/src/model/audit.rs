//! The rows of the audit log, and the result of checking their chain.

/// One row of the audit log. It holds ids and words, never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Time of the event, in unix milliseconds.
    pub at: i64,
    /// The actor: the one the store acts for ([`crate::Store::acting_as`]), or `srvd` for the daemon itself.
    pub actor: String,
    /// The action, such as `bundle.create`.
    pub action: String,
    /// The ids that the action applied to, separated by spaces.
    pub subject: String,
    /// The outcome: `ok`, or the word for a failure.
    pub outcome: String,
    /// Further detail about the event.
    pub detail: Option<String>,
}

impl AuditEntry {
    /// The outcome of an action that succeeded.
    pub const OK: &'static str = "ok";
}

/// A row of the audit log with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// The row's number. Numbers increase and may have gaps.
    pub seq: i64,
    /// The content of the row.
    pub entry: AuditEntry,
}

/// A filter for the rows of the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditFilter {
    /// The earliest time of a row, in unix milliseconds.
    pub since: i64,
    /// The maximum number of rows. The newest are returned.
    pub limit: u32,
}

/// A request for a page of the audit log, newest rows first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// The earliest time of a row, in unix milliseconds.
    pub since: Option<i64>,
    /// Only rows of this actor.
    pub actor: Option<String>,
    /// Only rows whose action begins with this text.
    pub action: Option<String>,
    /// Only rows with this part in their subject.
    pub subject: Option<String>,
    /// Only rows with this outcome.
    pub outcome: Option<String>,
    /// Only rows with a smaller number, as the last row of the page before has it.
    pub before: Option<i64>,
    /// The maximum number of rows.
    pub limit: u32,
}

/// The result of checking the chain of the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditCheck {
    /// The number of rows whose chain is intact, from the oldest that is kept.
    pub rows: u64,
    /// The number of older rows that were removed because of the limit on kept rows.
    pub let_go: u64,
    /// The rows that record that a chain was begun or was found broken, including the first row of the chain.
    pub marks: Vec<AuditRow>,
    /// The break in the chain, if there is one.
    pub fault: Option<AuditFault>,
}

/// A break in the chain of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFault {
    /// The number of the first row that does not match. `None` if the fault is at the beginning or the end of the log.
    pub seq: Option<i64>,
    /// A description of the fault.
    pub reason: &'static str,
}
