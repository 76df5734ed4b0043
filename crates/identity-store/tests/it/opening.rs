use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use identity_store::{AccountFilter, DatabaseKind, DestinationBundle, NewBundle, OpenError, Store};
use sqlx::Connection as _;
use tokio::task::JoinSet;

use crate::harness::{Fixture, NOW, api_key, bundle_id, keyring, on_both, refusal, run_local};

on_both![
    store_keeps_its_data_when_it_is_reopened,
    open_changes_nothing_when_the_key_is_wrong,
    open_changes_nothing_when_the_schema_is_newer,
    open_migrates_the_database_when_the_schema_is_older,
    open_names_the_migration_when_it_does_not_match,
    database_is_created_once_when_many_stores_open_it,
    attach_shares_an_open_database_and_never_creates_or_migrates_one,
];

async fn store_keeps_its_data_when_it_is_reopened(f: Fixture) {
    f.bundle("One").await;
    f.login("one", "a@x").await;
    let before = f.state().await;
    f.store.close().await;
    let store = f.place.open(keyring("one")).await.unwrap();
    let again = (
        store.bundles().await.unwrap(),
        store.accounts(AccountFilter::default()).await.unwrap(),
        store.audit_log(1000).await.unwrap().len(),
    );
    assert_eq!(again, before);
    store.close().await;
}

async fn open_changes_nothing_when_the_key_is_wrong(f: Fixture) {
    let one = f.bundle("One").await.id;
    f.store.save_api_key(api_key(DestinationBundle::Existing(one), "sk-1")).await.unwrap();
    let rows = f.place.texts("SELECT key_id || state FROM crypto_keys").await;
    f.store.close().await;
    let files = snapshot(&f);
    let error = f.place.open(keyring("two")).await.unwrap_err();
    let (one, two) = (keyring("one").key_id(), keyring("two").key_id());
    assert_eq!(error.to_string(), format!("wrong key: the database has key {one}, the given key is {two}"));
    assert!(matches!(error, OpenError::WrongKey { database_key_id, given_key_id }
        if database_key_id == one && given_key_id == two));
    assert_eq!(snapshot(&f), files);
    assert_eq!(f.place.texts("SELECT key_id || state FROM crypto_keys").await, rows);
    f.place.open(keyring("one")).await.unwrap().close().await;
}

async fn open_changes_nothing_when_the_schema_is_newer(f: Fixture) {
    f.store.close().await;
    f.place.execute("UPDATE _sqlx_migrations SET version = 99 WHERE version = 1").await;
    let files = snapshot(&f);
    let error = f.place.open(keyring("one")).await.unwrap_err();
    assert!(matches!(error, OpenError::SchemaNewer { found: 99, known: 8 }), "{error:?}");
    assert_eq!(snapshot(&f), files);
    // The schema is checked before the key.
    assert!(matches!(f.place.open(keyring("two")).await, Err(OpenError::SchemaNewer { .. })));
}

/// Without what the later migrations added, and with what they dropped, the database is as the first one left it.
async fn open_migrates_the_database_when_the_schema_is_older(f: Fixture) {
    f.bundle("One").await;
    let account = f.login("one", "a@x").await;
    f.store.close().await;
    for statement in [
        "DROP TABLE agent_instances",
        "DROP TABLE tombstones",
        "DROP TABLE pending_logins",
        "DROP TABLE operator_tokens",
        "DROP TABLE user_profiles",
        "DROP TABLE account_tokens",
        "DROP TABLE audit_chain",
        "ALTER TABLE audit_log DROP COLUMN outcome",
        "ALTER TABLE audit_log DROP COLUMN hash",
        "ALTER TABLE identity_bundles DROP COLUMN share",
        "ALTER TABLE identity_bundles DROP COLUMN share_history",
        "CREATE TABLE events (seq BIGINT, at BIGINT, change TEXT)",
        "DELETE FROM _sqlx_migrations WHERE version >= 2",
    ] {
        f.place.execute(statement).await;
    }
    let store = f.place.open(keyring("one")).await.unwrap();
    assert_eq!(store.schema_version().await.unwrap(), 8);
    assert_eq!(store.account(&account.id).await.unwrap(), account);
    assert_eq!(store.declined_providers().await.unwrap(), []);
    // The existing rows are chained, and the chain records that it cannot vouch for them.
    let check = store.check_audit().await.unwrap();
    let details: Vec<_> = check.marks.iter().map(|row| row.entry.detail.clone()).collect();
    assert_eq!(details, [Some("0 earlier rows".into()), Some(format!("{} earlier rows", check.rows - 1))]);
    assert!(check.rows > 3 && check.fault.is_none(), "{check:?}");
    store.close().await;
}

