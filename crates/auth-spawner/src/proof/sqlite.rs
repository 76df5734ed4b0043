//! Reads one value from a `SQLite` database that belongs to another program, which may be writing to it.
//!
//! The database is never opened in place. `SQLite` would create and map a shared-memory file next to it, and a program
//! that truncates a mapped file crashes every process reading it. It would also take locks, and open whatever file is
//! at the path by then. Instead, the bytes are read once, up to a limit, the write-ahead log is applied to them, and
//! `SQLite` opens the result in memory, read-only.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OptionalExtension, types::ValueRef};

use super::files::{MAX_BYTES, Trust};
use super::{files, wal};
use crate::registry::SqliteValue;

/// The maximum size of the database and of its log, in bytes.
const MAX_DATABASE: u64 = 64 * 1024 * 1024;
/// The maximum number of attempts to read a database that changes during the read.
const ATTEMPTS: usize = 3;
/// The number of `SQLite` virtual machine steps between budget checks, and the budget as a number of checks.
const STEPS: i32 = 10_000;
const LOOKS: u32 = 200;
/// The position of the two bytes that say how the database is written to. The value one means without a log.
const FORMAT_VERSIONS: std::ops::Range<usize> = 18..20;
/// The first bytes of a rollback journal that has not been rolled back.
const JOURNAL: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// A lock that allows one read at a time. Databases are large, and many logins may read theirs at once; the lock limits
/// their total cost.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Returns the bytes of the value; `Ok(None)` if the database, table or row does not exist.
pub(super) fn read(path: &Path, cell: &SqliteValue, trust: Trust) -> Result<Option<Vec<u8>>, String> {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    match snapshot(path, trust)? {
        // An empty file is an empty database.
        None => Ok(None),
        Some(bytes) if bytes.is_empty() => Ok(None),
        Some(bytes) => look_up(&bytes, cell).map_err(|error| match error {
            Trouble::Named(reason) => reason,
            Trouble::Sqlite(error) => wording(&error),
        }),
    }
}

/// Returns a consistent copy of the database, including transactions that are only in its log.
fn snapshot(path: &Path, trust: Trust) -> Result<Option<Vec<u8>>, String> {
    let (log, journal) = (beside(path, "-wal"), beside(path, "-journal"));
    for _ in 0..ATTEMPTS {
        let before = (stamp(path, trust)?, head(&log, trust)?);
        let Some(mut bytes) = files::read_trusted(path, MAX_DATABASE, trust)? else { return Ok(None) };
        let frames = files::read_trusted(&log, MAX_DATABASE, trust)?.unwrap_or_default();
        let torn = head(&journal, trust)?.starts_with(&JOURNAL);
        // As long as the log has not been replaced, it contains every page that a checkpoint may have been writing.
        if torn || head(&log, trust)? != before.1 || (before.1.is_empty() && stamp(path, trust)? != before.0)
        {
            continue;
        }
        let limit = usize::try_from(MAX_DATABASE).unwrap_or(usize::MAX);
        wal::replay(&mut bytes, &frames, limit)?;
        if let Some(versions) = bytes.get_mut(FORMAT_VERSIONS) {
            versions.fill(1);
        }
        return Ok(Some(bytes));
    }
    Err("another program is writing to it".to_owned())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns the start of a file, which differs for each new log; empty if the file does not exist.
fn head(path: &Path, trust: Trust) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    if let Some(file) = files::open(path, trust)? {
        file.take(wal::HEADER as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    }
    Ok(bytes)
}

/// Returns the size and modification time of a file.
fn stamp(path: &Path, trust: Trust) -> Result<Option<(u64, Option<std::time::SystemTime>)>, String> {
    let Some(file) = files::open(path, trust)? else { return Ok(None) };
    let meta = file.metadata().map_err(|error| error.to_string())?;
    Ok(Some((meta.len(), meta.modified().ok())))
}

enum Trouble {
    Named(String),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn look_up(bytes: &[u8], cell: &SqliteValue) -> Result<Option<Vec<u8>>, Trouble> {
    let mut database = Connection::open_in_memory()?;
    restrain(&database)?;
    database.deserialize_read_exact(rusqlite::MAIN_DB, bytes, bytes.len(), true)?;
    let kind: Option<(String, i64)> = database
        .query_row("SELECT type, rootpage FROM sqlite_schema WHERE name = ?1", [&cell.table], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match kind {
        None => return Ok(None),
        // A virtual table has no root page. Virtual tables and views run code chosen by the file's author.
        Some((kind, page)) if kind != "table" || page <= 0 => {
            return Err(Trouble::Named(format!("{} is not an ordinary table", cell.table)));
        }
        Some(_) => {}
    }
    for column in [&cell.key_column, &cell.value_column] {
        let hidden: Option<i64> = database
            .query_row(
                "SELECT hidden FROM pragma_table_xinfo(?1) WHERE name = ?2",
                [&cell.table, column],
                |row| row.get(0),
            )
            .optional()?;
        // Any other column is computed, which can take any amount of work.
        if hidden != Some(0) {
            return Err(Trouble::Named(format!("{} has no ordinary column {column}", cell.table)));
        }
    }
    let SqliteValue { table, key_column, key, value_column } = cell;
    let query = format!(r#"SELECT "{value_column}" FROM "{table}" WHERE "{key_column}" = ?1 LIMIT 1"#);
    let value = database
        .query_row(&query, [key], |row| {
            Ok(match row.get_ref(0)? {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
                ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
            })
        })
        .optional()?;
    match value {
        None => Ok(None),
        Some(None) => Err(Trouble::Named("its value is not text".to_owned())),
        Some(Some(bytes)) => Ok(Some(bytes)),
    }
}

/// Limits the work that a malicious file can make `SQLite` do.
fn restrain(database: &Connection) -> rusqlite::Result<()> {
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    database.set_limit(Limit::SQLITE_LIMIT_LENGTH, i32::try_from(MAX_BYTES).unwrap_or(i32::MAX))?;
    database.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, 64 * 1024)?;
    database.set_limit(Limit::SQLITE_LIMIT_EXPR_DEPTH, 50)?;
    database.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50)?;
    database.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    database.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    let mut looks = 0;
    database.progress_handler(
        STEPS,
        Some(move || {
            looks += 1;
            looks > LOOKS
        }),
    )?;
    Ok(())
}

/// Returns our own error text, because `SQLite`'s messages could quote the file.
fn wording(error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "not an SQLite database".to_owned(),
        Some(ErrorCode::DatabaseCorrupt) => "the database is damaged".to_owned(),
        Some(ErrorCode::OperationInterrupted) => "the database takes too long to read".to_owned(),
        Some(ErrorCode::TooBig) => "its value is larger than 1 MiB".to_owned(),
        Some(code) => format!("the database cannot be read: {code:?}"),
        None => "the database cannot be read".to_owned(),
    }
}
