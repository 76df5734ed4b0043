//! Errors, grouped by what the caller can do about them. No error text holds a secret.

use std::path::PathBuf;
use std::sync::Arc;

use sqlx::error::ErrorKind;

use crate::{AccountId, KeyId, SecretError};

/// The error of the database library, kept as the source of an error of this crate.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error of a store operation. After an error nothing of the request is in the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The requested item does not exist.
    #[error("no {what} {id}")]
    NotFound {
        /// The kind of item: `bundle`, `account`, `binding` or `session`.
        what: &'static str,
        /// The id that was asked for.
        id: String,
    },
    /// The request conflicts with existing data.
    #[error("{what} {id}: {detail}")]
    Conflict {
        /// The kind of item: `bundle`, `bundle name`, `session` or `row`.
        what: &'static str,
        /// The id or name of the item.
        id: String,
        /// A description of the conflict.
        detail: &'static str,
    },
    /// The item cannot be changed: the bundle `blank`.
    #[error("the {what} {id} cannot be changed")]
    Protected {
        /// The kind of item: `bundle`.
        what: &'static str,
        /// The id of the item.
        id: String,
    },
    /// A text from outside is not valid.
    #[error("invalid {field}: {reason}")]
    InvalidName {
        /// The field, such as `name` or `email`.
        field: &'static str,
        /// The reason for the refusal.
        reason: &'static str,
    },
    /// The login belongs to another person than the account.
    #[error("account {account} belongs to {expected}, the login to {found}")]
    IdentityMismatch {
        /// The e-mail address or subject of the account.
        expected: String,
        /// The e-mail address or subject of the login.
        found: String,
        /// The id of the account.
        account: AccountId,
    },
    /// Another writer held the database for too long. The same request may succeed later.
    #[error("the database is busy")]
    Busy(#[source] Source),
    /// A database lock could not be acquired. The same request may succeed later.
    #[error("the database is locked")]
    Locked(#[source] Source),
    /// A row cannot be read. It stays unchanged.
    #[error("{table} {row} is corrupt: {reason}")]
    Corrupt {
        /// The table of the row.
        table: &'static str,
        /// The row's id; empty if the file itself is damaged.
        row: String,
        /// A description of the fault, without the row's content.
        reason: String,
    },
    /// The schema could not be migrated to the newest version.
    #[error("the database could not be migrated")]
    Migration(#[source] Source),
    /// The database is down, full or read-only. The caller may retry later.
    #[error("the database is unavailable")]
    Unavailable(#[source] Source),
    /// The database refused a statement.
    #[error("the database refused a statement")]
    Database(#[source] Source),
    /// A secret could not be sealed or opened.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// An error of opening the store. The database is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The schema was created by a newer build.
    #[error("the database has schema {found}, this build knows {known}")]
    SchemaNewer {
        /// The schema's version.
        found: i64,
        /// The newest version that this build knows.
        known: i64,
    },
    /// The schema was created by an older build, and this call must not change it.
    #[error(
        "the database has schema {found}, this build needs {known}; bring it up to date with: srvd --migrate-only"
    )]
    SchemaOlder {
        /// The schema's version.
        found: i64,
        /// The version that this build needs.
        known: i64,
    },
    /// The database was sealed with another key.
    #[error("wrong key: the database has key {database_key_id}, the given key is {given_key_id}")]
    WrongKey {
        /// The id of the database's key.
        database_key_id: KeyId,
        /// The id of the given key.
        given_key_id: KeyId,
    },
    /// The database cannot be reached, or another process holds it.
    #[error("the database is unavailable")]
    Unavailable(#[source] Source),
    /// The file is not a database of this program, or it is damaged. It is never overwritten.
    #[error("{path} is not a usable database: {reason}", path = path.display())]
    Corrupt {
        /// The path of the file.
        path: PathBuf,
        /// A description of the fault.
        reason: String,
    },
    /// The file or its directory cannot be created.
    #[error("cannot create {path}", path = path.display())]
    CannotCreate {
        /// The path of the file or directory.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The permissions of the file or its directory do not allow its use.
    #[error("no permission for {path}", path = path.display())]
    Permission {
        /// The path of the file or directory.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The database refused a statement, or the schema could not be migrated.
    #[error("the database refused a statement")]
    Database(#[source] Source),
}

impl StoreError {
    pub(crate) fn not_found(what: &'static str, id: &(impl ToString + ?Sized)) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }

    pub(crate) fn conflict(what: &'static str, id: &(impl ToString + ?Sized), detail: &'static str) -> Self {
        Self::Conflict { what, id: id.to_string(), detail }
    }

    pub(crate) fn corrupt(
        table: &'static str,
        row: &(impl ToString + ?Sized),
        reason: &(impl ToString + ?Sized),
    ) -> Self {
        Self::Corrupt { table, row: row.to_string(), reason: reason.to_string() }
    }
}

/// A failure that several callers receive. Each of them receives an error of the same kind and cause.
#[derive(Debug, Clone)]
pub(crate) enum Shared {
    Caused(fn(Source) -> StoreError, Arc<dyn std::error::Error + Send + Sync>),
    Corrupt { table: &'static str, row: String, reason: String },
}

impl Shared {
    pub(crate) fn to_error(&self) -> StoreError {
        match self.clone() {
            Self::Caused(kind, source) => kind(source.into()),
            Self::Corrupt { table, row, reason } => StoreError::Corrupt { table, row, reason },
        }
    }
}

impl From<StoreError> for Shared {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(source) => Self::Caused(StoreError::Busy, source.into()),
            StoreError::Locked(source) => Self::Caused(StoreError::Locked, source.into()),
            StoreError::Unavailable(source) => Self::Caused(StoreError::Unavailable, source.into()),
            StoreError::Database(source) => Self::Caused(StoreError::Database, source.into()),
            StoreError::Corrupt { table, row, reason } => Self::Corrupt { table, row, reason },
            other => Self::Caused(StoreError::Database, Arc::new(other)),
        }
    }
}

/// The meaning of a database failure, independent of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Busy,
    Locked,
    Damaged,
    Unavailable,
    Duplicate,
    Other,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match meaning(&error) {
            Meaning::Busy => Self::Busy(error.into()),
            Meaning::Locked => Self::Locked(error.into()),
            Meaning::Damaged => Self::corrupt("database", "", &error),
            Meaning::Unavailable => Self::Unavailable(error.into()),
            Meaning::Duplicate => Self::conflict("row", "", "it exists already"),
            Meaning::Other => Self::Database(error.into()),
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(source) | StoreError::Locked(source) | StoreError::Unavailable(source) => {
                Self::Unavailable(source)
            }
            StoreError::Corrupt { row, reason, .. } => Self::Corrupt { path: PathBuf::from(row), reason },
            other => Self::Database(other.into()),
        }
    }
}

fn meaning(error: &sqlx::Error) -> Meaning {
    match error {
        sqlx::Error::Database(database) => {
            if database.kind() == ErrorKind::UniqueViolation {
                return Meaning::Duplicate;
            }
            let code = database.code().unwrap_or_default();
            match code.parse::<u32>() {
                // SQLite's codes are small numbers, PostgreSQL's are five characters.
                Ok(number) if code.len() < 5 => sqlite_meaning(number),
                _ => postgres_meaning(&code),
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Meaning::Unavailable,
        _ => Meaning::Other,
    }
}

/// Returns the meaning of a result code. The low byte of an extended code is the primary code
/// (sqlite.org/rescode.html).
fn sqlite_meaning(code: u32) -> Meaning {
    match code & 0xff {
        5 => Meaning::Busy,
        6 => Meaning::Locked,
        11 | 26 => Meaning::Damaged,
        // READONLY, IOERR, FULL, CANTOPEN
        8 | 10 | 13 | 14 => Meaning::Unavailable,
        _ => Meaning::Other,
    }
}

/// Returns the meaning of a code from `PostgreSQL`'s manual, appendix A.
fn postgres_meaning(code: &str) -> Meaning {
    match code {
        // serialization_failure, deadlock_detected, query_canceled (by statement_timeout)
        "40001" | "40P01" | "57014" => Meaning::Busy,
        "55P03" => Meaning::Locked,
        // data_corrupted, index_corrupted
        "XX001" | "XX002" => Meaning::Damaged,
        // shutdowns; read-only transaction; and the classes "connection" and "insufficient resources"
        "57P01" | "57P02" | "57P03" | "57P05" | "25006" => Meaning::Unavailable,
        _ if code.starts_with("08") || code.starts_with("53") => Meaning::Unavailable,
        _ => Meaning::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_error_codes_map_to_meanings() {
        for (code, expected) in [
            (5, Meaning::Busy),
            (517, Meaning::Busy),
            (262, Meaning::Locked),
            (11, Meaning::Damaged),
            (26, Meaning::Damaged),
            (13, Meaning::Unavailable),
            (2570, Meaning::Unavailable),
            (1, Meaning::Other),
        ] {
            assert_eq!(sqlite_meaning(code), expected, "{code}");
        }
        for (code, expected) in [
            ("40P01", Meaning::Busy),
            ("57014", Meaning::Busy),
            ("55P03", Meaning::Locked),
            ("08006", Meaning::Unavailable),
            ("53100", Meaning::Unavailable),
            ("57P01", Meaning::Unavailable),
            ("42P01", Meaning::Other),
        ] {
            assert_eq!(postgres_meaning(code), expected, "{code}");
        }
        assert_eq!(meaning(&sqlx::Error::PoolTimedOut), Meaning::Unavailable);
    }
}
