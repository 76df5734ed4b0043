//! Files, directories and programs that another user could change: they are not used, and the message says what helps.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::json;

use crate::support::fake::{self, HAPPY};
use crate::support::{Daemon, Home, private_directory};

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn fifo(path: &Path) {
    private_directory(path.parent().unwrap());
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn daemon_refuses_configuration_and_directories_that_others_can_change() {
    let check = |change: &dyn Fn(&Home), culprit: &str, wanted: u32| {
        let home =
            Home::new().config("srvd.toml", "[log]\nfilter = \"info\"\n").config("providers.d/a.toml", "");
        // The command creates no database.
        assert_eq!(told(&home.run(&["serve", "--migrate-only"])).0, Some(0), "{culprit}");
        change(&home);
        let (code, said) = told(&home.run(&["migrate", "--dry-run"]));
        let place = home.dir(culprit).canonicalize().unwrap();
        let place = place.display();
        assert_eq!(code, Some(78), "{culprit}: {said}");
        assert!(said.contains(&format!("{place} has mode {wanted:04o}")), "{culprit}: {said}");
        assert!(said.contains(&format!("chmod go-w {place}")), "{culprit}: {said}");
        assert!(said.contains(&place.to_string()), "{culprit}: {said}");
        // Both ways that the message names lead on.
        let variable =
            home.command(&["migrate", "--dry-run"]).env("SRVD_TRUSTED_PATHS", home.dir(culprit)).output();
        assert_eq!(told(&variable.unwrap()).0, Some(0), "{culprit}");
        assert!(
            std::process::Command::new("chmod")
                .arg("go-w")
                .arg(home.dir(culprit))
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(told(&home.run(&["migrate", "--dry-run"])).0, Some(0), "{culprit}");
    };
    check(&|home| mode(&home.dir("config/srvd.toml"), 0o666), "config/srvd.toml", 0o666);
    check(&|home| mode(&home.dir("config"), 0o777), "config", 0o777);
    check(&|home| mode(&home.dir("config/providers.d"), 0o757), "config/providers.d", 0o757);
    check(&|home| mode(&home.dir("config/providers.d/a.toml"), 0o646), "config/providers.d/a.toml", 0o646);
    // A user who can rename the data directory can put another one in its place.
    check(&|home| mode(&home.dir(""), 0o777), "", 0o777);
}

#[test]
fn daemon_refuses_configuration_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can give a file away.
    }
    let home = Home::new().config("srvd.toml", "");
    std::os::unix::fs::chown(home.dir("config/srvd.toml"), Some(12_345), None).unwrap();
    let (code, said) = told(&home.run(&["serve", "--migrate-only"]));
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("belongs to uid 12345") && said.contains("chown"), "{said}");
}

#[test]
fn command_refuses_a_fifo_at_once_wherever_it_reads_a_file() {
    let check = |place: &str, args: &[&str], expect: i32| {
        let home = Home::new();
        let path = home.dir(place);
        fifo(&path);
        let path = path.display().to_string();
        let args: Vec<&str> = args.iter().map(|arg| if *arg == "{}" { &*path } else { *arg }).collect();
        let (code, said) = told(&home.run(&args));
        assert_eq!(code, Some(expect), "{place}: {said}");
        assert!(said.contains("FIFO"), "{place}: {said}");
    };
    check("config/srvd.toml", &["serve", "--migrate-only"], 78);
    check("config/providers.d/a.toml", &["serve"], 78);
    check("backup", &["restore", "{}"], 74);
    check("export", &["import", "{}", "--passphrase-stdin"], 74);
}

