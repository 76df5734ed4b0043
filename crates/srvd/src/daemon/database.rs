//! The opening of the database: the checks against the data directory's record, the backup before an upgrade, and the
//! checkup afterwards.

use std::path::{Path, PathBuf};
use std::time::Duration;

use identity_store::maintenance::{AUTHENTICATED_SINCE, SMALL_FILE, copy_file, dump};
use identity_store::{
    Announce, Claimant, DatabaseKind, Inspection, Keyring, OpenError, Store, StoreError, StoreOptions,
};
use tokio_util::sync::CancellationToken;

use super::moved::MovedHome;
use super::{BootError, DatabaseRecord};
use crate::base::clock::now;
use crate::base::{private, process};
use crate::config::Config;
use crate::wire::error::with_causes;

/// The longest time for an inspection of the database before it is opened.
const PATIENCE: Duration = Duration::from_secs(10);
/// The number of corrupt rows that the log names one by one.
const NAMED: usize = 20;

/// The behaviour of an opening if there is no database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// It creates one, unless the data directory shows that there was one.
    Create,
    /// It refuses.
    Refuse,
}

/// Opens the database, migrates its schema, and keeps the record of it.
pub(super) async fn open(
    config: &Config,
    keyring: Keyring,
    announce: Announce,
    absence: Absence,
) -> Result<Store, BootError> {
    let record = DatabaseRecord::read(&config.data_dir)?;
    let place = config.database.to_string();
    let known = record.as_ref().filter(|record| record.database == place);
    let newest = identity_store::maintenance::newest_schema(config.database.kind());
    // A database that was opened with this schema before needs no further look.
    if known.is_none_or(|record| record.schema != newest) {
        match inspect(config).await? {
            Some(Inspection { schema: Some(schema), .. }) if (1..AUTHENTICATED_SINCE).contains(&schema) => {
                back_up(config, schema).await?;
            }
            Some(Inspection { schema: Some(_), .. }) => {}
            _ if known.is_some() => {}
            _ => may_create(config, record.as_ref(), absence)?,
        }
    }
    if let Some(other) = record.as_ref().filter(|record| record.database != place) {
        tracing::warn!(
            before = other.database,
            now = place,
            "the data directory used another database before"
        );
    }
    let mut options = StoreOptions::new(config.database.clone(), announce, now()).rooted(config.roots());
    options.known = known.map(|record| record.known(&keyring));
    options.claimant = Some(Claimant { name: process::name(), may_be_gone: process::may_be_gone });
    let opened = Store::open(options, keyring.clone()).await;
    let store = opened.map_err(|error| at_its_place(config, error))?;
    let prepared = async {
        check_pages(config, &store).await?;
        anchor(config, &store).await
    };
    if let Err(error) = prepared.await {
        store.close().await;
        return Err(error.into());
    }
    DatabaseRecord::keep(&config.data_dir, place, store.database(), newest, &keyring)?;
    Ok(store)
}

/// Stores absolute references to directories relative to the data directory or the home, as those of an earlier version.
async fn anchor(config: &Config, store: &Store) -> Result<(), StoreError> {
    let moved = MovedHome::new(config);
    let changed = store.anchor_directories(&|provider, dir| moved.now(provider, dir), now()).await?;
    if changed > 0 {
        tracing::info!(
            changed,
            "references to directories were stored relative to the data directory or the home"
        );
    }
    Ok(())
}

/// Inspects the database without the keys: a wrong key is refused by the opening itself, with an error of its own.
async fn inspect(config: &Config) -> Result<Option<Inspection>, BootError> {
    let inspected = identity_store::inspect(&config.database, None, PATIENCE).await;
    inspected.map_err(|error| at_its_place(config, error))
}

/// Names the host and the database of `PostgreSQL`, and a file that another process serves. Other errors of a file name it
/// themselves.
fn at_its_place(config: &Config, error: OpenError) -> BootError {
    match (config.database.kind(), &error) {
        (DatabaseKind::Postgres, _) | (_, OpenError::InUse { .. } | OpenError::Full(_)) => {
            BootError::Database { place: config.database.to_string(), source: error }
        }
        (DatabaseKind::Sqlite, _) => BootError::Open(error),
    }
}

