//! Errors, grouped by what the caller can do about them.
//!
//! No error text holds a secret or a text of the database; those of the database are in the error's source, for the log.

use std::path::PathBuf;
use std::sync::Arc;

use sqlx::error::ErrorKind;
use sqlx::migrate::MigrateError;

use crate::id::AccountId;
use crate::secret::{KeyId, SecretError};
use crate::url::DatabaseKind;

/// The error of the database library, kept as the source of an error of this crate.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error of a store operation. After an error nothing of the request is in the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The requested item does not exist.
    #[error("no {what} {id}")]
    NotFound {
        /// The kind of item, such as `bundle`, `account`, `binding` or `session`.
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
    /// Another writer held the database, or a lock on it, for too long. The same request may succeed later.
    #[error("the database is busy; try again later")]
    Busy(#[source] Source),
    /// The disk or the database's own limit is full. Nothing can be written until there is room.
    #[error("the database has no room left; free some disk space")]
    Full(#[source] Source),
    /// The database is down, cannot be reached, or cannot be written. The same request may succeed later.
    #[error("the database is unavailable")]
    Unavailable(#[source] Source),
    /// The database refused a statement.
    #[error("the database refused a statement")]
    Database(#[source] Source),
    /// The database's file is damaged, or rows refer to rows that do not exist.
    #[error("the database is damaged; restore it from a backup")]
    Damaged(#[source] Source),
    /// A row cannot be read. It stays unchanged.
    #[error("the stored row of {what} {id} is corrupt: {reason}")]
    Corrupt {
        /// The kind of row, in the words of [`StoreError::NotFound`], such as `account` or `session`.
        what: &'static str,
        /// The row's id.
        id: String,
        /// A description of the fault, without the row's content.
        reason: String,
        /// The error of the database library, if it could not decode the row.
        #[source]
        source: Option<Source>,
    },
    /// The schema could not be migrated to the newest version.
    #[error("the database could not be migrated to the schema of this version of srvd")]
    Migration {
        /// The migration that failed, or that does not match the one that ran before, if it is known.
        version: Option<i64>,
        /// The error of the database library.
        #[source]
        source: Source,
    },
    /// The kind of database that is in use cannot do this.
    #[error("a {} database does not support the operation {operation}; {advice}", database.as_str())]
    Unsupported {
        /// The operation, such as `copy`.
        operation: &'static str,
        /// The kind of the database.
        database: DatabaseKind,
        /// The other way to reach the goal, as text for people.
        advice: &'static str,
    },
    /// A secret could not be sealed or opened.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// An error of opening the store. The database is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The schema was created by a newer build.
    #[error(
        "the database has schema {found}, this version of srvd knows schemas up to {known}; use a newer srvd"
    )]
    SchemaNewer {
        /// The schema's version.
        found: i64,
        /// The newest version that this build knows.
        known: i64,
    },
    /// The schema was created by an older build, and this call must not change it.
    #[error(
        "the database has schema {found}, this version of srvd needs {known}; bring it up to date with: srvd --migrate-only"
    )]
    SchemaOlder {
        /// The schema's version.
        found: i64,
        /// The version that this build needs.
        known: i64,
    },
    /// The upgrade that authenticates the rows of the database was interrupted.
    #[error("the upgrade of the database was interrupted; finish it with: srvd --migrate-only")]
    UpgradeUnfinished,
    /// The database is in a state from before its rows were authenticated, although it is known that they were.
    #[error(
        "the database was set back by a program without the encryption key: {reason}; restore it from a backup"
    )]
    Reverted {
        /// The state that was found.
        reason: &'static str,
    },
    /// Another database is in the place of the known one.
    #[error("another database is in its place: it is {found}, the known one is {expected}")]
    OtherDatabase {
        /// The identity of the known database.
        expected: String,
        /// The identity of the database that was found.
        found: String,
    },
    /// The known database does not exist. None is created in its place.
    #[error("the database {expected} is missing; none was created in its place")]
    Missing {
        /// The identity of the known database.
        expected: String,
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
    /// Another process serves the database.
    #[error("another daemon serves the database{}", holder.as_ref().map(|holder| format!(": {holder}")).unwrap_or_default())]
    InUse {
        /// The name that the other process gave itself, if it can be read.
        holder: Option<String>,
    },
    /// The file is not a database of this program, or it is damaged. It is never overwritten.
    #[error("{path} is not a usable database: {reason}", path = path.display())]
    Corrupt {
        /// The path of the file.
        path: PathBuf,
        /// A description of the fault.
        reason: String,
        /// The error of the database library, if it found the fault.
        #[source]
        source: Option<Source>,
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
    /// The schema could not be migrated to the newest version.
    #[error("the database could not be migrated to the schema of this version of srvd")]
    Migration {
        /// The migration that failed, or that does not match the one that ran before, if it is known.
        version: Option<i64>,
        /// The error of the database library.
        #[source]
        source: Source,
    },
    /// The disk or the database's own limit is full.
    #[error("the database has no room left; free some disk space")]
    Full(#[source] Source),
    /// The database refused a statement, or a row that every database has cannot be read.
    #[error("the database refused to be opened")]
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
        what: &'static str,
        id: &(impl ToString + ?Sized),
        reason: &(impl ToString + ?Sized),
    ) -> Self {
        Self::Corrupt { what, id: id.to_string(), reason: reason.to_string(), source: None }
    }

    /// Creates the error for a row that the database library cannot decode.
    pub(crate) fn undecodable(
        what: &'static str,
        id: &(impl ToString + ?Sized),
        error: impl Into<Source>,
    ) -> Self {
        let (id, reason) = (id.to_string(), UNDECODABLE.to_owned());
        Self::Corrupt { what, id, reason, source: Some(error.into()) }
    }

    pub(crate) fn migration(error: MigrateError) -> Self {
        let version = match &error {
            MigrateError::ExecuteMigration(_, version)
            | MigrateError::VersionMissing(version)
            | MigrateError::VersionMismatch(version)
            | MigrateError::VersionNotPresent(version)
            | MigrateError::Dirty(version) => Some(*version),
            _ => None,
        };
        Self::Migration { version, source: error.into() }
    }
}

/// The reason for a row that the database library cannot decode.
pub(crate) const UNDECODABLE: &str = "a column does not have the expected type";

/// A failure that several callers receive. Each of them receives an error of the same kind and cause.
#[derive(Debug, Clone)]
pub(crate) struct CommonError {
    kind: fn(Source) -> StoreError,
    cause: Arc<dyn std::error::Error + Send + Sync>,
}

impl CommonError {
    pub(crate) fn to_error(&self) -> StoreError {
        (self.kind)(Arc::clone(&self.cause).into())
    }
}

impl From<StoreError> for CommonError {
    fn from(error: StoreError) -> Self {
        let (kind, cause): (fn(Source) -> StoreError, Source) = match error {
            StoreError::Busy(source) => (StoreError::Busy, source),
            StoreError::Full(source) => (StoreError::Full, source),
            StoreError::Unavailable(source) => (StoreError::Unavailable, source),
            StoreError::Damaged(source) => (StoreError::Damaged, source),
            StoreError::Database(source) => (StoreError::Database, source),
            other => (StoreError::Database, other.into()),
        };
        Self { kind, cause: cause.into() }
    }
}

/// The meaning of a database failure, independent of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Busy,
    Full,
    Damaged,
    Unavailable,
    Undecodable,
    Duplicate,
    Other,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match meaning(&error) {
            Meaning::Busy => Self::Busy(error.into()),
            Meaning::Full => Self::Full(error.into()),
            Meaning::Damaged => Self::Damaged(error.into()),
            Meaning::Undecodable => Self::undecodable("row", "", error),
            Meaning::Unavailable => Self::Unavailable(error.into()),
            Meaning::Duplicate => Self::conflict("row", "", "it exists already"),
            Meaning::Other => Self::Database(error.into()),
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(source) | StoreError::Unavailable(source) => Self::Unavailable(source),
            StoreError::Full(source) => Self::Full(source),
            StoreError::Damaged(source) => Self::Corrupt {
                path: PathBuf::new(),
                reason: "it is damaged".to_owned(),
                source: Some(source),
            },
            StoreError::Migration { version, source } => Self::Migration { version, source },
            StoreError::Database(source) => Self::Database(source),
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
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Meaning::Undecodable,
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
        // BUSY, LOCKED
        5 | 6 => Meaning::Busy,
        // CORRUPT, NOTADB
        11 | 26 => Meaning::Damaged,
        13 => Meaning::Full,
        // READONLY, IOERR, CANTOPEN
        8 | 10 | 14 => Meaning::Unavailable,
        _ => Meaning::Other,
    }
}

/// Returns the meaning of a code from `PostgreSQL`'s manual, appendix A.
fn postgres_meaning(code: &str) -> Meaning {
    match code {
        // serialization_failure, deadlock_detected, query_canceled (by statement_timeout), lock_not_available
        "40001" | "40P01" | "57014" | "55P03" => Meaning::Busy,
        // disk_full
        "53100" => Meaning::Full,
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
            (262, Meaning::Busy),
            (11, Meaning::Damaged),
            (26, Meaning::Damaged),
            (13, Meaning::Full),
            (2570, Meaning::Unavailable),
            (1, Meaning::Other),
        ] {
            assert_eq!(sqlite_meaning(code), expected, "{code}");
        }
        for (code, expected) in [
            ("40P01", Meaning::Busy),
            ("57014", Meaning::Busy),
            ("55P03", Meaning::Busy),
            ("08006", Meaning::Unavailable),
            ("53100", Meaning::Full),
            ("53300", Meaning::Unavailable),
            ("57P01", Meaning::Unavailable),
            ("42P01", Meaning::Other),
        ] {
            assert_eq!(postgres_meaning(code), expected, "{code}");
        }
        assert_eq!(meaning(&sqlx::Error::PoolTimedOut), Meaning::Unavailable);
    }
}
