//! `srvd backup` and `srvd restore`: beside a running daemon, with damaged files, on a full disk, and killed.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Daemon, Home, KEY, files_below};

const SECRET: &str = "sk-proj-planted-secret-0123456789abcdefghij";

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn run(home: &Home, command: &str, file: &Path) -> Output {
    home.run(&[command, file.to_str().unwrap()])
}

fn forced(home: &Home, file: &Path) -> Command {
    home.command(&["restore", "--force", file.to_str().unwrap()])
}

fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

async fn add_key(daemon: &Daemon, bundle: &str) {
    let params = json!({
        "providerId": "openai", "bundleName": bundle, "apiKey": SECRET, "accountName": "Key", "validate": false,
    });
    daemon.call("auth.submitapikey", params).await;
}

/// Returns the names of the bundles. Asserts that each bundle gives its key.
async fn bundles(daemon: &Daemon) -> Vec<String> {
    let listed = daemon.call("bundle.list", json!({})).await["bundles"].clone();
    let mut names = Vec::new();
    for bundle in listed.as_array().unwrap().iter().filter(|bundle| bundle["isBlank"] == false) {
        let launch: Value = daemon.call("launch.resolve", json!({"bundleId": bundle["id"]})).await;
        assert_eq!(launch["set"]["OPENAI_API_KEY"], SECRET);
        names.push(bundle["name"].as_str().unwrap().to_owned());
    }
    names.sort();
    names
}

/// Returns the files beside the database that should not be there.
fn litter(home: &Home) -> Vec<PathBuf> {
    let known = [
        "srvd.db",
        "srvd.db-wal",
        "srvd.db-shm",
        "srvd.db-lock",
        "srvd.db-daemon",
        "srvd.lock",
        "endpoint.json",
        "database.json",
        "ballast",
    ];
    let mut files = files_below(&home.dir("data"));
    // The homes of bundles have files of their own.
    let identities = home.dir("data/identities");
    files.retain(|file| {
        !file.starts_with(&identities) && !known.contains(&file.file_name().unwrap().to_str().unwrap())
    });
    files
}

/// Returns the copies of a backup that have not become the database.
fn copies(home: &Home) -> Vec<PathBuf> {
    litter(home).into_iter().filter(|file| file.to_str().unwrap().contains(".restore-")).collect()
}

