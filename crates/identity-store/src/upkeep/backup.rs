//! Copies of a `SQLite` database: making one beside a running daemon, and checking one before it is used.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqlitePoolOptions;

use crate::db::{sql, sqlite_options};
use crate::error::StoreError;
use crate::store::Store;
use crate::url::DatabaseKind;

impl Store {
    /// Copies the database, as it is at one moment, into a file that is empty or missing. Writers are not blocked.
    /// Sealed secrets stay sealed. For `PostgreSQL` there is the server's own `pg_dump`.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] for `PostgreSQL`; [`StoreError::InvalidName`] if the path is not valid;
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn copy_into(&self, path: &Path) -> Result<(), StoreError> {
        let path = path
            .to_str()
            .ok_or(StoreError::InvalidName { field: "path", reason: "it is not valid Unicode" })?;
        self.pools().copy_into(path).await
    }

    /// Checks every page and every row of a `SQLite` file. For `PostgreSQL`, which does that on its own, nothing is
    /// done.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the file has a fault; [`StoreError::Busy`], [`StoreError::Unavailable`] or another
    /// error of the database.
    pub async fn check_integrity(&self) -> Result<(), StoreError> {
        let mut tx = self.read().await?;
        if tx.kind() == DatabaseKind::Postgres {
            return Ok(());
        }
        let found = sql!(all, (String,), &mut tx, "PRAGMA integrity_check(1)")?;
        if let Some((problem,)) = found.into_iter().find(|(problem,)| problem != "ok") {
            return Err(StoreError::Damaged(problem.into()));
        }
        let (orphans,) = sql!(one, (i64,), &mut tx, "SELECT count(*) FROM pragma_foreign_key_check")?;
        if orphans > 0 {
            return Err(StoreError::Damaged(
                format!("{orphans} rows refer to rows that do not exist").into(),
            ));
        }
        Ok(())
    }
}

/// The largest file whose pages are checked before a daemon serves it, in bytes.
pub const SMALL_FILE: u64 = 16 * 1024 * 1024;

impl Store {
    /// Checks the structure of every page of a `SQLite` file, without the order of the indexes. It takes about a second for
    /// a hundred megabytes. For `PostgreSQL`, which has checksums of its own, nothing is done.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the file has a fault; [`StoreError::Busy`], [`StoreError::Unavailable`] or another
    /// error of the database.
    pub async fn check_pages(&self) -> Result<(), StoreError> {
        let mut tx = self.read().await?;
        if tx.kind() == DatabaseKind::Postgres {
            return Ok(());
        }
        let found = sql!(all, (String,), &mut tx, "PRAGMA quick_check(1)")?;
        match found.into_iter().find(|(problem,)| problem != "ok") {
            Some((problem,)) => Err(StoreError::Damaged(problem.into())),
            None => Ok(()),
        }
    }
}

/// Copies a `SQLite` file of any schema, as it is at one moment, into a file that is empty.
///
/// # Errors
/// [`StoreError::InvalidName`] if the path is not valid; [`StoreError::Busy`], [`StoreError::Full`] or another error of
/// the database.
pub async fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let to =
        to.to_str().ok_or(StoreError::InvalidName { field: "path", reason: "it is not valid Unicode" })?;
    let options = sqlite_options(from).busy_timeout(Duration::from_secs(5));
    let pool = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
    let copied = sqlx::query("VACUUM INTO $1").bind(to).execute(&pool).await;
    pool.close().await;
    copied.map(|_| ()).map_err(StoreError::from)
}

/// Merges the write-ahead log of an unused `SQLite` file into the file, for any schema and any keys.
///
/// # Errors
/// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
pub async fn fold_log(path: &Path) -> Result<(), StoreError> {
    let options = sqlite_options(path).busy_timeout(Duration::from_secs(1));
    let pool = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
    let folded = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await;
    pool.close().await;
    folded.map(|_| ()).map_err(StoreError::from)
}
