//! One database per test, and the helpers shared by the cases.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use identity_store::maintenance::RowCheck;
use identity_store::{
    Account, AccountFilter, AccountId, Announce, Bundle, BundleId, Change, DatabaseKind, DatabaseUrl,
    DestinationBundle, Evidence, Key, KeyPlace, Keyring, LoginCredential, NewBundle, NewSession, OpenError,
    PersonRule, ProviderId, SaveApiKey, SaveLogin, SecretRef, SessionId, Status, Store, StoreError,
    StoreOptions,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

/// Runs each named case, an `async fn(Fixture)`, on both databases.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        $(
            mod $case {
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() {
                    $crate::harness::run(identity_store::DatabaseKind::Sqlite, super::$case).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() {
                    $crate::harness::run(identity_store::DatabaseKind::Postgres, super::$case).await;
                }
            }
        )*
    };
}
pub(crate) use on_both;

/// The time of the tests' clock, in unix milliseconds.
pub(crate) const NOW: i64 = 1_800_000_000_000;

/// The fault of a row that was changed without the key.
pub(crate) const ALTERED: &str = "it was changed by a program without the encryption key";

/// Returns the newest schema version: the highest number of a migration.
pub(crate) fn newest() -> i64 {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    files.map(|name| name.to_str().unwrap()[..4].parse().unwrap()).max().unwrap()
}

/// An open store, its database, and the changes that it announced.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) place: TestDatabase,
    pub(crate) heard: Arc<Mutex<Vec<Change>>>,
}

/// One database for one test.
#[derive(Clone)]
pub(crate) struct TestDatabase {
    pub(crate) kind: DatabaseKind,
    /// The database URL as text.
    pub(crate) url: String,
    directory: Arc<TempDir>,
    /// True once a test wrote into the database without the store.
    meddled: Arc<AtomicBool>,
}

/// Gives a case its database and removes it afterwards, whether the case passed or not.
pub(crate) async fn run<F>(kind: DatabaseKind, case: impl FnOnce(Fixture) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let place = TestDatabase::create(kind).await;
    let fixture = Fixture::open(place.clone()).await;
    let store = fixture.store.clone();
    let outcome = tokio::spawn(case(fixture)).await;
    // No use case leaves a row that does not fit its authentication, or one that the census does not contain.
    if outcome.is_ok()
        && !place.meddled.load(Ordering::Relaxed)
        && let Ok(check) = store.check_rows().await
    {
        assert_eq!(check, RowCheck::default());
    }
    store.close().await;
    place.remove().await;
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Runs one case on a `SQLite` file only, on the test's own task.
pub(crate) async fn run_local(case: impl AsyncFnOnce(Fixture)) {
    let fixture = Fixture::open(TestDatabase::create(DatabaseKind::Sqlite).await).await;
    let store = fixture.store.clone();
    case(fixture).await;
    store.close().await;
}

impl TestDatabase {
    async fn create(kind: DatabaseKind) -> Self {
        let directory = Arc::new(TempDir::new().unwrap());
        let url = match kind {
            DatabaseKind::Sqlite => format!("sqlite:{}", directory.path().join("data/srvd.db").display()),
            DatabaseKind::Postgres => {
                let name = format!("srvd_t_{}", uuid::Uuid::new_v4().simple());
                let mut server = PgConnection::connect(&server()).await.unwrap();
                let create = format!("CREATE DATABASE {name}");
                sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut server).await.unwrap();
                let (base, _) = server_parts();
                format!("{base}/{name}")
            }
        };
        Self { kind, url, directory, meddled: Arc::default() }
    }

    async fn remove(&self) {
        if self.kind == DatabaseKind::Postgres {
            let name = self.url.rsplit('/').next().unwrap();
            let mut server = PgConnection::connect(&server()).await.unwrap();
            let drop = format!("DROP DATABASE {name} WITH (FORCE)");
            sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut server).await.unwrap();
        }
    }

    /// Returns the directory of a `SQLite` file.
    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Returns the path of the `SQLite` file.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory().join("srvd.db")
    }

    /// Opens a store on this database, with no listener.
    pub(crate) async fn open(&self, keyring: Keyring) -> Result<Store, OpenError> {
        Store::open(self.options(Arc::new(|_| {})), keyring).await
    }

    pub(crate) fn options(&self, announce: Announce) -> StoreOptions {
        StoreOptions::new(DatabaseUrl::from_str(&self.url).unwrap(), announce, NOW)
    }

    /// Runs SQL directly on the database, without the store.
    pub(crate) async fn execute(&self, text: &str) {
        self.meddled.store(true, Ordering::Relaxed);
        let text = AssertSqlSafe(text.to_owned());
        match self.kind {
            DatabaseKind::Sqlite => {
                let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
                sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            DatabaseKind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
            }
        }
    }

    /// Takes back what the migrations from a number on did, as if no version with them had ever opened the database. Each
    /// of them adds columns, one a line, or makes tables and indexes.
    pub(crate) async fn undo_migrations_since(&self, first: i64) {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let number =
            |file: &PathBuf| file.file_name().unwrap().to_str().unwrap()[..4].parse::<i64>().unwrap();
        files.retain(|file| number(file) >= first);
        let texts: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        for line in texts.iter().flat_map(|text| text.lines()).rev() {
            let words: Vec<&str> = line.split([' ', '(', ';']).filter(|word| !word.is_empty()).collect();
            let undo = match words.as_slice() {
                ["ALTER", "TABLE", table, "ADD", "COLUMN", column, ..] => {
                    format!("ALTER TABLE {table} DROP COLUMN {column}")
                }
                ["CREATE", "TABLE", table, ..] => format!("DROP TABLE {table}"),
                ["CREATE", "INDEX", index, ..] | ["CREATE", "UNIQUE", "INDEX", index, ..] => {
                    format!("DROP INDEX {index}")
                }
                _ => continue,
            };
            self.execute(&undo).await;
        }
        self.execute(&format!("DELETE FROM _sqlx_migrations WHERE version >= {first}")).await;
    }

    /// Runs a script of a server with rows after each `COPY`, up to a line `\\.`.
    pub(crate) async fn run_script(&self, script: &str) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let mut rest = script;
        while let Some(at) = rest.find("\nCOPY ") {
            let (statements, from) = rest.split_at(at + 1);
            let (copy, from) = from.split_once('\n').unwrap();
            let end = if from.starts_with("\\.\n") { 0 } else { from.find("\n\\.\n").unwrap() + 1 };
            let text = AssertSqlSafe(statements.to_owned());
            sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
            let mut rows = connection.copy_in_raw(copy.trim_end_matches(';')).await.unwrap();
            rows.send(&from.as_bytes()[..end]).await.unwrap();
            rows.finish().await.unwrap();
            rest = &from[end + 2..];
        }
        sqlx::raw_sql(AssertSqlSafe(rest.to_owned())).execute(&mut connection).await.unwrap();
    }

    /// Returns the first column of each row, read directly from the database.
    pub(crate) async fn texts(&self, text: &str) -> Vec<String> {
        let text = AssertSqlSafe(text.to_owned());
        match self.kind {
            DatabaseKind::Sqlite => {
                let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
                let texts = sqlx::query_scalar(text).fetch_all(&mut connection).await.unwrap();
                // A dropped connection would merge the log into the file at some later moment.
                connection.close().await.unwrap();
                texts
            }
            DatabaseKind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                sqlx::query_scalar(text).fetch_all(&mut connection).await.unwrap()
            }
        }
    }
}

