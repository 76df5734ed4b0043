//! `srvd backup` and `srvd restore`: beside a running daemon, with damaged files, and interrupted at any moment.

#![expect(clippy::print_stdout, reason = "figures are for whoever runs the tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Daemon, Home, KEY, files_below};

const SECRET: &str = "sk-proj-planted-secret-0123456789abcdefghij";
const KILLS: usize = 20;

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
    let known = ["srvd.db", "srvd.db-wal", "srvd.db-shm", "srvd.db-lock", "srvd.lock"];
    let mut files = files_below(&home.dir("data"));
    files.retain(|file| !known.contains(&file.file_name().unwrap().to_str().unwrap()));
    files
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
    let forged = text(&good[line..]).replace("\"srvdBackup\":1", "\"srvdBackup\":2");
    let check = |name: &str, content: &[u8], code: i32, part: &str| {
        let path = home.dir("bad.backup");
        std::fs::write(&path, content).unwrap();
        let refused = forced(&home, &path).output().unwrap();
        assert_eq!(refused.status.code(), Some(code), "{name}: {refused:?}");
        assert!(text(&refused.stderr).contains(part), "{name}: {refused:?}");
        assert_eq!(std::fs::read(home.dir("data/srvd.db")).unwrap(), before, "{name}");
        assert_eq!(litter(&home), Vec::<PathBuf>::new(), "{name}");
    };
    check("cut", &good[..good.len() / 2], 74, "is no backup of srvd, or it was cut off");
    check("cut by one", &good[..good.len() - 1], 74, "or it was cut off");
    check("empty", b"", 74, "or it was cut off");
    check("flipped", &flipped, 74, "is damaged");
    check("newer", &[&good[..line], forged.as_bytes()].concat(), 74, "a newer srvd");
    check("a database", &good[..line - 1], 74, "is no backup of srvd");
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
    let limited = |args: &str| {
        let mut command = home.command(&[]);
        let program = command.get_program().to_str().unwrap().to_owned();
        let script = format!("trap '' XFSZ; ulimit -f 40; exec {program} {args}");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &script]).env_clear().stdin(Stdio::null());
        shell.envs(command.stdin(Stdio::null()).get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.output().unwrap()
    };
    let file = home.dir("b.backup");
    let failed = limited(&format!("backup {}", file.display()));
    assert!(!failed.status.success(), "{failed:?}");
    let left: Vec<_> =
        std::fs::read_dir(home.dir("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().contains("backup")), "{left:?}");

    succeeded(run(home, "backup", &file));
    let (_, home) = daemon.stop();
    let before = std::fs::read(home.dir("data/srvd.db")).unwrap();
    let program = env!("CARGO_BIN_EXE_srvd");
    let script = format!("trap '' XFSZ; ulimit -f 40; exec {program} restore --force {}", file.display());
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script]).env_clear().stdin(Stdio::null());
    let own = home.command(&[]);
    shell.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let failed = shell.output().unwrap();
    assert_eq!(failed.status.code(), Some(73), "{failed:?}");
    assert_eq!(std::fs::read(home.dir("data/srvd.db")).unwrap(), before);
    assert_eq!(litter(&home), Vec::<PathBuf>::new());
    assert_eq!(bundles(&home.start()).await, ["First"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_leaves_one_whole_database_when_killed() {
    let daemon = Home::new().start();
    add_key(&daemon, "First").await;
    let file = daemon.home.dir("first.backup");
    succeeded(run(&daemon.home, "backup", &file));
    add_key(&daemon, "Second").await;
    let other = daemon.home.dir("second.backup");
    succeeded(run(&daemon.home, "backup", &other));
    let (_, mut home) = daemon.stop();
    let started = Instant::now();
    succeeded(forced(&home, &file).output().unwrap());
    let whole = started.elapsed();
    let (mut cut, mut replaced) = (0, 0);
    for number in 0..KILLS {
        let (file, names) = if number % 2 == 0 { (&other, 2) } else { (&file, 1) };
        let mut child = forced(&home, file).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let share = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
        std::thread::sleep(whole * share / 255);
        child.kill().unwrap();
        cut += usize::from(!child.wait().unwrap().success());
        let daemon = home.start();
        let found = bundles(&daemon).await;
        assert!(found == ["First"] || found == ["First", "Second"], "{found:?}");
        replaced += usize::from(found.len() == names);
        home = daemon.stop().1;
    }
    println!(
        "{cut} of {KILLS} restores were killed; after {replaced} of them the backup was in place ({whole:?})"
    );
    succeeded(forced(&home, &other).output().unwrap());
    let left: Vec<_> =
        litter(&home).into_iter().filter(|file| file.to_str().unwrap().contains(".restore-")).collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "what was cut off is cleared away by the next one");
}
