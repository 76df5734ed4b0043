//! `srvd restore`: replaces the database with a backup.
//!
//! The backup is copied beside the database, and there it is checked, opened and updated to the newest schema. Then it
//! is given the database's name in one step. The database does not change before that step. Afterwards the old one lies
//! beside the new one.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity_store::maintenance::newest_schema;
use identity_store::{
    Account, AccountFilter, AuditEntry, BundleId, Change, DatabaseUrl, Keyring, KnownDatabase, SecretRef,
    Store, StoreError, StoreOptions,
};

use super::backup::{Manifest, VERSION, digest, local_only, manifest_of};
use super::failure::{Failure, code};
use super::offline::{DatabaseArgs, announce};
use super::serve;
use super::ui::Ui;
use crate::base::clock::now;
use crate::base::environment::Environment;
use crate::base::private;
use crate::base::trust;
use crate::config::{Config, key};
use crate::daemon::{BootError, Offline};
use crate::hint::{Step, Word};
use crate::wire::error::with_causes;

/// The meaning of `--unauthenticated`.
const UNAUTHENTICATED: &str = "The backup is taken as it is: a program that could change the file may have set the address that a key is sent \
    to, or the bundle that it belongs to. Check srvd accounts before you use them.";

/// The suffixes of the files that `SQLite` and the store keep beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-lock"];

/// Arguments of `srvd restore`.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// A file that `srvd backup` made
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace an existing database; it is kept beside the new one
    #[arg(long)]
    force: bool,
    /// Restore a backup that cannot prove who made it, such as one of srvd 0.1
    #[arg(long)]
    unauthenticated: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Restores while it holds the daemon's lock.
pub(super) fn run(
    args: &RestoreArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    let place = async || in_place(args, config, environment, ui).await;
    let Restored { manifest, aside, logins, .. } = serve::in_its_place(config, place)??;
    ui.result(&format!("restored {} bytes, schema {}", manifest.bytes, manifest.schema))?;
    if let Some(aside) = aside {
        ui.note(&format!("The previous database is kept in {}", aside.display()));
    }
    if !logins.is_empty() {
        ui.note(
            "Logins in the CLIs' own directories are not part of a backup. These directories are missing:",
        );
        for step in &logins {
            ui.note(&format!("  {step}"));
        }
        ui.note("Each command logs in again in place; the account stays the same.");
    }
    Ok(())
}

/// The result of a restore.
struct Restored {
    manifest: Manifest,
    /// The path of the previous database, if there was one.
    aside: Option<PathBuf>,
    /// The command for each login whose directory is not on this machine.
    logins: Vec<String>,
    known: KnownDatabase,
}

