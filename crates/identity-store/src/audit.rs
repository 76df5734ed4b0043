//! The audit log's rows, and what checking their chain can find.

use std::fmt;

/// For whom a store works, in words of the audit log. Every call makes one and few write it down, so it is no text yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    name: &'static str,
    number: Option<u64>,
}

impl Actor {
    /// One that there is once.
    pub const fn new(name: &'static str) -> Self {
        Self { name, number: None }
    }

    /// One of several with this name.
    pub const fn numbered(name: &'static str, number: u64) -> Self {
        Self { name, number: Some(number) }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.number.map_or(Ok(()), |number| write!(f, " {number}"))
    }
}

/// One row of the audit log. It holds ids and words, never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When, in unix milliseconds.
    pub at: i64,
    /// Who: whom the store acts for ([`crate::Store::acting_as`]), or `srvd` for the daemon itself.
    pub actor: String,
    /// What, such as `bundle.create`.
    pub action: String,
    /// To what: ids, separated by spaces.
    pub subject: String,
    /// What became of it: `ok`, or the word for a failure.
    pub outcome: String,
    /// More about it.
    pub detail: Option<String>,
}

impl AuditEntry {
    /// The outcome of what was done.
    pub const OK: &'static str = "ok";
}

/// A row of the audit log with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number. Numbers grow, and some are missing.
    pub seq: i64,
    /// What it says.
    pub entry: AuditEntry,
}

/// Which rows of the audit log are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only rows of this time or later, in unix milliseconds.
    pub since: i64,
    /// At most so many; the newest are given.
    pub limit: u32,
}

/// What checking the chain of the audit log found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditCheck {
    /// How many rows hold together, from the first that is kept.
    pub rows: u64,
    /// How many older rows were let go by the limit of what is kept.
    pub let_go: u64,
    /// Rows that say that the chain was begun or was found broken, the first beginning included.
    pub marks: Vec<AuditRow>,
    /// Where the chain breaks, if it does.
    pub fault: Option<AuditFault>,
}

/// Where the chain of the audit log breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFault {
    /// The first row that does not fit; none when it is the beginning or the end of the log.
    pub seq: Option<i64>,
    /// What is wrong.
    pub reason: &'static str,
}
