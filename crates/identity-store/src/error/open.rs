//! Errors of opening the store.

use std::path::PathBuf;

use super::{Source, StoreError};
use crate::secret::KeyId;

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
    /// The database has objects that no migration made, which may act with the rights of srvd.
    #[error("the database has objects that srvd did not make: {}; remove them, or restore the database from a backup", objects.join(", "))]
    ForeignObjects {
        /// The kind and the name of each.
        objects: Vec<String>,
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