/// Checks everything that can be checked before a file is made, and then restores.
async fn in_place(
    args: &RestoreArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<Restored, Failure> {
    let config = &args.database.settle(config, ui).await?;
    local_only(config, "pg_restore --clean --dbname=DATABASE FILE")?;
    announce(config, environment, ui)?;
    let keyring = key::load(environment, &config.key_sources()).map_err(BootError::from)?.keyring();
    let offline = Offline::enter(config)?;
    let Some(database) = config.database.path() else {
        return Err(Failure::new(code::BUG, "the database has no file"));
    };
    if is_there(database) && !args.force {
        return Err(Failure::new(
            code::CANNOT_CREATE,
            format!("there is already a database at {}", database.display()),
        )
        .hint(Step::ReplaceDatabase));
    }
    if args.unauthenticated {
        ui.note(UNAUTHENTICATED);
    }
    let restored = restore(&args.file, database, &keyring, args.unauthenticated, config).await?;
    let schema = newest_schema(config.database.kind());
    offline.keep_record(&restored.known, schema, &keyring)?;
    Ok(restored)
}

/// Restores a backup through a copy, which is removed if it has not become the database.
async fn restore(
    file: &Path,
    database: &Path,
    keyring: &Keyring,
    unauthenticated: bool,
    config: &Config,
) -> Result<Restored, Failure> {
    remove_leftovers(database);
    let staged = with_suffix(database, &format!(".restore-{}", uuid::Uuid::new_v4().simple()));
    let attempt = async {
        let manifest = stage(file, &staged, keyring, unauthenticated)?;
        let (known, logins) = check(&staged, keyring.clone(), config).await?;
        Ok(Restored { manifest, logins, known, aside: replace(database, &staged).await? })
    };
    let result = attempt.await;
    remove(&staged);
    result
}

/// Copies the database out of the backup and compares it with the manifest.
fn stage(file: &Path, staged: &Path, keyring: &Keyring, unauthenticated: bool) -> Result<Manifest, Failure> {
    let unreadable =
        |error: io::Error| Failure::new(code::IO, format!("cannot read {}: {error}", file.display()));
    let bad = |reason: &str| Failure::new(code::IO, format!("{} {reason}", file.display()));
    let mut from = trust::open_regular(file).map_err(unreadable)?;
    let manifest = manifest_of(&mut from)
        .map_err(unreadable)?
        .ok_or_else(|| bad("is not an srvd backup, or is truncated"))?;
    if manifest.srvd_backup > VERSION {
        return Err(bad("was made by a newer srvd"));
    }
    if !unauthenticated && !manifest.is_authentic(keyring) {
        return Err(refused(file, &manifest, keyring));
    }
    let cannot = |error: io::Error| {
        Failure::new(code::CANNOT_CREATE, format!("cannot write {}: {error}", staged.display()))
    };
    let mut to = private::new_file(staged, 0o600).map_err(cannot)?;
    let copied = digest(&mut io::Read::take(from, manifest.bytes), &mut to).map_err(cannot)?;
    to.sync_all().map_err(cannot)?;
    if copied != (manifest.bytes, manifest.blake2b.clone()) {
        return Err(bad("is damaged: its content does not match its checksum"));
    }
    Ok(manifest)
}

/// Opens the copy as a start of the daemon would: checks its schema, keys and pages, and updates it to the newest
/// schema. Returns its identity, and the command for each login whose directory is not on this machine.
async fn check(
    staged: &Path,
    keyring: Keyring,
    config: &Config,
) -> Result<(KnownDatabase, Vec<String>), Failure> {
    let announce = Arc::new(|_: &[Change]| {});
    let options = StoreOptions::new(DatabaseUrl::sqlite(staged), announce, now()).rooted(config.roots());
    let store = Store::open(options, keyring).await.map_err(BootError::from)?;
    let checked = async {
        store.check_integrity().await?;
        let told = AuditEntry {
            at: now(),
            actor: "cli".into(),
            action: "restore".into(),
            subject: String::new(),
            outcome: AuditEntry::OK.into(),
            detail: None,
        };
        store.audit(told).await?;
        missing(&store).await
    };
    let checked = checked.await;
    let known = store.database().clone();
    store.close().await;
    let logins = checked.map_err(BootError::from)?;
    Ok((known, logins))
}

/// Returns the refusal of a backup that no holder of the key made.
fn refused(file: &Path, manifest: &Manifest, keyring: &Keyring) -> Failure {
    let held = |id: &String| {
        *id == keyring.key_id().to_string() || keyring.old_key_ids().iter().any(|old| old.to_string() == *id)
    };
    if !manifest.key_ids.iter().any(held) {
        let message = format!("{} was made with the key {}", file.display(), manifest.key_ids.join(" and "));
        return Failure::new(code::CONFIG, format!("{message}; the given key is {}", keyring.key_id()))
            .hint(Step::WrongKey);
    }
    let message = format!("{} cannot prove that it was made with your encryption key", file.display());
    Failure::new(code::IO, message).hint(Step::TrustBackup)
}

/// Returns the command for each bound login whose directory does not exist.
async fn missing(store: &Store) -> Result<Vec<String>, StoreError> {
    let bundles = store.bundles().await?;
    let name = |id: &BundleId| {
        let name = bundles.iter().find(|bundle| bundle.id == *id).map_or(id.as_str(), |bundle| &bundle.name);
        Word::from(name)
    };
    let accounts = store.accounts(AccountFilter::default()).await?.accounts;
    let step = |account: &Account| {
        let SecretRef::ConfigDir { dir, .. } = &account.secret_ref else { return None };
        let bundle = name(account.bound_to.first()?);
        let provider = account.provider.as_str().into();
        (!dir.exists()).then(|| Step::LogIn { provider, bundle }.to_string())
    };
    Ok(accounts.iter().filter_map(step).collect())
}

/// Gives the copy the database's name, and the old database another one.
async fn replace(database: &Path, staged: &Path) -> Result<Option<PathBuf>, Failure> {
    let cannot = |error: io::Error| {
        Failure::new(code::CANNOT_CREATE, format!("cannot replace {}: {error}", database.display()))
    };
    if with_suffix(staged, "-wal").exists() {
        return Err(Failure::new(code::IO, "the restored database could not be closed"));
    }
    let aside = if is_there(database) { Some(keep(database).await.map_err(cannot)?) } else { None };
    // A write-ahead log of the old database would destroy the new one.
    for beside in ["-wal", "-shm"] {
        absent(std::fs::remove_file(with_suffix(database, beside))).map_err(cannot)?;
    }
    std::fs::rename(staged, database).and_then(|()| private::sync_directory(database)).map_err(cannot)?;
    Ok(aside)
}

fn is_there(database: &Path) -> bool {
    database.metadata().is_ok_and(|found| found.len() > 0)
}

/// Gives the database a second name. A database that cannot be opened any more keeps its log beside it.
async fn keep(database: &Path) -> io::Result<PathBuf> {
    if let Err(error) = identity_store::fold_log(database).await {
        tracing::warn!(
            error = with_causes(&error),
            "cannot merge the write-ahead log of the replaced database; the log is kept beside it"
        );
    }
    let aside = with_suffix(database, &format!(".before-restore-{}", now()));
    second_name(database, &aside)?;
    let log = with_suffix(database, "-wal");
    if log.exists() {
        second_name(&log, &with_suffix(&aside, "-wal"))?;
    }
    private::sync_directory(&aside)?;
    Ok(aside)
}

fn second_name(file: &Path, name: &Path) -> io::Result<()> {
    match std::fs::hard_link(file, name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let mut copy = private::new_file(name, 0o600)?;
            io::copy(&mut File::open(file)?, &mut copy)?;
            copy.sync_all()
        }
        linked => linked,
    }
}

/// Removes the files of runs that were interrupted. The lock is held, so none of them is in use.
fn remove_leftovers(database: &Path) {
    let Some((dir, name)) = database.parent().zip(database.file_name().and_then(|name| name.to_str())) else {
        return;
    };
    let prefix = format!("{name}.restore-");
    // A file that cannot be removed does no harm.
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Removes the copy, unless it has become the database, and the files beside the copy.
fn remove(staged: &Path) {
    for path in std::iter::once(staged.to_owned()).chain(BESIDE.map(|beside| with_suffix(staged, beside))) {
        let _ = std::fs::remove_file(path);
    }
}

fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
