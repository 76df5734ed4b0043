//! A database that another program changed, replaced or removed, and commands that work on the database without the daemon.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Daemon, Home, KEY, until};

const SECRET: &str = "sk-proj-planted-secret-0123456789abcdefghij";

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn failed(output: &Output, code: i32, part: &str) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(text(&output.stderr).contains(part), "{part}: {output:?}");
    assert!(!text(&output.stderr).contains("planted"), "{output:?}");
}

/// Replaces every occurrence of a text in a file by another one of the same length.
fn patch(file: &Path, from: &str, to: &str) -> usize {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(file).unwrap();
    let mut count = 0;
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from.as_bytes()) {
        at += found;
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        count += 1;
    }
    std::fs::write(file, bytes).unwrap();
    count
}

pub(crate) async fn add_key(daemon: &Daemon, bundle: &str, base_url: Option<&str>) -> Value {
    let mut params = json!({
        "providerId": "openai", "bundleName": bundle, "apiKey": SECRET, "accountName": "Key", "validate": false,
    });
    if let Some(base_url) = base_url {
        params["baseUrl"] = json!(base_url);
    }
    daemon.call("auth.submitapikey", params).await
}

/// Returns a listener whose address has five digits in its port, as the one that it is exchanged for.
fn listener() -> (TcpListener, String) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port >= 10_000 {
            listener.set_nonblocking(true).unwrap();
            return (listener, format!("http://127.0.0.1:{port}/v1"));
        }
    }
}