/// Runs the program below a shell that has run `before`, such as a limit of the size of files.
fn limited(home: &Home, before: &str, args: &[&str]) -> Output {
    home.shell(&format!("{before}; exec \"$@\""), args).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_of_running_daemon_is_restored() {
    let daemon = Home::new().start();
    add_key(&daemon, "First").await;
    let file = daemon.home.dir("first.backup");
    let made = succeeded(run(&daemon.home, "backup", &file));
    assert_eq!(text(&made.stdout), format!("{}\n", file.display()));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&file).unwrap();
    for planted in [SECRET.as_bytes(), KEY.as_bytes()] {
        assert!(!bytes.windows(planted.len()).any(|window| window == planted), "a secret is in the backup");
    }
    let again = run(&daemon.home, "backup", &file);
    assert_eq!(again.status.code(), Some(73), "{again:?}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes);

    add_key(&daemon, "Second").await;
    assert_eq!(bundles(&daemon).await, ["First", "Second"]);
    let running = forced(&daemon.home, &file).output().unwrap();
    assert_eq!(running.status.code(), Some(75), "{running:?}");

    // The daemon is killed, so that its last writes are only in the write-ahead log.
    let home = daemon.kill();
    let refused = run(&home, "restore", &file);
    assert_eq!(refused.status.code(), Some(73), "{refused:?}");
    assert!(text(&refused.stderr).contains("restore --force FILE"), "{refused:?}");
    let done = succeeded(forced(&home, &file).output().unwrap());
    let kept = litter(&home);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(text(&done.stderr).contains(&format!("is kept in {}", kept[0].display())), "{done:?}");
    assert_eq!(std::fs::metadata(home.dir("data/srvd.db")).unwrap().permissions().mode() & 0o777, 0o600);
    let daemon = home.start();
    assert_eq!(bundles(&daemon).await, ["First"]);
    succeeded(daemon.home.run(&["audit", "--verify"]));

    // The replaced database is complete.
    let (_, home) = daemon.stop();
    std::fs::rename(&kept[0], home.dir("data/srvd.db")).unwrap();
    let daemon = home.start();
    assert_eq!(bundles(&daemon).await, ["First", "Second"]);

    // A new machine has the same key and no database.
    let home = Home::new();
    succeeded(run(&home, "restore", &file));
    assert_eq!(litter(&home), Vec::<PathBuf>::new());
    assert_eq!(bundles(&home.start()).await, ["First"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_changes_nothing_when_backup_is_damaged_or_key_differs() {
    let daemon = Home::new().start();
    add_key(&daemon, "First").await;
    let file = daemon.home.dir("good.backup");
    succeeded(run(&daemon.home, "backup", &file));
    let (_, home) = daemon.stop();
    let good = std::fs::read(&file).unwrap();
    let before = std::fs::read(home.dir("data/srvd.db")).unwrap();
    let line = good[..good.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let mut flipped = good.clone();
    flipped[line / 2] ^= 1;
    let forged = text(&good[line..]).replace("\"srvdBackup\":2", "\"srvdBackup\":3");
    let older = text(&good[line..]).replace("\"srvdBackup\":2", "\"srvdBackup\":1");
    let check = |name: &str, content: &[u8], code: i32, part: &str| {
        let path = home.dir("bad.backup");
        std::fs::write(&path, content).unwrap();
        let refused = forced(&home, &path).output().unwrap();
        assert_eq!(refused.status.code(), Some(code), "{name}: {refused:?}");
        assert!(text(&refused.stderr).contains(part), "{name}: {refused:?}");
        assert_eq!(std::fs::read(home.dir("data/srvd.db")).unwrap(), before, "{name}");
        assert_eq!(litter(&home), Vec::<PathBuf>::new(), "{name}");
    };
    check("cut", &good[..good.len() / 2], 74, "is not an srvd backup, or is truncated");
    check("cut by one", &good[..good.len() - 1], 74, "or is truncated");
    check("empty", b"", 74, "or is truncated");
    check("flipped", &flipped, 74, "is damaged");
    check("newer", &[&good[..line], forged.as_bytes()].concat(), 74, "a newer srvd");
    check("older", &[&good[..line], older.as_bytes()].concat(), 74, "cannot prove");
    check("a database", &good[..line - 1], 74, "is not an srvd backup");
    let other = Home::new();
    std::fs::write(other.dir("config/encryption.key"), "not-the-key-0123456789abcdef-0123456789").unwrap();
    let refused = run(&other, "restore", &file);
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    assert!(!other.dir("data/srvd.db").exists() && litter(&other).is_empty());
    let missing = run(&other, "restore", &other.dir("nothing"));
    assert_eq!(missing.status.code(), Some(74), "{missing:?}");
}

/// A full disk, simulated by a limit on the file size that is below the database's size.
#[tokio::test(flavor = "multi_thread")]
async fn backup_and_restore_change_nothing_when_disk_is_full() {
    let daemon = Home::new().start();
    add_key(&daemon, "First").await;
    let home = &daemon.home;
    let file = home.dir("b.backup");
    let full = "trap '' XFSZ; ulimit -f 40";
    let failed = limited(home, full, &["backup", file.to_str().unwrap()]);
    assert!(!failed.status.success(), "{failed:?}");
    let left: Vec<_> =
        std::fs::read_dir(home.dir("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().contains("backup")), "{left:?}");

    succeeded(run(home, "backup", &file));
    let (_, home) = daemon.stop();
    let before = std::fs::read(home.dir("data/srvd.db")).unwrap();
    let failed = limited(&home, full, &["restore", "--force", file.to_str().unwrap()]);
    assert_eq!(failed.status.code(), Some(73), "{failed:?}");
    assert_eq!(std::fs::read(home.dir("data/srvd.db")).unwrap(), before);
    assert_eq!(litter(&home), Vec::<PathBuf>::new());
    assert_eq!(bundles(&home.start()).await, ["First"]);
}

/// The kernel kills the process at the write that exceeds the limit, always at the same place in the copy.
#[tokio::test(flavor = "multi_thread")]
async fn restore_leaves_the_old_database_when_killed_while_it_copies() {
    let daemon = Home::new().start();
    add_key(&daemon, "First").await;
    let file = daemon.home.dir("first.backup");
    succeeded(run(&daemon.home, "backup", &file));
    add_key(&daemon, "Second").await;
    let (_, mut home) = daemon.stop();
    let blocks = std::fs::metadata(&file).unwrap().len() / 512;
    for limit in [8, blocks / 2, blocks - 8] {
        let before = std::fs::read(home.dir("data/srvd.db")).unwrap();
        let arguments = ["restore", "--force", file.to_str().unwrap()];
        let killed = limited(&home, &format!("ulimit -c 0; ulimit -f {limit}"), &arguments);
        assert_eq!(
            killed.status.signal(),
            Some(rustix::process::Signal::XFSZ.as_raw()),
            "{limit}: {killed:?}"
        );
        assert_eq!(std::fs::read(home.dir("data/srvd.db")).unwrap(), before, "{limit}");
        assert_eq!(copies(&home).len(), 1, "{limit}: {:?}", litter(&home));
        let daemon = home.start();
        assert_eq!(bundles(&daemon).await, ["First", "Second"], "{limit}");
        home = daemon.stop().1;
    }
    succeeded(forced(&home, &file).output().unwrap());
    assert_eq!(
        copies(&home),
        Vec::<PathBuf>::new(),
        "the next restore removes the copies of those that were killed"
    );
    assert_eq!(bundles(&home.start()).await, ["First"]);
}