impl Fixture {
    async fn open(place: TestDatabase) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let announce: Announce = Arc::new(move |changes| ear.lock().unwrap().extend_from_slice(changes));
        let store = Store::open(place.options(announce), keyring("one")).await.unwrap();
        Self { store, place, heard }
    }

    /// Returns the changes announced since the last call.
    pub(crate) fn heard(&self) -> Vec<Change> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    /// Creates a bundle with that id and name.
    pub(crate) async fn bundle(&self, name: &str) -> Bundle {
        let new = NewBundle { id: bundle_id(name), name: name.into(), description: String::new() };
        self.store.create_bundle(new, NOW).await.unwrap()
    }

    /// Saves a login of that person into the bundle, and returns the account.
    pub(crate) async fn login(&self, bundle: &str, email: &str) -> Account {
        let saved = self
            .store
            .save_login(login(DestinationBundle::Existing(bundle_id(bundle)), email))
            .await
            .unwrap();
        self.store.account(&saved.account).await.unwrap()
    }

    /// Returns all state that a refused request must leave unchanged.
    pub(crate) async fn state(&self) -> (Vec<Bundle>, identity_store::AccountList, usize) {
        let store = &self.store;
        (
            store.bundles().await.unwrap(),
            store.accounts(AccountFilter::default()).await.unwrap(),
            store.audit_log(1000).await.unwrap().len(),
        )
    }
}

/// Returns a keyring that depends on the name.
pub(crate) fn keyring(name: &str) -> Keyring {
    Keyring::from_key(key(name))
}

pub(crate) fn key(name: &str) -> Key {
    Key::parse(format!("{name:-<40}").as_bytes()).unwrap()
}

pub(crate) fn bundle_id(id: &str) -> BundleId {
    id.to_lowercase().parse().unwrap()
}

pub(crate) fn provider(id: &str) -> ProviderId {
    id.parse().unwrap()
}