#[test]
fn lock_and_socket_are_never_taken_from_another_file() {
    let home = Home::new();
    std::fs::write(home.dir("precious"), "kept").unwrap();
    std::os::unix::fs::symlink(home.dir("precious"), home.dir("data/srvd.lock")).unwrap();
    let (code, said) = told(&home.run(&["serve", "--migrate-only"]));
    assert_eq!(code, Some(73), "{said}");
    assert!(said.contains("srvd.lock is a symbolic link"), "{said}");
    assert_eq!(std::fs::read_to_string(home.dir("precious")).unwrap(), "kept");
    std::fs::remove_file(home.dir("data/srvd.lock")).unwrap();

    private_directory(&home.dir("run"));
    std::fs::write(home.dir("run/srvd.sock"), "kept").unwrap();
    let (code, said) = told(&home.run(&["serve"]));
    assert_eq!(code, Some(73), "{said}");
    assert!(said.contains("srvd.sock is not a socket"), "{said}");
    assert_eq!(std::fs::read_to_string(home.dir("run/srvd.sock")).unwrap(), "kept");
}

/// A program that another user could have put there would log in, and get the credentials, as the user.
#[tokio::test(flavor = "multi_thread")]
async fn login_does_not_run_a_program_that_others_can_change() {
    for culprit in ["bin", "bin/fakecli"] {
        let home = fake::home(HAPPY);
        mode(&home.dir(culprit), 0o777);
        let place = home.dir(culprit).canonicalize().unwrap().display().to_string();
        let daemon = home.start();
        let error = daemon.error("auth.start", json!({"providerId": "fake"})).await;
        let hint = error.data.unwrap()["hint"].as_str().unwrap().to_owned();
        assert!(
            error.message.contains("fakecli is not used") && error.message.contains("has mode 0777"),
            "{}",
            error.message
        );
        assert!(hint.contains(&format!("chmod go-w {place}")), "{hint}");
        assert!(hint.contains(&format!("\"{place}\" to trusted_paths in srvd.toml")), "{hint}");
        assert_eq!(
            daemon.call("provider.list", json!({"providerId": "fake"})).await["providers"][0]["cli"]["found"],
            false
        );
        let checkup = daemon.home.run(&["doctor", "--json"]);
        let findings = String::from_utf8_lossy(&checkup.stdout).into_owned();
        assert!(findings.contains("cli.skipped") && findings.contains(&place), "{findings}");
        let (_, home) = daemon.stop();
        let accepting = format!("trusted_paths = [\"{place}\"]\n");
        let daemon = home.config("srvd.toml", &accepting).start();
        started(&daemon).await;
    }
}

async fn started(daemon: &Daemon) {
    let session = daemon.call("auth.start", json!({"providerId": "fake"})).await;
    let session = session["sessionId"].as_str().unwrap();
    daemon.session(session, |session| session["prompt"] == true).await;
}

/// Kubernetes and Docker mount a key for others to read, and as a link.
#[test]
fn key_is_read_from_the_credentials_directory_whatever_its_mode() {
    let home = Home::new();
    std::fs::rename(home.dir("config/encryption.key"), home.dir("oauth_encryption_key")).unwrap();
    mode(&home.dir("oauth_encryption_key"), 0o444);
    let with = |name: &str, value: &Path| {
        let mut command = home.command(&["serve", "--migrate-only"]);
        told(&command.env(name, value).output().unwrap())
    };
    let file = home.dir("oauth_encryption_key");
    let linked = home.dir("key");
    std::os::unix::fs::symlink("..data/key", &linked).unwrap();
    private_directory(&home.dir("..version"));
    std::os::unix::fs::symlink("..version", home.dir("..data")).unwrap();
    std::fs::copy(&file, home.dir("..version/key")).unwrap();
    mode(&home.dir("..version/key"), 0o600);
    assert_eq!(with("CREDENTIALS_DIRECTORY", &home.dir("")).0, Some(0));
    assert_eq!(with("OAUTH_ENCRYPTION_KEY_FILE", &linked).0, Some(0));
    mode(&home.dir("..version/key"), 0o646);
    let (code, said) = with("OAUTH_ENCRYPTION_KEY_FILE", &linked);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("mode 0646") && said.contains("CREDENTIALS_DIRECTORY"), "{said}");
    assert_eq!(said.matches("mode 0646").count(), 1, "the reason is told once: {said}");
}
