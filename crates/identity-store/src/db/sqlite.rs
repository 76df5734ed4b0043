//! The connections to a `SQLite` file.

use std::path::Path;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};

use crate::pinned::Pinned;

/// Returns the options that every connection to a `SQLite` file shares.
pub(crate) fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("secure_delete", "ON")
        .pragma("fullfsync", "ON")
        .pragma("cache_size", "-1024")
        .disable_statement_logging()
}

/// Holds the files beside a database, which a writing connection opens with its first read.
pub(super) async fn pin_beside(connection: &mut SqliteConnection, files: &Pinned) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT count(*) FROM sqlite_master").execute(connection).await?;
    files.pin_beside().map_err(sqlx::Error::Io)
}