async fn open_names_the_migration_when_it_does_not_match(f: Fixture) {
    f.store.close().await;
    f.place
        .execute(match f.place.kind {
            DatabaseKind::Sqlite => "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1",
            DatabaseKind::Postgres => "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1",
        })
        .await;
    f.place.execute("DELETE FROM _sqlx_migrations WHERE version = 8").await;
    let error = f.place.open(keyring("one")).await.unwrap_err();
    assert!(matches!(error, OpenError::Migration { version: Some(1), .. }), "{error:?}");
}

async fn database_is_created_once_when_many_stores_open_it(f: Fixture) {
    f.store.close().await;
    // The database is created again from nothing.
    match f.place.kind {
        DatabaseKind::Sqlite => std::fs::remove_dir_all(f.place.directory()).unwrap(),
        DatabaseKind::Postgres => f.place.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await,
    }
    let mut tasks = JoinSet::new();
    for _ in 0..6 {
        let place = f.place.clone();
        tasks.spawn(async move { place.open(keyring("one")).await.unwrap() });
    }
    let stores = tasks.join_all().await;
    assert_eq!(stores.len(), 6);
    for (number, store) in stores.iter().enumerate() {
        let id = bundle_id(&format!("b{number}"));
        let new = NewBundle { id: id.clone(), name: id.to_string(), description: String::new() };
        store.create_bundle(new, NOW).await.unwrap();
    }
    assert_eq!(stores[0].counts().await.unwrap().bundles, 7);
    for store in stores {
        store.close().await;
    }
}

/// Returns content, time of change (seconds and nanoseconds) and inode of the `SQLite` file; `None` for a server.
fn snapshot(f: &Fixture) -> Option<(Vec<u8>, i64, i64, u64)> {
    (f.place.kind == DatabaseKind::Sqlite).then(|| {
        let path = f.place.file();
        let metadata = std::fs::metadata(&path).unwrap();
        (std::fs::read(&path).unwrap(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino())
    })
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn database_files_are_readable_only_by_their_owner() {
    run_local(async |f: Fixture| {
        f.bundle("One").await;
        assert_eq!(mode(&f.place.directory()), 0o700);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(f.place.directory()).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
        names.sort();
        assert_eq!(names, ["srvd.db", "srvd.db-lock", "srvd.db-shm", "srvd.db-wal"]);

        // The permissions of a file that others can access are removed.
        f.store.close().await;
        std::fs::set_permissions(f.place.file(), std::fs::Permissions::from_mode(0o644)).unwrap();
        f.place.open(keyring("one")).await.unwrap().close().await;
        assert_eq!(mode(&f.place.file()), 0o600);
    })
    .await;
}

#[tokio::test]
async fn open_changes_nothing_when_the_file_is_foreign_or_damaged() {
    run_local(async |f: Fixture| {
        f.bundle("One").await;
        f.store.close().await;
        let path = f.place.file();
        let good = std::fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[..16].copy_from_slice(b"not SQLite at al");
        let cases: [(&str, Vec<u8>); 3] = [
            ("text", b"hello, this is a text and not a database\n".repeat(100)),
            ("header", flipped),
            ("cut", good[..good.len() / 2].to_vec()),
        ];
        for (name, bytes) in cases {
            std::fs::write(&path, &bytes).unwrap();
            let error = f.place.open(keyring("one")).await.unwrap_err();
            assert!(
                matches!(&error, OpenError::Corrupt { path: named, .. } if *named == path),
                "{name}: {error:?}"
            );
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "{name}");
        }
        std::fs::remove_file(&path).unwrap();
        let url = format!("sqlite:{}?mode=rwc", path.display());
        let mut foreign = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("CREATE TABLE notes (text TEXT)").execute(&mut foreign).await.unwrap();
        foreign.close().await.unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let error = f.place.open(keyring("one")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} is not a usable database: it is a database of another program", path.display())
        );
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    })
    .await;
}