pub(crate) fn account_id(id: &str) -> AccountId {
    id.parse().unwrap()
}

/// Returns the directory that an account keeps its login in.
pub(crate) fn account_dir(account: &Account) -> PathBuf {
    match &account.secret_ref {
        SecretRef::ConfigDir { dir, .. } => dir.clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn new_target(id: &str, name: Option<&str>) -> DestinationBundle {
    DestinationBundle::New { id: bundle_id(id), name: name.map(Into::into) }
}

/// Returns a login of that person with Codex.
pub(crate) fn login(target: DestinationBundle, email: &str) -> SaveLogin {
    SaveLogin {
        session: None,
        target,
        provider: provider("codex"),
        provider_name: "Codex".into(),
        credential: LoginCredential::Directory("/data/identities/x/codex".into()),
        email: (!email.is_empty()).then(|| email.into()),
        subject: None,
        base_url: None,
        expires_at: Some(NOW + 1000),
        login_deadline_at: None,
        evidence: Evidence::File,
        person: PersonRule::NotAnother,
        now: NOW,
    }
}

/// Returns an API key of `OpenAI`.
pub(crate) fn api_key(target: DestinationBundle, key: &str) -> SaveApiKey {
    SaveApiKey {
        target,
        provider: provider("openai"),
        provider_name: "OpenAI".into(),
        account_name: "Work key".into(),
        key: KeyPlace::Sealed(key.into()),
        base_url: None,
        email: None,
        status: Status::Valid,
        evidence: Evidence::Live,
        checked_at: Some(NOW),
        status_reason: None,
        now: NOW,
    }
}

/// Returns a session that is about to begin.
pub(crate) fn new_session(target: Option<&str>) -> NewSession {
    NewSession {
        id: SessionId::generate(),
        provider: provider("codex"),
        recipe: "browser".into(),
        target_bundle: target.map(bundle_id),
        new_bundle: target.is_none(),
        owner: None,
        started_at: NOW,
        expires_at: NOW + 600_000,
    }
}

/// Returns two ways to make a commit that writes a row of the audit log fail. Each is a pair of the statement that sets
/// it up and the statement that removes it.
pub(crate) fn obstacles(kind: DatabaseKind) -> [(&'static str, &'static str); 2] {
    match kind {
        DatabaseKind::Sqlite => [
            // As with a full disk, the database ends the transaction.
            (
                "CREATE TRIGGER stop BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ROLLBACK, 'full'); END",
                "DROP TRIGGER stop",
            ),
            (
                "CREATE TABLE other (id TEXT REFERENCES accounts (id) DEFERRABLE INITIALLY DEFERRED);
                 CREATE TRIGGER stop AFTER INSERT ON audit_log BEGIN INSERT INTO other VALUES ('none'); END",
                "DROP TRIGGER stop; DROP TABLE other",
            ),
        ],
        DatabaseKind::Postgres => [
            (
                "ALTER TABLE audit_log ADD CONSTRAINT stop CHECK (false) NOT VALID",
                "ALTER TABLE audit_log DROP CONSTRAINT stop",
            ),
            (
                "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
                 CREATE CONSTRAINT TRIGGER stop AFTER INSERT ON audit_log DEFERRABLE INITIALLY DEFERRED
                     FOR EACH ROW EXECUTE FUNCTION stop()",
                "DROP TRIGGER stop ON audit_log; DROP FUNCTION stop()",
            ),
        ],
    }
}

/// Returns the error's kind and text, for comparison as a whole.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, StoreError>) -> (&'static str, String) {
    let error = result.unwrap_err();
    let kind = match &error {
        StoreError::NotFound { .. } => "not found",
        StoreError::Conflict { .. } => "conflict",
        StoreError::Protected { .. } => "protected",
        StoreError::InvalidName { .. } => "invalid name",
        StoreError::IdentityMismatch { .. } => "identity mismatch",
        StoreError::Busy(_) => "busy",
        StoreError::Corrupt { .. } => "corrupt",
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Uncertain(_) => "uncertain",
        StoreError::Replaced(_) => "replaced",
        StoreError::Unsupported { .. } => "unsupported",
        StoreError::Damaged(_) => "damaged",
        StoreError::Secret(_) => "secret",
        _ => "other",
    };
    (kind, error.to_string())
}

/// Returns the server for test databases: its URL without the database, and that database.
fn server_parts() -> (String, String) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test server is named by the test script, not by a user"
    )]
    let url = std::env::var("SRVD_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!("SRVD_TEST_POSTGRES is not set: run scripts/test.sh, which starts a server")
    });
    let (base, name) = url.rsplit_once('/').unwrap();
    (base.to_owned(), name.to_owned())
}

fn server() -> String {
    let (base, name) = server_parts();
    format!("{base}/{name}")
}