fn heard_nothing(listener: &TcpListener) -> bool {
    match listener.accept() {
        Ok((mut stream, _)) => {
            let mut said = String::new();
            let _ = TcpStream::read_to_string(&mut stream, &mut said);
            panic!("a connection came: {said}");
        }
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

/// The address of a key is changed in the file. Neither a launch nor a check sends the key there, and the change is named
/// by the daemon's log, by the call that meets it, by the list of accounts and by the checkup.
#[tokio::test(flavor = "multi_thread")]
async fn key_is_not_sent_to_an_address_that_another_program_set() {
    let (evil, evil_url) = listener();
    let (good, good_url) = listener();
    let daemon = Home::new().start();
    let saved = add_key(&daemon, "Work", Some(&good_url)).await;
    let other = add_key(&daemon, "Home", None).await;
    let (status, home) = daemon.stop();
    assert!(status.success());
    assert!(patch(&home.dir("data/srvd.db"), &good_url, &evil_url) >= 1);

    let doctor = home.run(&["doctor", "--json"]);
    assert_eq!(doctor.status.code(), Some(1), "{doctor:?}");
    let account = saved["accountId"].as_str().unwrap();
    let named = format!("accounts {account}: it was changed by a program without the encryption key");
    assert!(text(&doctor.stdout).contains(&named), "{doctor:?}");

    let daemon = home.start();
    let error = daemon.error("launch.resolve", json!({"bundleId": saved["bundleId"]})).await;
    assert_eq!(error.kind(), Some("secret_unavailable"), "{error:?}");
    assert_eq!(error.data.as_ref().unwrap()["accountId"], saved["accountId"]);
    let status = daemon.error("account.get", json!({"accountId": account})).await;
    assert_eq!(status.kind(), Some("corrupt"), "{status:?}");
    let listed = daemon.call("account.list", json!({})).await;
    assert_eq!(listed["accounts"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["corrupt"][0]["id"], account, "{listed}");
    // The other bundle is not affected.
    let launch = daemon.call("launch.resolve", json!({"bundleId": other["bundleId"]})).await;
    assert_eq!(launch["set"]["OPENAI_API_KEY"], SECRET);
    until("the log names the row", || {
        daemon.log().contains("a row of the database is corrupt and is not used")
            && daemon.log().contains(account)
    });
    // The altered account can be removed, and the key stored again.
    daemon.call("account.delete", json!({"accountId": account})).await;
    assert_eq!(daemon.call("account.list", json!({})).await["corrupt"], json!([]));
    let (status, home) = daemon.stop();
    assert!(status.success());
    assert!(heard_nothing(&evil) && heard_nothing(&good));
    let doctor = home.run(&["doctor", "--json"]);
    assert!(!text(&doctor.stdout).contains("database.rows"), "{doctor:?}");
}

/// Changes the id of an account in the database's file, so that its row is missing. Returns the other id.
pub(crate) fn lose_account(home: &Home, account: &str) -> String {
    let (start, last) = account.split_at(account.len() - 1);
    let other = format!("{start}{}", if last == "0" { "1" } else { "0" });
    assert!(patch(&home.dir("data/srvd.db"), account, &other) >= 1);
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_row_is_named_until_the_rows_are_accepted() {
    let daemon = Home::new().start();
    let saved = add_key(&daemon, "Work", None).await;
    let (status, home) = daemon.stop();
    assert!(status.success());
    let account = saved["accountId"].as_str().unwrap();
    let other = lose_account(&home, account);

    let named = format!("accounts {account}: it was deleted by a program without the encryption key");
    let doctor = home.run(&["doctor", "--json"]);
    assert_eq!(doctor.status.code(), Some(1), "{doctor:?}");
    assert!(text(&doctor.stdout).contains(&named), "{doctor:?}");
    let daemon = home.start();
    until("the log names the row", || daemon.log().contains(&named));
    let accepted = daemon.home.run(&["doctor", "--accept-rows"]);
    assert!(accepted.status.success(), "{accepted:?}");
    assert!(text(&accepted.stdout).contains(&named), "{accepted:?}");
    let error = daemon.error("account.get", json!({"accountId": account})).await;
    assert_eq!(error.kind(), Some("not_found"), "{error:?}");
    let (_, home) = daemon.stop();
    let doctor = home.run(&["doctor", "--json"]);
    assert!(!text(&doctor.stdout).contains("database.missing"), "{doctor:?}");
    // The row under the other id is still corrupt.
    assert!(text(&doctor.stdout).contains(&format!("accounts {other}: it was changed")), "{doctor:?}");
    let again = home.run(&["doctor", "--accept-rows"]);
    assert!(text(&again.stderr).contains("No rows are missing."), "{again:?}");
}

#[test]
fn offline_command_creates_no_database_and_changes_no_key() {
    let home = Home::new();
    let file = home.dir("file");
    let file = file.to_str().unwrap();
    let key = || std::fs::read(home.dir("config/encryption.key")).unwrap();
    for args in [&["key", "rotate"][..], &["migrate"], &["migrate", "--dry-run"], &["backup", file]] {
        failed(&home.run(args), if args[0] == "backup" { 73 } else { 78 }, "");
        assert_eq!(key(), KEY.as_bytes(), "{args:?}");
        assert!(!home.dir("data/srvd.db").exists(), "{args:?}");
        assert!(!home.dir("config/encryption.keys.old").exists(), "{args:?}");
    }
    failed(&home.run(&["key", "rotate"]), 78, "there is no database at");
}

/// A shell without the daemon's settings would use another database than the daemon.
#[tokio::test(flavor = "multi_thread")]
async fn offline_command_uses_the_database_that_the_daemon_recorded() {
    let home = Home::new();
    let elsewhere = home.dir("elsewhere");
    crate::support::private_directory(&elsewhere);
    let url = format!("sqlite:{}", elsewhere.join("daemon.db").display());
    let daemon = home.start_with(|command| command.env("SRVD_DATABASE_URL", &url));
    add_key(&daemon, "Work", None).await;
    let (status, home) = daemon.stop();
    assert!(status.success());

    let file = home.dir("file.backup");
    let file = file.to_str().unwrap();
    let key = std::fs::read(home.dir("config/encryption.key")).unwrap();
    for args in [&["audit"][..], &["key", "rotate"], &["migrate", "--dry-run"], &["backup", file]] {
        let refused = home.run(args);
        failed(&refused, 78, "--database recorded");
        assert!(text(&refused.stderr).contains(&url), "{refused:?}");
        let configured = home.run(&[args, &["--database", "configured"]].concat());
        assert!(!configured.status.success(), "{configured:?}");
        assert!(!home.dir("data/srvd.db").exists() && !Path::new(file).exists(), "{args:?}");
    }
    assert_eq!(std::fs::read(home.dir("config/encryption.key")).unwrap(), key);
    let shown = home.run(&["audit", "--database", "recorded"]);
    assert!(shown.status.success(), "{shown:?}");
    assert!(text(&shown.stdout).contains("api_key.save"), "{shown:?}");
    assert!(text(&shown.stderr).contains(&format!("Database: {url}. Key: ")), "{shown:?}");
    let rotated = home.run(&["key", "rotate", "--database", "recorded"]);
    assert!(rotated.status.success(), "{rotated:?}");
    assert!(text(&rotated.stdout).starts_with("2 secrets were re-encrypted"), "{rotated:?}");

    // A start of the daemon with other settings does not begin with an empty database either.
    failed(&home.run(&["--migrate-only"]), 78, &url);
    assert!(!home.dir("data/srvd.db").exists());
    let daemon = home.start_with(|command| command.env("SRVD_DATABASE_URL", &url));
    let bundles = daemon.call("bundle.list", json!({})).await["bundles"].clone();
    assert_eq!(bundles.as_array().unwrap().len(), 2, "{bundles}");
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_does_not_begin_anew_when_its_database_is_gone() {
    let daemon = Home::new().start();
    add_key(&daemon, "Work", None).await;
    let (_, home) = daemon.stop();
    let (database, aside) = (home.dir("data/srvd.db"), home.dir("data/aside"));
    std::fs::rename(&database, &aside).unwrap();
    failed(&home.run(&["--migrate-only"]), 78, "is missing; none was created in its place");
    assert!(!database.exists());
    // The database of another data directory is not taken for it.
    let other = Home::new();
    assert!(other.run(&["--migrate-only"]).status.success());
    std::fs::copy(other.dir("data/srvd.db"), &database).unwrap();
    failed(&home.run(&["--migrate-only"]), 78, "another database is in its place");
    std::fs::remove_file(&database).unwrap();
    // Without the record, the logins show that there was a database.
    let record = home.dir("data/database.json");
    let kept = std::fs::read(&record).unwrap();
    std::fs::remove_file(&record).unwrap();
    crate::support::private_directory(&home.dir("data/identities/b1"));
    failed(&home.run(&["--migrate-only"]), 78, "there are logins of one in");
    assert!(!database.exists());
    std::fs::rename(&aside, &database).unwrap();
    assert!(home.run(&["--migrate-only"]).status.success());
    assert_eq!(std::fs::read(&record).unwrap(), kept);
}

/// The files are exchanged while the daemon runs. The identity of the open file decides, so no step depends on time.
#[tokio::test(flavor = "multi_thread")]
async fn write_fails_with_its_reason_when_the_database_was_replaced_under_the_daemon() {
    let daemon = Home::new().start();
    add_key(&daemon, "Work", None).await;
    let (database, aside) = (daemon.home.dir("data/srvd.db"), daemon.home.dir("data/aside"));
    std::fs::rename(&database, &aside).unwrap();
    for replaced in [false, true] {
        if replaced {
            std::fs::copy(&aside, &database).unwrap();
        }
        let error = daemon.error("bundle.create", json!({"name": "New"})).await;
        assert_eq!(error.kind(), Some("store_unavailable"), "{error:?}");
        assert_eq!(error.data.unwrap()["reason"], "replaced");
    }
    std::fs::rename(&aside, &database).unwrap();
    daemon.call("bundle.create", json!({"name": "New"})).await;
    let (status, home) = daemon.stop();
    assert!(status.success());
    let daemon = home.start();
    let bundles = daemon.call("bundle.list", json!({})).await["bundles"].clone();
    assert_eq!(bundles.as_array().unwrap().len(), 3, "{bundles}");
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_command_reports_a_broken_chain_without_being_asked() {
    let daemon = Home::new().start();
    add_key(&daemon, "Work", None).await;
    let (_, home) = daemon.stop();
    assert!(home.run(&["audit"]).status.success());
    assert!(patch(&home.dir("data/srvd.db"), "api_key.save", "api_key.Save") >= 1);
    let broken = home.run(&["audit"]);
    failed(&broken, 1, "the audit log is broken at row ");
    assert!(text(&broken.stdout).contains("api_key.Save"), "{broken:?}");
}

/// The content of a backup is changed, and its checksum is computed anew, which needs no key.
#[tokio::test(flavor = "multi_thread")]
async fn restore_refuses_an_altered_backup_with_a_matching_checksum() {
    use blake2::{Blake2b256, Digest as _};

    let daemon = Home::new().start();
    let (good, evil) = ("https://good.example/v1", "https://evil.example/v1");
    let saved = add_key(&daemon, "Work", Some(good)).await;
    let file = daemon.home.dir("good.backup");
    assert!(daemon.home.run(&["backup", file.to_str().unwrap()]).status.success());
    let (_, home) = daemon.stop();
    let altered = home.dir("altered.backup");
    std::fs::copy(&file, &altered).unwrap();
    assert!(patch(&altered, good, evil) >= 1);
    let bytes = std::fs::read(&altered).unwrap();
    let line = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    let mut manifest: Value = serde_json::from_slice(&bytes[line + 1..]).unwrap();
    let digest = Blake2b256::digest(&bytes[..line]);
    manifest["blake2b"] = json!(digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")));
    let write = |manifest: &Value| {
        std::fs::write(&altered, [&bytes[..line], format!("\n{manifest}\n").as_bytes()].concat()).unwrap();
    };
    let restore =
        |flags: &[&str]| home.run(&[&["restore", "--force", altered.to_str().unwrap()], flags].concat());
    write(&manifest);
    failed(&restore(&[]), 74, "cannot prove that it was made with your encryption key");
    // As a backup of 0.1, it needs the user's word, and its altered row is still not used.
    manifest["srvdBackup"] = json!(1);
    manifest.as_object_mut().unwrap().remove("code");
    write(&manifest);
    failed(&restore(&[]), 74, "add --unauthenticated");
    let restored = restore(&["--unauthenticated"]);
    assert!(restored.status.success(), "{restored:?}");
    assert!(text(&restored.stderr).contains("a program that could change the file"), "{restored:?}");
    let daemon = home.start();
    let error = daemon.error("launch.resolve", json!({"bundleId": saved["bundleId"]})).await;
    assert_eq!(error.kind(), Some("secret_unavailable"), "{error:?}");
}

/// A database that srvd 0.1 made, with the key of the tests and two accounts.
const OLDER: &[u8] = include_bytes!("../fixtures/schema-5.db");

fn with_older_database() -> Home {
    let home = Home::new();
    crate::support::private_file(&home.dir("data/srvd.db"), OLDER);
    home
}

/// Returns the copies that were made before an upgrade.
fn copies(home: &Home) -> Vec<std::path::PathBuf> {
    let mut files = crate::support::files_below(&home.dir("data"));
    files.retain(|file| file.to_str().unwrap().contains(".before-upgrade-of-schema-5-"));
    files
}

async fn assert_keys(daemon: &Daemon) {
    let listed = daemon.call("bundle.list", json!({})).await["bundles"].clone();
    let mut names = Vec::new();
    for bundle in listed.as_array().unwrap().iter().filter(|bundle| bundle["isBlank"] == false) {
        let launch = daemon.call("launch.resolve", json!({"bundleId": bundle["id"]})).await;
        assert_eq!(launch["set"]["OPENAI_API_KEY"], SECRET, "{launch}");
        names.push(bundle["name"].as_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["Home", "Work"]);
    assert_eq!(daemon.call("account.list", json!({})).await["corrupt"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn database_of_an_older_version_is_copied_and_authenticated_at_the_first_start() {
    use std::os::unix::fs::PermissionsExt as _;

    let daemon = with_older_database().start();
    assert_keys(&daemon).await;
    let (_, home) = daemon.stop();
    let [copy] = &copies(&home)[..] else { panic!("{:?}", copies(&home)) };
    assert_eq!(std::fs::metadata(copy).unwrap().permissions().mode() & 0o777, 0o600);
    let record: Value =
        serde_json::from_slice(&std::fs::read(home.dir("data/database.json")).unwrap()).unwrap();
    assert_eq!(record["authenticated"], true, "{record}");

    // The copy is the database of before, and it is refused in the place of the new one.
    std::fs::rename(home.dir("data/srvd.db"), home.dir("data/new")).unwrap();
    std::fs::copy(copy, home.dir("data/srvd.db")).unwrap();
    failed(&home.run(&["--migrate-only"]), 74, "its schema is from before the authentication");
    std::fs::rename(home.dir("data/new"), home.dir("data/srvd.db")).unwrap();
    let daemon = home.start();
    assert_keys(&daemon).await;
    assert_eq!(copies(&daemon.home).len(), 1);
}

/// The moments of the kills are spread over a whole run; each of them must hold.
#[tokio::test(flavor = "multi_thread")]
async fn upgrade_is_finished_by_the_next_start_when_it_was_killed() {
    let kills: u32 = std::env::vars()
        .find(|(name, _)| name == "SRVD_TEST_KILLS")
        .map_or(5, |(_, count)| count.parse().unwrap());
    let begun = std::time::Instant::now();
    assert!(with_older_database().run(&["--migrate-only"]).status.success());
    let whole = begun.elapsed();
    for number in 1..=kills {
        let home = with_older_database();
        let mut command = home.command(&["--migrate-only"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * number / (kills + 1));
        child.kill().unwrap();
        child.wait().unwrap();
        let daemon = home.start();
        assert_keys(&daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_of_an_older_version_is_restored_only_when_the_user_says_so() {
    use blake2::{Blake2b256, Digest as _};

    let home = Home::new();
    let file = home.dir("older.backup");
    let digest = Blake2b256::digest(OLDER);
    let manifest = json!({
        "srvdBackup": 1, "createdAt": 1, "schema": 5, "keyIds": ["2123075d05b70b49"], "bytes": OLDER.len(),
        "blake2b": digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")),
    });
    std::fs::write(&file, [OLDER, format!("\n{manifest}\n").as_bytes()].concat()).unwrap();
    let file = file.to_str().unwrap();
    failed(&home.run(&["restore", file]), 74, "add --unauthenticated");
    assert!(!home.dir("data/srvd.db").exists());
    let restored = home.run(&["restore", "--unauthenticated", file]);
    assert!(restored.status.success(), "{restored:?}");
    let daemon = home.start();
    assert_keys(&daemon).await;
}