#[tokio::test]
async fn open_names_the_path_when_the_database_cannot_be_created() {
    run_local(async |f: Fixture| {
        let file = f.place.file();
        let inside = identity_store::DatabaseUrl::sqlite(file.join("sub/srvd.db"));
        let options = identity_store::StoreOptions::new(inside, Arc::new(|_| {}), NOW);
        let error = Store::open(options, keyring("one")).await.unwrap_err();
        assert!(
            matches!(&error, OpenError::CannotCreate { path, .. } if *path == file.join("sub")),
            "{error:?}"
        );
        let directory = identity_store::DatabaseUrl::sqlite(f.place.directory());
        let options = identity_store::StoreOptions::new(directory, Arc::new(|_| {}), NOW);
        let error = Store::open(options, keyring("one")).await.unwrap_err();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    })
    .await;
}

/// Another process holds the database. A short hold is waited for, a long one is `Busy`, and nothing is lost.
#[tokio::test]
async fn write_is_busy_when_another_process_holds_the_database() {
    run_local(async |f: Fixture| {
        f.store.close().await;
        let mut options = f.place.options(Arc::new(|_| {}));
        options.busy_timeout = Duration::from_millis(200);
        let store = Store::open(options, keyring("one")).await.unwrap();
        let mut other = sqlx::SqliteConnection::connect(&f.place.url).await.unwrap();
        let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
        assert_eq!(refusal(store.put_setting("a", "1", NOW).await).0, "busy");
        assert_eq!(store.setting("a").await.unwrap(), None);
        held.rollback().await.unwrap();
        store.put_setting("a", "2", NOW).await.unwrap();
        assert_eq!(store.setting("a").await.unwrap().as_deref(), Some("2"));
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn open_reports_unavailable_without_the_password_when_the_server_is_down() {
    let url = "postgres://nobody:pw-planted@127.0.0.1:1/none".parse().unwrap();
    let mut options = identity_store::StoreOptions::new(url, Arc::new(|_| {}), NOW);
    options.busy_timeout = Duration::from_millis(500);
    assert!(!format!("{options:?}").contains("planted"));
    let error = Store::open(options, keyring("one")).await.unwrap_err();
    assert!(matches!(error, OpenError::Unavailable(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("planted"));
}

#[tokio::test]
async fn open_refuses_the_key_when_its_check_value_differs() {
    run_local(async |f: Fixture| {
        f.store.close().await;
        f.place.execute("UPDATE crypto_keys SET kcv = zeroblob(16)").await;
        assert!(matches!(f.place.open(keyring("one")).await, Err(OpenError::WrongKey { .. })));
    })
    .await;
}

async fn attach_shares_an_open_database_and_never_creates_or_migrates_one(f: Fixture) {
    let options = || f.place.options(Arc::new(|_| {}));
    let beside = Store::attach(options(), keyring("one")).await.unwrap();
    f.bundle("One").await;
    beside.put_setting("beside", "yes", NOW).await.unwrap();
    assert_eq!(beside.bundles().await.unwrap().len(), 2);
    assert_eq!(f.store.setting("beside").await.unwrap().as_deref(), Some("yes"));
    assert_eq!(f.store.check_audit().await.unwrap().fault, None);
    beside.close().await;
    assert!(matches!(Store::attach(options(), keyring("two")).await, Err(OpenError::WrongKey { .. })));
    f.store.close().await;
    f.place.execute("DELETE FROM _sqlx_migrations WHERE version = 8").await;
    let error = Store::attach(options(), keyring("one")).await.unwrap_err();
    assert!(matches!(error, OpenError::SchemaOlder { known: 8, .. }), "{error:?}");
    f.place.execute("DROP TABLE _sqlx_migrations").await;
    assert!(Store::attach(options(), keyring("one")).await.is_err());
}
