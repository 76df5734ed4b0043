//! Tests of logins in a `SQLite` database to which the CLI may be writing.

use std::path::{Path, PathBuf};

use auth_spawner::{Cli, Credential, Overlay, Proof, Registry, fingerprint, prove};
use rusqlite::Connection;
use tempfile::TempDir;

const STORE: &str = r#"{"version":1,"profiles":{
    "anthropic:manual":{"type":"token","provider":"anthropic","token":"t","expires":1795000000001},
    "openai:ada@example.test":{"type":"oauth","provider":"openai","access":"at","refresh":"rt",
        "expires":1795000000002,"email":"ada@example.test","accountId":"acct-1"}}}"#;

fn cli() -> Cli {
    let text = include_str!("../fixtures/shapes.toml").to_owned();
    let registry = Registry::with_overlays(&[Overlay { source: "shapes.toml".into(), text }]).unwrap();
    registry.provider("shape-openclaw").unwrap().cli.clone().unwrap()
}

struct World {
    dir: TempDir,
    cli: Cli,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        Self { dir, cli: cli() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("state/openclaw.sqlite")
    }

    fn open(&self, script: &str) -> Connection {
        let database = Connection::open(self.path()).unwrap();
        database.execute_batch(script).unwrap();
        database
    }

    fn prove(&self) -> Proof {
        let before = names(self.dir.path());
        let proof = prove(&self.cli, self.dir.path());
        assert_eq!(names(self.dir.path()), before, "reading must not leave anything behind");
        proof
    }