/// Refuses to begin with an empty database where there was another one, or where there are logins.
fn may_create(config: &Config, record: Option<&DatabaseRecord>, absence: Absence) -> Result<(), BootError> {
    let place = config.database.to_string();
    if let Some(record) = record {
        let path = DatabaseRecord::path(&config.data_dir);
        return Err(BootError::OtherDatabase { place, recorded: record.database.clone(), path });
    }
    if absence == Absence::Refuse {
        return Err(BootError::NoDatabase { place });
    }
    let identities = config.identities();
    let some = std::fs::read_dir(&identities).is_ok_and(|mut entries| entries.next().is_some());
    if some { Err(BootError::IdentitiesWithoutDatabase { place, identities }) } else { Ok(()) }
}

/// Copies a database before its schema is migrated to the first one with authenticated rows: a `SQLite` file beside itself,
/// and a `PostgreSQL` database as a script for `psql` into the data directory.
async fn back_up(config: &Config, schema: i64) -> Result<(), BootError> {
    let beside = config.database.path();
    let in_data = config.data_dir.join("postgres");
    let kind = if beside.is_some() { "" } else { ".sql" };
    let suffix = format!(".before-upgrade-of-schema-{schema}-{}{kind}", now());
    let target = with_suffix(beside.unwrap_or(&in_data), &suffix);
    let part = with_suffix(&target, ".part");
    let file = private::new_file(&part, 0o600).map_err(BootError::cannot_create)?;
    let copied = async {
        match beside {
            // The library opens the file itself.
            Some(database) => copy_file(database, &part).await?,
            None => dump(&config.database, &file).await?,
        }
        let durable = std::fs::File::open(&part)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&part, &target))
            .and_then(|()| private::sync_directory(&target));
        durable.map_err(BootError::cannot_create)
    };
    let copied: Result<(), BootError> = copied.await;
    if copied.is_err() {
        // Only the first error is reported. An incomplete copy is of no use.
        let _ = std::fs::remove_file(&part);
    } else {
        tracing::warn!(copy = %target.display(), "the database was copied before its upgrade");
    }
    copied
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Checks the pages of a small file. A larger one is checked by [`examine`] while it is in use.
async fn check_pages(config: &Config, store: &Store) -> Result<(), StoreError> {
    if is_small(config) { store.check_pages().await } else { Ok(()) }
}

fn is_small(config: &Config) -> bool {
    let size = config.database.path().and_then(|path| path.metadata().ok()).map(|found| found.len());
    size.is_some_and(|size| size <= SMALL_FILE)
}

/// Names every corrupt row in the log, and checks the pages of a large file. It ends with the daemon.
pub(super) async fn examine(config: Config, store: Store, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = checkup(&config, &store) => {}
    }
}

async fn checkup(config: &Config, store: &Store) {
    match store.check_rows().await {
        Ok(check) => {
            for fault in &check.sets {
                tracing::error!(%fault, "the rows of the database are not complete; srvd doctor explains what to do");
            }
            let rows = check.unfit;
            for row in rows.iter().take(NAMED) {
                let (table, id, reason) = (row.table, &row.row, row.reason.to_string());
                tracing::error!(table, id, reason, "a row of the database is corrupt and is not used");
            }
            if rows.len() > NAMED {
                tracing::error!(rows = rows.len(), "further rows are corrupt; srvd doctor lists them");
            }
        }
        Err(error) => tracing::debug!(error = with_causes(&error), "the rows could not be checked"),
    }
    if is_small(config) {
        return;
    }
    match store.check_pages().await {
        Err(error @ StoreError::Damaged(_)) => {
            tracing::error!(
                error = with_causes(&error),
                "the database's file is damaged; stop srvd and restore a backup"
            );
        }
        Err(error) => tracing::debug!(error = with_causes(&error), "the pages could not be checked"),
        Ok(()) => {}
    }
}
