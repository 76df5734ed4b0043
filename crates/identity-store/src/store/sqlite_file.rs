//! Opening of a `SQLite` file. It restricts the file's permissions, checks that the file is one of this program, and
//! lets only one process create it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqlitePoolOptions;

use super::check::Prepared;
use super::{StoreOptions, check};
use crate::db::{Handle, Held, Pools, Tx, sql, sqlite_options};
use crate::error::{OpenError, StoreError};
use crate::secret::Keyring;

/// The interval between attempts to take a lock that another process holds.
const LOCK_EVERY: Duration = Duration::from_millis(10);

/// Opens or creates the file. The mode of the file is 0600; a missing directory is created with 0700.
pub(crate) async fn open(
    path: &Path,
    options: &StoreOptions,
    keyring: &Keyring,
) -> Result<(Pools, Prepared), OpenError> {
    check_known(path, options)?;
    make_directory(path)?;
    // SQLite cannot wait while a file is switched to write-ahead logging, so one process at a time opens it.
    let lock = lock(path, options.busy_timeout).await?;
    let pools = Pools::sqlite(path, options.busy_timeout, keyring);
    let opened = async {
        if is_new(path)? {
            make_file(path)?;
        } else {
            look(path, options, keyring, pools.newest_schema()).await?;
            tighten(path)?;
        }
        let prepared = check::prepare(&pools, keyring, options.now).await?;
        pools.pin(path).await?;
        Ok(prepared)
    };
    let result = opened.await.map_err(|error| with_path(error, path));
    drop(lock);
    if result.is_err() {
        pools.close().await;
    }
    result.map(|prepared| (pools, prepared))
}

/// Returns the pools of a file that must exist and be one of this program.
pub(crate) async fn attach(
    path: &Path,
    options: &StoreOptions,
    keyring: &Keyring,
) -> Result<Pools, OpenError> {
    if is_new(path)? {
        return Err(file_error(path, ErrorKind::NotFound.into()));
    }
    let pools = Pools::sqlite(path, options.busy_timeout, keyring);
    let looked = async {
        look(path, options, keyring, pools.newest_schema()).await?;
        pools.pin(path).await?;
        Ok(())
    };
    let looked: Result<(), OpenError> = looked.await;
    looked.map(|()| pools).map_err(|error| with_path(error, path))
}

/// Checks an existing file through a connection that cannot write.
async fn look(path: &Path, options: &StoreOptions, keyring: &Keyring, known: i64) -> Result<(), OpenError> {
    let busy_timeout = options.busy_timeout;
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(busy_timeout * 2)
        .connect_lazy_with(sqlite_options(path).busy_timeout(busy_timeout).read_only(true));
    let looked = async {
        let connection = pool.acquire().await.map_err(StoreError::from)?;
        let mut tx = Tx::new(Held::Sqlite(Handle::Reader(connection)), keyring.clone());
        let (tables,) = sql!(one, (i64,), &mut tx, "SELECT count(*) FROM sqlite_master")?;
        if tables > 0 && check::schema_version(&mut tx).await?.is_none() {
            return Err(corrupt(path, "it is a database of another program"));
        }
        check::verify(&mut tx, known, keyring, options.known.as_ref()).await
    };
    let result = looked.await;
    pool.close().await;
    result
}

/// Refuses a file that is missing although the caller knows its database.
pub(super) fn check_known(path: &Path, options: &StoreOptions) -> Result<(), OpenError> {
    match &options.known {
        Some(known) if is_new(path)? => Err(OpenError::Missing { expected: known.id.clone() }),
        _ => Ok(()),
    }
}

pub(super) fn make_directory(path: &Path) -> Result<(), OpenError> {
    let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    if directory.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|source| file_error(directory, source))
}

/// Returns whether there is no file yet, or one that was created but never written.
fn is_new(path: &Path) -> Result<bool, OpenError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len() == 0),
        Ok(_) => Err(corrupt(path, "it is not a file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(source) => Err(file_error(path, source)),
    }
}

/// Creates an empty file that only its owner may read. `SQLite` gives the files beside it the same mode.
///
/// An existing file is never opened here, because closing it would drop the locks that `SQLite` holds on it.
fn make_file(path: &Path) -> Result<(), OpenError> {
    match private().create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => tighten(path),
        Err(source) => Err(file_error(path, source)),
    }
}

/// Removes the permissions of group and others, in case an earlier program left the file accessible.
#[cfg(unix)]
fn tighten(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = std::fs::metadata(path).map_err(|source| file_error(path, source))?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the database was readable by others; its mode is now 0600");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .map_err(|source| file_error(path, source))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn tighten(_path: &Path) -> Result<(), OpenError> {
    Ok(())
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Takes the lock file beside the database, within `patience`. The lock is released when the returned handle is
/// dropped.
async fn lock(path: &Path, patience: Duration) -> Result<File, OpenError> {
    let path = lock_path(path);
    let file = private().create(true).truncate(false).open(&path).map_err(|e| file_error(&path, e))?;
    let mut tick = tokio::time::interval(LOCK_EVERY);
    let wait = async {
        loop {
            tick.tick().await;
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(file_error(&path, source)),
            }
        }
    };
    tokio::time::timeout(patience, wait)
        .await
        .map_err(|elapsed| OpenError::Unavailable(elapsed.into()))??;
    Ok(file)
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    name.into()
}

pub(super) fn file_error(path: &Path, source: std::io::Error) -> OpenError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::PermissionDenied => OpenError::Permission { path, source },
        _ => OpenError::CannotCreate { path, source },
    }
}

fn corrupt(path: &Path, reason: &str) -> OpenError {
    OpenError::Corrupt { path: path.to_owned(), reason: reason.to_owned(), source: None }
}

/// Adds the path to an error, because the database does not know the file's name.
fn with_path(error: OpenError, path: &Path) -> OpenError {
    match error {
        OpenError::Corrupt { reason, source, .. } => {
            OpenError::Corrupt { path: path.to_owned(), reason, source }
        }
        other => other,
    }
}
