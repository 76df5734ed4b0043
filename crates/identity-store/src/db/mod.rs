//! One interface to the two databases: the settings of their connections, and the macros that run one SQL text on both.

mod change;
mod migrations;
mod row;
mod rows;
mod sqlite;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Database, Postgres, Sqlite, Transaction};

pub(crate) use change::{Before, RowChange};
pub use migrations::newest_schema;
pub(crate) use migrations::{migration_texts, migrations_until};
pub(crate) use row::{column, row};
pub(crate) use rows::{Undecoded, decode, readable};
pub(crate) use sqlite::sqlite_options;

use migrations::migrations;
use sqlite::pin_beside;

use crate::error::StoreError;
use crate::pinned::Pinned;
use crate::secret::Keyring;
use crate::url::DatabaseKind;

/// The number of readers of a `SQLite` file. Each has a thread and a page cache; idle ones are closed.
const SQLITE_READERS: u32 = 4;

/// The number of connections to `PostgreSQL`. One of them writes at a time.
const POSTGRES_CONNECTIONS: u32 = 8;

/// The time that an unused connection is kept.
const IDLE: Duration = Duration::from_mins(1);

/// The idle time after which a `PostgreSQL` connection is tested before it is used.
const PING_AFTER: Duration = Duration::from_secs(5);

/// Runs one SQL text on the database that a [`Tx`] belongs to.
///
/// `all`, `optional` and `one` decode rows as the given type. `run` returns the number of changed rows. `each` decodes
/// row by row, so that a row which cannot be decoded does not hide the others.
macro_rules! sql {
    (run, $tx:expr, $text:expr $(, $value:expr)* $(,)?) => {
        match &mut $crate::db::sql!(@of $tx).held {
            $crate::db::Held::Sqlite(held) => sqlx::query::<sqlx::Sqlite>($text)$(.bind($value))*
                .execute(held.connection()).await.map(|done| done.rows_affected()),
            $crate::db::Held::Postgres(held) => sqlx::query::<sqlx::Postgres>($text)$(.bind($value))*
                .execute(held.connection()).await.map(|done| done.rows_affected()),
        }.map_err($crate::StoreError::from)
    };
    (each, $row:ty, $tx:expr, $text:expr $(, $value:expr)* $(,)?) => {
        match &mut $crate::db::sql!(@of $tx).held {
            $crate::db::Held::Sqlite(held) => sqlx::query::<sqlx::Sqlite>($text)$(.bind($value))*
                .fetch_all(held.connection()).await
                .map(|rows| rows.iter().map($crate::db::decode::<_, $row>).collect::<Vec<_>>()),
            $crate::db::Held::Postgres(held) => sqlx::query::<sqlx::Postgres>($text)$(.bind($value))*
                .fetch_all(held.connection()).await
                .map(|rows| rows.iter().map($crate::db::decode::<_, $row>).collect::<Vec<_>>()),
        }.map_err($crate::StoreError::from)
    };
    (all, $row:ty, $tx:expr, $text:expr $(, $value:expr)* $(,)?) => {
        $crate::db::sql!(@fetch fetch_all, $row, $tx, $text $(, $value)*)
    };
    (optional, $row:ty, $tx:expr, $text:expr $(, $value:expr)* $(,)?) => {
        $crate::db::sql!(@fetch fetch_optional, $row, $tx, $text $(, $value)*)
    };
    (one, $row:ty, $tx:expr, $text:expr $(, $value:expr)* $(,)?) => {
        $crate::db::sql!(@fetch fetch_one, $row, $tx, $text $(, $value)*)
    };
    (@of $tx:expr) => {{
        // The transaction of a use case is behind a `DerefMut`.
        let tx: &mut $crate::db::Tx = $tx;
        tx
    }};
    (@fetch $fetch:ident, $row:ty, $tx:expr, $text:expr $(, $value:expr)*) => {
        match &mut $crate::db::sql!(@of $tx).held {
            $crate::db::Held::Sqlite(held) => sqlx::query_as::<sqlx::Sqlite, $row>($text)$(.bind($value))*
                .$fetch(held.connection()).await,
            $crate::db::Held::Postgres(held) => sqlx::query_as::<sqlx::Postgres, $row>($text)$(.bind($value))*
                .$fetch(held.connection()).await,
        }.map_err($crate::StoreError::from)
    };
}
pub(crate) use sql;

/// The connection pools of one database, and the keys that authenticate its rows.
#[derive(Debug, Clone)]
pub(crate) struct Pools {
    backend: Backend,
    keyring: Keyring,
    /// The files of a `SQLite` database, once it is open.
    pinned: Arc<OnceLock<Pinned>>,
}

#[derive(Debug, Clone)]
enum Backend {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres(PgPool),
}

/// One connection, inside a transaction or not, and the keys that authenticate the rows of its database.
pub(crate) struct Tx {
    pub(crate) held: Held,
    pub(crate) keyring: Keyring,
    /// The rows that this transaction adds and removes, until the census of the rows is brought up to date with them.
    pub(crate) changes: Vec<RowChange>,
}

