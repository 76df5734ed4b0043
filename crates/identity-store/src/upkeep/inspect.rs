//! Read-only inspection of a database: its kind, its key and its contents.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqlitePoolOptions;

use super::rows::{RowCheck, check_in};
use crate::db::{Handle, Held, Pools, Tx, newest_schema, sql, sqlite_options};
use crate::error::{OpenError, StoreError};
use crate::model::account::SecretRef;
use crate::secret::{Key, KeyId, Keyring, SecretError};
use crate::store::check;
use crate::tombstones::DEFAULT_PROVIDER;
use crate::url::{DatabaseKind, DatabaseUrl, Location};

/// The result of an inspection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The newest applied migration; `None` if there is no schema yet.
    pub schema: Option<i64>,
    /// The newest migration that this build knows.
    pub known: i64,
    /// The match between the given key and the database.
    pub key: KeyFit,
    /// The contents of the database, if its schema is the one of this build.
    pub contents: Option<Contents>,
    /// The check of the rows with the given key, if it fits and the schema is the one of this build.
    pub rows: RowCheck,
}

/// The match between a key and a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFit {
    /// No key was given, or the schema is not one that this build can read keys from.
    Unasked,
    /// The key opens all sealed secrets.
    Fits,
    /// The database has another key.
    Wrong {
        /// The id of the database's key.
        database: KeyId,
        /// The id of the given key.
        given: KeyId,
    },
}

/// The contents of a database, as far as directories on this machine belong to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The ids of all bundles, in order.
    pub bundles: Vec<String>,
    /// The names of all bundles, in the order of their ids.
    pub names: Vec<String>,
    /// The ids of bundles that have logins in progress.
    pub expected: Vec<String>,
    /// The providers that any bundle binds, in order.
    pub bound: Vec<String>,
    /// The providers whose own login was adopted, in order, with the user's directory that holds the login.
    pub adopted: Vec<(String, PathBuf)>,
    /// The providers whose own login must not be adopted again, in order.
    pub declined: Vec<String>,
}

/// Inspects a database through a connection that cannot write. Returns `None` if there is no database yet.
///
/// # Errors
/// [`OpenError::Corrupt`] if the database is not one of this program, else as for [`Store::open`](crate::Store::open).
pub async fn inspect(
    url: &DatabaseUrl,
    keyring: Option<&Keyring>,
    patience: Duration,
) -> Result<Option<Inspection>, OpenError> {
    match url.location() {
        Location::Sqlite(path) => inspect_file(path, keyring, patience).await,
        Location::Postgres(options) => {
            let pools = Pools::postgres(options, patience, &any(keyring)?);
            let inspected = async {
                let mut tx = pools.snapshot().await?;
                read(&mut tx, newest_schema(DatabaseKind::Postgres), keyring).await
            };
            let inspected = inspected.await;
            pools.close().await;
            inspected.map(Some)
        }
    }
}

/// Returns the given keys, or ones that fit no row. An inspection uses no row that has to be authentic.
fn any(keyring: Option<&Keyring>) -> Result<Keyring, StoreError> {
    match keyring {
        Some(keyring) => Ok(keyring.clone()),
        None => Ok(Keyring::from_key(Key::generate().map_err(|_| SecretError::Random)?.0)),
    }
}

async fn inspect_file(
    path: &Path,
    keyring: Option<&Keyring>,
    patience: Duration,
) -> Result<Option<Inspection>, OpenError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() == 0 => return Ok(None),
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(corrupt(path, "it is not a file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) if source.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(OpenError::Permission { path: path.to_owned(), source });
        }
        Err(source) => return Err(OpenError::Unavailable(source.into())),
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // Without a log no other process has the file open. Then it can be read without even creating the files beside it.
    let alone = !Path::new(&log).exists();
    let options = sqlite_options(path).busy_timeout(patience).read_only(true).immutable(alone);
    let pool =
        SqlitePoolOptions::new().max_connections(1).acquire_timeout(patience).connect_lazy_with(options);
    let inspected = async {
        // Rows and census must be of one moment.
        let held = Held::Sqlite(Handle::Transaction(pool.begin().await.map_err(StoreError::from)?));
        let mut tx = Tx::new(held, any(keyring)?);
        let (tables,) = sql!(one, (i64,), &mut tx, "SELECT count(*) FROM sqlite_master")?;
        if tables > 0 && check::schema_version(&mut tx).await?.is_none() {
            return Err(corrupt(path, "it is a database of another program"));
        }
        read(&mut tx, newest_schema(DatabaseKind::Sqlite), keyring).await
    };
    let inspected = inspected.await;
    pool.close().await;
    inspected.map(Some).map_err(|error| match error {
        OpenError::Corrupt { reason, source, .. } => {
            OpenError::Corrupt { path: path.to_owned(), reason, source }
        }
        other => other,
    })
}

async fn read(tx: &mut Tx, known: i64, keyring: Option<&Keyring>) -> Result<Inspection, OpenError> {
    let schema = check::schema_version(tx).await?;
    let readable = schema.is_some_and(|schema| (1..=known).contains(&schema));
    let key = match keyring {
        Some(keyring) if readable => match check::verify(tx, known, keyring, None).await {
            Ok(()) => KeyFit::Fits,
            Err(OpenError::WrongKey { database_key_id, given_key_id }) => {
                KeyFit::Wrong { database: database_key_id, given: given_key_id }
            }
            Err(error) => return Err(error),
        },
        _ => KeyFit::Unasked,
    };
    let contents = if schema == Some(known) { Some(contents(tx).await?) } else { None };
    let rows =
        if contents.is_some() && key == KeyFit::Fits { check_in(tx).await? } else { RowCheck::default() };
    Ok(Inspection { schema, known, key, contents, rows })
}

async fn contents(tx: &mut Tx) -> Result<Contents, StoreError> {
    let first = |rows: Vec<(String,)>| rows.into_iter().map(|(text,)| text).collect();
    let bundles = sql!(all, (String,), tx, "SELECT id FROM identity_bundles ORDER BY id")?;
    let names = sql!(all, (String,), tx, "SELECT name FROM identity_bundles ORDER BY id")?;
    let expected = sql!(
        all,
        (String,),
        tx,
        "SELECT target_bundle FROM login_sessions WHERE ended_at IS NULL AND target_bundle IS NOT NULL",
    )?;
    let bound =
        sql!(all, (String,), tx, "SELECT DISTINCT provider FROM identity_bindings ORDER BY provider")?;
    let declined = sql!(
        all,
        (String,),
        tx,
        "SELECT subject FROM tombstones WHERE kind = $1 ORDER BY subject",
        DEFAULT_PROVIDER,
    )?;
    let references =
        sql!(all, (String, String), tx, "SELECT provider, secret_ref FROM accounts ORDER BY provider")?;
    let adopted = references
        .into_iter()
        .filter_map(|(provider, reference)| Some((provider, adopted_directory(&reference)?)));
    Ok(Contents {
        bundles: first(bundles),
        names: first(names),
        expected: first(expected),
        bound: first(bound),
        adopted: adopted.collect(),
        declined: first(declined),
    })
}

/// Returns the directory of an adopted account. An unreadable reference is not that of an adopted account.
fn adopted_directory(reference: &str) -> Option<PathBuf> {
    match reference.parse() {
        Ok(SecretRef::ConfigDir { dir, adopted: true }) => Some(dir),
        _ => None,
    }
}

fn corrupt(path: &Path, reason: &str) -> OpenError {
    OpenError::Corrupt { path: path.to_owned(), reason: reason.to_owned(), source: None }
}