    fn reason(&self) -> String {
        match self.prove() {
            Proof::Unreadable { reason } => {
                reason.strip_prefix("openclaw.sqlite cannot be read: ").unwrap().to_owned()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn names(dir: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(dir.join("state")).unwrap().map(Result::unwrap);
    let mut names: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .collect();
    names.sort();
    names
}

const TABLE: &str = "CREATE TABLE config_machine_state (state_key TEXT PRIMARY KEY, value_json TEXT) STRICT;";
const WAL: &str = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;";

fn put(database: &Connection, value: &str) {
    let query = "INSERT OR REPLACE INTO config_machine_state VALUES ('authProfiles.store', ?1)";
    database.execute(query, [value]).unwrap();
}

fn login() -> Proof {
    Proof::LoggedIn(Credential {
        email: Some("ada@example.test".into()),
        subject: Some("acct-1".into()),
        expires_at: Some(1_795_000_000_002),
        assumed_end: false,
        login_deadline_at: None,
        refreshable: true,
        issued_at: None,
        refresh_mark: "8621b2bc3241681ae0ea3ad6dee251fa".parse().ok(),
    })
}

#[test]
fn login_is_read_from_the_database_and_its_wal_at_each_page_size() {
    for size in [512, 4096, 65536] {
        for log in [false, true] {
            let world = World::new();
            let pages = format!("PRAGMA page_size = {size};");
            let database = world.open(&format!("{pages} {} {TABLE}", if log { WAL } else { "" }));
            assert_eq!(world.prove(), Proof::Absent, "no row yet");
            put(&database, STORE);
            assert_eq!(world.prove(), login(), "log {log}, pages of {size}");
            // Pages are added and freed, and a value is stored on overflow pages.
            put(&database, &format!("{STORE}{}", " ".repeat(300_000)));
            assert_eq!(world.prove(), login());
            put(&database, STORE);
            database.execute_batch("VACUUM").unwrap();
            assert_eq!(world.prove(), login(), "a smaller database, log {log}, pages of {size}");
            drop(database);
            assert_eq!(world.prove(), login(), "closed");
        }
    }
}

#[test]
fn wal_without_checkpoint_counts_up_to_the_last_commit() {
    let world = World::new();
    let mut database = world.open(&format!("{WAL} {TABLE}"));
    put(&database, "{}");
    let print = || fingerprint(&world.cli, world.dir.path());
    let before = print();
    let change = database.transaction().unwrap();
    put(&change, STORE);
    assert_eq!(print(), before, "not committed");
    assert!(matches!(world.prove(), Proof::Incomplete { .. }));
    change.commit().unwrap();
    assert_ne!(print(), before, "a change in the log must count");
    assert_eq!(world.prove(), login());
    let after = print();
    database.execute("INSERT INTO config_machine_state VALUES ('other', 'x')", []).unwrap();
    assert_eq!(print(), after, "a different row must not affect the login");
    // A new log starts after a checkpoint. Frames of the old log follow its own frames and do not count.
    database.execute_batch("PRAGMA wal_checkpoint(RESTART)").unwrap();
    database.execute("DELETE FROM config_machine_state", []).unwrap();
    assert_eq!(world.prove(), Proof::Absent);
    // The CLI crashes in the middle of a write.
    put(&database, STORE);
    put(&database, "{}");
    let log = world.dir.path().join("state/openclaw.sqlite-wal");
    let length = std::fs::metadata(&log).unwrap().len();
    let whole = std::fs::read(&log).unwrap();
    drop(database);
    let crashed = World::new();
    std::fs::copy(world.path(), crashed.path()).unwrap();
    let torn = crashed.dir.path().join("state/openclaw.sqlite-wal");
    std::fs::write(&torn, &whole[..usize::try_from(length).unwrap() - 100]).unwrap();
    assert!(!matches!(crashed.prove(), Proof::Unreadable { .. }));
    let mut flipped = whole;
    flipped[40] ^= 1;
    std::fs::write(&torn, &flipped).unwrap();
    assert!(!matches!(crashed.prove(), Proof::Unreadable { .. }), "a damaged log must end at the damage");
}

#[test]
fn database_is_not_read_during_a_transaction_without_wal() {
    let world = World::new();
    let mut database = world.open(&format!("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; {TABLE}"));
    put(&database, STORE);
    let change = database.transaction().unwrap();
    for number in 0..2000 {
        let query = "INSERT INTO config_machine_state VALUES (?1, ?2)";
        change.execute(query, [number.to_string(), "x".repeat(500)]).unwrap();
    }
    assert_eq!(world.reason(), "another program is writing to it");
    change.rollback().unwrap();
    assert_eq!(world.prove(), login());
}

#[test]
fn database_is_rejected_when_malicious_or_damaged() {
    let check = |script: &str, expect: &str| {
        let world = World::new();
        drop(world.open(script));
        assert_eq!(world.reason(), expect, "{script}");
    };
    let view =
        "CREATE VIEW config_machine_state AS SELECT 'authProfiles.store' AS state_key, '{}' AS value_json";
    check(view, "config_machine_state is not an ordinary table");
    let hidden =
        "CREATE TABLE config_machine_state (state_key TEXT, value_json TEXT AS (hex(zeroblob(500000))))";
    check(hidden, "config_machine_state has no ordinary column value_json");
    check(
        "CREATE TABLE config_machine_state (state_key TEXT)",
        "config_machine_state has no ordinary column value_json",
    );
    let put = "INSERT INTO config_machine_state VALUES ('authProfiles.store',";
    let plain = "CREATE TABLE config_machine_state (state_key, value_json);";
    check(&format!("{plain} {put} 7)"), "its value is not text");
    check(&format!("{plain} {put} zeroblob(1048577))"), "its value is larger than 1 MiB");
    check(&format!("{plain} {put} 'no json')"), "not JSON in its value at line 1");
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500000)
        INSERT INTO config_machine_state SELECT 'x', '' FROM n";
    check(&format!("{plain} {many}"), "the database takes too long to read");

    let world = World::new();
    drop(world.open(TABLE));
    let mut bytes = std::fs::read(world.path()).unwrap();
    bytes.truncate(5000);
    std::fs::write(world.path(), &bytes).unwrap();
    assert!(world.reason().contains("database"), "{}", world.reason());
    for (name, reason) in [("-wal", "it is a symbolic link"), ("-journal", "it is a symbolic link")] {
        let world = World::new();
        drop(world.open(TABLE));
        std::os::unix::fs::symlink(
            "/etc/passwd",
            world.dir.path().join(format!("state/openclaw.sqlite{name}")),
        )
        .unwrap();
        assert_eq!(world.reason(), reason);
    }
}