/// The connection of a [`Tx`].
pub(crate) enum Held {
    Sqlite(Handle<Sqlite>),
    Postgres(Handle<Postgres>),
}

/// The holder of a connection: a transaction, which is rolled back unless it is committed, or a borrowed reader.
pub(crate) enum Handle<D: Database> {
    Transaction(Transaction<'static, D>),
    Reader(PoolConnection<D>),
}

impl<D: Database> Handle<D> {
    /// Returns the connection to run a statement on.
    pub(crate) fn connection(&mut self) -> &mut D::Connection {
        match self {
            Self::Transaction(transaction) => transaction,
            Self::Reader(connection) => connection,
        }
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Transaction(transaction) => transaction.commit().await,
            Self::Reader(_) => Ok(()),
        }
    }

    async fn undo(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Transaction(transaction) => transaction.rollback().await,
            Self::Reader(_) => Ok(()),
        }
    }
}

impl Tx {
    /// Returns a connection without changes.
    pub(crate) fn new(held: Held, keyring: Keyring) -> Self {
        Self { held, keyring, changes: Vec::new() }
    }

    /// Returns the kind of the database.
    pub(crate) fn kind(&self) -> DatabaseKind {
        match self.held {
            Held::Sqlite(_) => DatabaseKind::Sqlite,
            Held::Postgres(_) => DatabaseKind::Postgres,
        }
    }

    /// Migrates the schema to the newest version, within a transaction for writing.
    pub(crate) async fn migrate(&mut self) -> Result<(), StoreError> {
        match &mut self.held {
            Held::Sqlite(held) => {
                migrations(DatabaseKind::Sqlite).run_direct(None, held.connection(), false).await
            }
            Held::Postgres(held) => {
                migrations(DatabaseKind::Postgres).run_direct(None, held.connection(), false).await
            }
        }
        .map_err(StoreError::migration)
    }

    /// Runs statements that take no values, in one round trip.
    pub(crate) async fn batch(&mut self, text: &'static str) -> Result<(), StoreError> {
        match &mut self.held {
            Held::Sqlite(held) => sqlx::raw_sql(text).execute(held.connection()).await.map(drop),
            Held::Postgres(held) => sqlx::raw_sql(text).execute(held.connection()).await.map(drop),
        }
        .map_err(StoreError::from)
    }

    /// Rolls back a transaction that may have failed. Its connection can be used again afterwards.
    pub(crate) async fn abandon(mut self) {
        // SQLite ends the transaction automatically when the disk is full. The library does not notice, and would
        // refuse every later transaction on this connection. So a transaction is begun here, to be rolled back. Usually
        // the old one is still open, and this statement is refused.
        if let Held::Sqlite(_) = self.held {
            let _ = self.batch("BEGIN").await;
        }
        let undone = match self.held {
            Held::Sqlite(held) => held.undo().await,
            Held::Postgres(held) => held.undo().await,
        };
        if let Err(error) = undone {
            tracing::debug!(%error, "the database had already ended a transaction");
        }
    }

    /// Commits a transaction. A reader is returned to its pool.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        debug_assert!(self.changes.is_empty(), "the census lacks {:?}", self.changes);
        match self.held {
            Held::Sqlite(held) => held.commit().await,
            Held::Postgres(held) => held.commit().await,
        }
        .map_err(StoreError::of_commit)
    }
}

impl Pools {
    fn tx(&self, held: Held) -> Tx {
        Tx::new(held, self.keyring.clone())
    }

    /// Creates the pools of a `SQLite` file. Nothing is opened yet.
    pub(crate) fn sqlite(path: &Path, busy: Duration, keyring: &Keyring) -> Self {
        let options = sqlite_options(path).busy_timeout(busy);
        let pinned: Arc<OnceLock<Pinned>> = Arc::default();
        let files = Arc::clone(&pinned);
        let writer = SqlitePoolOptions::new()
            .after_connect(move |connection, _| {
                let files = Arc::clone(&files);
                Box::pin(async move {
                    let Some(files) = files.get() else { return Ok(()) };
                    pin_beside(connection, files).await
                })
            })
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .acquire_timeout(busy * 2)
            .connect_lazy_with(options.clone().journal_mode(SqliteJournalMode::Wal));
        let readers = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            .idle_timeout(IDLE)
            .max_lifetime(None)
            .test_before_acquire(false)
            .acquire_timeout(busy * 2)
            .connect_lazy_with(options.pragma("query_only", "ON"));
        Self { backend: Backend::Sqlite { writer, readers }, keyring: keyring.clone(), pinned }
    }

    /// Creates the pool of a `PostgreSQL` database. Nothing is connected yet.
    pub(crate) fn postgres(options: &PgConnectOptions, busy: Duration, keyring: &Keyring) -> Self {
        let millis = busy.as_millis().to_string();
        let options = options
            .clone()
            .application_name("srvd")
            .options([
                ("lock_timeout", millis.clone()),
                ("statement_timeout", (busy * 3).as_millis().to_string()),
                ("idle_in_transaction_session_timeout", (busy * 6).as_millis().to_string()),
            ])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .idle_timeout(IDLE * 5)
            .acquire_timeout(busy)
            .test_before_acquire(false)
            // A busy connection needs no ping. An idle one does, because a restart of the server may have closed it.
            .before_acquire(|connection, meta| {
                Box::pin(async move { Ok(meta.idle_for < PING_AFTER || connection.ping().await.is_ok()) })
            })
            .connect_lazy_with(options);
        Self { backend: Backend::Postgres(pool), keyring: keyring.clone(), pinned: Arc::default() }
    }

    /// Acquires a connection for reading.
    pub(crate) async fn read(&self) -> Result<Tx, StoreError> {
        Ok(self.tx(match &self.backend {
            Backend::Sqlite { readers, .. } => Held::Sqlite(Handle::Reader(readers.acquire().await?)),
            Backend::Postgres(pool) => Held::Postgres(Handle::Reader(pool.acquire().await?)),
        }))
    }

    /// Begins a transaction that sees one state of the database throughout.
    pub(crate) async fn snapshot(&self) -> Result<Tx, StoreError> {
        Ok(self.tx(match &self.backend {
            Backend::Sqlite { readers, .. } => Held::Sqlite(Handle::Transaction(readers.begin().await?)),
            Backend::Postgres(pool) => Held::Postgres(Handle::Transaction(
                pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?,
            )),
        }))
    }

    /// Begins a transaction for writing, the only one of the whole database until it ends.
    ///
    /// `SQLite` allows one writer only. `PostgreSQL` is used in the same way: identities change a few times an hour,
    /// and with one writer every read-then-write is correct without retries.
    pub(crate) async fn write(&self) -> Result<Tx, StoreError> {
        Ok(self.tx(match &self.backend {
            Backend::Sqlite { writer, .. } => {
                Held::Sqlite(Handle::Transaction(writer.begin_with("BEGIN IMMEDIATE").await?))
            }
            Backend::Postgres(pool) => Held::Postgres(Handle::Transaction(
                pool.begin_with("BEGIN; SELECT pg_advisory_xact_lock(8390891584389866)").await?,
            )),
        }))
    }

    /// Holds the files of a `SQLite` database, which exist from now on. Later commits compare them with their paths.
    pub(crate) async fn pin(&self, path: &Path) -> Result<(), StoreError> {
        let Backend::Sqlite { writer, .. } = &self.backend else { return Ok(()) };
        let pinned = Pinned::new(path).map_err(|error| StoreError::Unavailable(error.into()))?;
        let mut connection = writer.acquire().await?;
        pin_beside(&mut connection, &pinned).await?;
        // Only one caller opens the pools.
        let _ = self.pinned.set(pinned);
        Ok(())
    }

    /// Commits a transaction for writing, unless a file of the database was deleted or replaced.
    pub(crate) async fn commit(&self, tx: Tx) -> Result<(), StoreError> {
        if let Some(files) = self.pinned.get()
            && let Err(error) = files.check()
        {
            tx.abandon().await;
            return Err(error);
        }
        let done = tx.commit().await;
        if done.is_err()
            && let Backend::Sqlite { writer, .. } = &self.backend
            && let Ok(connection) = writer.acquire().await
        {
            // As in `Tx::abandon`, but here the library owns the transaction. A fresh connection has none.
            let _ = connection.close().await;
        }
        done
    }

    /// Copies a `SQLite` database, as it is at one moment, into a file that is empty or missing.
    pub(crate) async fn copy_into(&self, path: &str) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite { writer, .. } => {
                sqlx::query("VACUUM INTO $1").bind(path).execute(writer).await?;
                Ok(())
            }
            Backend::Postgres(_) => Err(StoreError::Unsupported {
                operation: "copy",
                database: DatabaseKind::Postgres,
                advice: "use the server's own tools, such as pg_dump",
            }),
        }
    }

    /// Removes overwritten data from the files of a `SQLite` database, with its log. A server does that on its own.
    pub(crate) async fn compact(&self) -> Result<(), StoreError> {
        if let Backend::Sqlite { writer, .. } = &self.backend {
            sqlx::query("VACUUM").execute(writer).await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(writer).await?;
        }
        Ok(())
    }

    /// Returns the newest schema version that this build knows.
    pub(crate) fn newest_schema(&self) -> i64 {
        newest_schema(match &self.backend {
            Backend::Sqlite { .. } => DatabaseKind::Sqlite,
            Backend::Postgres(_) => DatabaseKind::Postgres,
        })
    }

    /// Closes every connection.
    pub(crate) async fn close(&self) {
        match &self.backend {
            // The writer is closed last, so that it merges the write-ahead log into the file.
            Backend::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Backend::Postgres(pool) => pool.close().await,
        }
    }
}

/// Begins a transaction on a task of its own, which ends with the timeouts of the pool and of the statement.
///
/// The database library forgets a transaction if its caller is dropped after `BEGIN` was sent. The connection would
/// return to the pool inside that transaction, with its locks. Here the `BEGIN` is completed, and an unwanted
/// transaction is rolled back like any other.
pub(crate) async fn uncancelled<T: Send + 'static>(
    begin: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(begin).await.map_err(|error| StoreError::Unavailable(error.into()))?
}
