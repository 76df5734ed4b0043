//! Homes and data directories that are moved, linked or restored, and logins that are made again in place.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use identity_store::{BundleId, LoginCredential, OwnLogin};
use serde_json::{Value, json};

use crate::logins::log_in;
use crate::support::fake::{self, HAPPY};
use crate::support::program::Program;
use crate::support::{Daemon, Home, PATIENCE, planted, private_directory, unrooted_store};

const LOGIN: &str = r#"{"access": "x", "refresh": "y", "email": "ann@fake.test", "id": "person-1"}"#;

fn put_login(dir: &Path) {
    private_directory(dir);
    std::fs::write(dir.join("credentials.json"), LOGIN).unwrap();
}

/// Returns the only account of the fake provider.
async fn account(daemon: &Daemon) -> Value {
    let mut all = daemon.call("account.list", json!({"providerId": "fake"})).await;
    let accounts = all["accounts"].as_array_mut().unwrap();
    assert_eq!(accounts.len(), 1, "{accounts:?}");
    let id = accounts[0]["id"].clone();
    daemon.call("account.refreshstatus", json!({"accountId": id})).await
}

/// Returns the directory that a launch of the bundle names.
async fn launched(daemon: &Daemon, bundle: &str) -> Value {
    let launch = daemon.call("launch.resolve", json!({"bundleId": bundle})).await;
    launch["set"].get("FAKE_HOME").cloned().unwrap_or_default()
}

/// Starts a daemon with other directories. The clients of the test go on using the usual runtime directory.
fn start_at(home: Home, data: &Path, user: &Path) -> Daemon {
    home.start_with(|command: &mut Command| command.env("SRVD_DATA_DIR", data).env("HOME", user))
}

#[tokio::test(flavor = "multi_thread")]
async fn login_works_after_the_data_directory_was_renamed_or_linked() {
    let daemon = fake::home(HAPPY).start();
    let done = log_in(&daemon, json!({})).await;
    let bundle = done["bundleId"].as_str().unwrap().to_owned();
    let before = account(&daemon).await;
    let mut home = daemon.stop().1;
    let (old, renamed, link) = (home.dir("data"), home.dir("elsewhere/data"), home.dir("link"));
    private_directory(renamed.parent().unwrap());
    std::fs::rename(&old, &renamed).unwrap();
    symlink(&renamed, &link).unwrap();
    // The link as the data directory leads to the same directories as its target.
    for (data, real) in [(&renamed, &renamed), (&link, &renamed)] {
        let user = home.dir("home");
        let daemon = start_at(home, data, &user);
        let found = account(&daemon).await;
        let dir = real.canonicalize().unwrap().join("identities").join(&bundle).join("fake");
        assert_eq!((&found["id"], &found["status"]), (&before["id"], &json!("valid")), "{found}");
        let named: PathBuf = found["secretRef"]["dir"].as_str().unwrap().into();
        assert_eq!(named.canonicalize().unwrap(), dir);
        let launched: PathBuf = launched(&daemon, &bundle).await.as_str().unwrap().into();
        assert_eq!(launched.canonicalize().unwrap(), dir);
        // Status and login agree.
        let again = json!({"providerId": "fake", "intoBundleId": bundle});
        let again = daemon.call("auth.start", again).await;
        assert_eq!(again["status"], "pending", "a login that is there is renewed: {again}");
        daemon.call("auth.cancel", json!({"sessionId": again["sessionId"]})).await;
        home = daemon.stop().1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_login_stays_adopted_when_the_home_is_linked_or_renamed() {
    let home = fake::home(HAPPY);
    put_login(&home.dir("home/.fake"));
    let daemon = home.start();
    let before = account(&daemon).await;
    assert_eq!(before["secretRef"]["adopted"], true);
    let mut home = daemon.stop().1;
    let (data, user, link) = (home.dir("data"), home.dir("home"), home.dir("homelink"));
    symlink("home", &link).unwrap();
    let renamed = home.dir("renamed");
    for (place, rename) in [(&link, false), (&renamed, true)] {
        if rename {
            std::fs::rename(&user, &renamed).unwrap();
        }
        let daemon = start_at(home, &data, place);
        let found = account(&daemon).await;
        assert_eq!((&found["id"], &found["status"]), (&before["id"], &json!("valid")), "{found}");
        assert_eq!(found["secretRef"]["dir"], json!(place.join(".fake")));
        // The user's own CLI is reached without its variable, as the user reaches it.
        assert_eq!(launched(&daemon, "default").await, Value::Null);
        home = daemon.stop().1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn references_of_an_earlier_version_are_found_again() {
    let home = fake::home(HAPPY);
    let bundle: BundleId = "work".parse().unwrap();
    put_login(&home.dir("data/identities/work/fake"));
    put_login(&home.dir("home/.fake"));
    let store = unrooted_store(&home).await;
    // Both were stored when the home had another path.
    let dir = LoginCredential::Directory("/old/home/.local/share/srvd/identities/work/fake".into());
    store.save_login(planted::row(&bundle, "fake", dir)).await.unwrap();
    store.close().await;
    let daemon = home.start();
    let found = account(&daemon).await;
    assert_eq!(found["status"], "valid", "{found}");
    let dir = daemon.home.dir("data/identities/work/fake");
    assert_eq!(launched(&daemon, "work").await, json!(dir));

    let home = fake::home(HAPPY);
    put_login(&home.dir("home/.fake"));
    let store = unrooted_store(&home).await;
    let own = OwnLogin {
        provider: "fake".parse().unwrap(),
        provider_name: "Fake".to_owned(),
        dir: "/srvd-no-such-home/ann/.fake".into(),
        email: None,
        subject: None,
        expires_at: None,
        login_deadline_at: None,
    };
    store.adopt_logins(vec![own], 1).await.unwrap();
    store.close().await;
    let daemon = home.start();
    let found = account(&daemon).await;
    assert_eq!(found["status"], "valid", "{found}");
    assert_eq!(found["secretRef"]["dir"], json!(daemon.home.dir("home/.fake")));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_directory_is_logged_in_again_in_place() {
    let daemon = fake::home(HAPPY).start();
    let done = log_in(&daemon, json!({})).await;
    let bundle = done["bundleId"].as_str().unwrap().to_owned();
    let dir = daemon.home.dir("data/identities").join(&bundle);
    std::fs::remove_dir_all(&dir).unwrap();
    let lost = account(&daemon).await;
    assert_eq!((&lost["status"], &lost["id"]), (&json!("needs_reauth"), &done["accountId"]), "{lost}");
    assert_eq!(lost["nextStep"]["command"], format!("srvd login fake --bundle {bundle}"));
    let again = log_in(&daemon, json!({"intoBundleId": bundle})).await;
    assert_eq!(again["accountId"], done["accountId"], "{again}");
    assert_eq!(account(&daemon).await["status"], "valid");
    assert!(dir.join("fake/credentials.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn directory_outside_the_root_is_replaced_by_the_bundles_own_at_the_next_login() {
    let home = fake::home(HAPPY);
    let store = unrooted_store(&home).await;
    let outside = LoginCredential::Directory(home.dir("outside"));
    let saved = store.save_login(planted::row(&"work".parse().unwrap(), "fake", outside)).await.unwrap();
    store.close().await;
    let daemon = home.start();
    let done = log_in(&daemon, json!({"intoBundleId": "work"})).await;
    assert_eq!(done["accountId"], saved.account.as_str(), "{done}");
    assert_eq!(launched(&daemon, "work").await, json!(daemon.home.dir("data/identities/work/fake")));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_launch_agree_when_a_link_leads_to_the_directory() {
    let daemon = fake::home(HAPPY).start();
    let done = log_in(&daemon, json!({})).await;
    let bundle = done["bundleId"].as_str().unwrap().to_owned();
    let dir = daemon.home.dir("data/identities").join(&bundle).join("fake");
    let aside = daemon.home.dir("aside");
    std::fs::rename(&dir, &aside).unwrap();
    symlink(&aside, &dir).unwrap();
    let found = account(&daemon).await;
    let reason = "its directory is not one that srvd made, or a link leads to it";
    assert_eq!((&found["status"], &found["statusReason"]), (&json!("invalid"), &json!(reason)));
    let (_, data) = daemon.refused("launch.resolve", json!({"bundleId": bundle})).await;
    assert_eq!(data["kind"], "ambient_directory");
    std::fs::remove_file(&dir).unwrap();
    std::fs::rename(&aside, &dir).unwrap();
    assert_eq!(account(&daemon).await["status"], "valid");
    launched(&daemon, &bundle).await;
}

/// A CLI that puts a link to another login in the place of its directory.
const REPLACING: &str = r#"#!/bin/sh
case "$1" in --version) echo "fakecli 1.2.3"; exit 0;; esac
echo "Open https://login.fake.test/authorize?state=st4te&redirect_uri=https%3A%2F%2Flogin.fake.test%2Fcallback"
printf 'Paste code here > '
read -r answer
rm -rf "$FAKE_HOME"
ln -s "$HOME/stranger" "$FAKE_HOME"
echo "Logged in."
"#;

#[tokio::test(flavor = "multi_thread")]
async fn login_fails_when_its_cli_puts_a_link_in_the_place_of_its_directory() {
    let daemon = fake::home(HAPPY).start();
    let stranger = daemon.home.dir("home/stranger");
    put_login(&stranger);
    let done = log_in(&daemon, json!({})).await;
    let bundle = done["bundleId"].as_str().unwrap().to_owned();
    let program = daemon.home.dir("bin/fakecli");
    std::fs::remove_file(&program).unwrap();
    std::fs::write(&program, REPLACING).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // A login in a new bundle, and one that renews the login of an existing one.
    for params in [json!({}), json!({"intoBundleId": bundle, "force": true})] {
        let failed = log_in(&daemon, params).await;
        assert_eq!(
            (&failed["status"], &failed["errorKind"]),
            (&json!("failed"), &json!("ambient_directory")),
            "{failed}"
        );
        let found = account(&daemon).await;
        assert_eq!((&found["id"], &found["status"]), (&done["accountId"], &json!("valid")), "{found}");
        assert_eq!(std::fs::read_to_string(stranger.join("credentials.json")).unwrap(), LOGIN);
    }
    let dir = daemon.home.dir("data/identities").join(&bundle).join("fake");
    assert_eq!(launched(&daemon, &bundle).await, json!(dir));
    assert!(!dir.is_symlink() && dir.join("credentials.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn own_login_that_ended_is_renewed_in_the_users_own_directory() {
    let home = fake::home(HAPPY);
    let own = home.dir("home/own fake");
    put_login(&own);
    let daemon = home.start_with(|command| command.env("FAKE_HOME", &own));
    let before = account(&daemon).await;
    assert_eq!(before["secretRef"]["adopted"], true);
    std::fs::remove_file(own.join("credentials.json")).unwrap();
    let ended = account(&daemon).await;
    assert_eq!(ended["nextStep"]["command"], "srvd login fake --bundle default", "{ended}");

    // A client that cannot run a program is told the command.
    let again = json!({"providerId": "fake", "intoBundleId": "default"});
    let error = daemon.error("auth.start", again).await;
    let data = error.data.unwrap();
    let hint = format!("log in there with: FAKE_HOME='{}' fakecli login", own.display());
    assert_eq!((&data["kind"], &data["hint"]), (&json!("ambient_directory"), &json!(hint)));

    // The fake CLI needs its script. The variable of a launch does not lead it elsewhere.
    let mut command = daemon.home.command(&["login", "fake", "--bundle", "default"]);
    command.env("FAKE_SCRIPT", daemon.home.dir("script"));
    command.env("FAKE_HOME", daemon.home.dir("data/identities/other/fake"));
    let mut program = Program::start(command);
    program.notes("This account is the login of your own CLI, in ").await;
    program.says("Paste code here >").await;
    program.types("code").await;
    let done = program.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("srvd runs there: fakecli login"), "{done:?}");
    assert!(done.stdout.contains("Logged in to fake as ann@fake.test"), "{done:?}");
    let after = account(&daemon).await;
    assert_eq!((&after["id"], &after["status"]), (&before["id"], &json!("valid")));
}

#[tokio::test(flavor = "multi_thread")]
async fn own_login_of_another_person_is_accepted_with_replace_person_only() {
    let home = fake::home(HAPPY);
    let own = home.dir("home/.fake");
    put_login(&own);
    let daemon = home.start();
    let before = account(&daemon).await;
    std::fs::write(own.join("credentials.json"), LOGIN.replace("ann@", "bob@").replace("-1", "-2")).unwrap();
    let another = account(&daemon).await;
    assert_eq!(another["status"], "invalid");
    assert_eq!(another["nextStep"]["command"], "srvd login fake --bundle default --replace-person");
    let (_, data) = daemon.refused("launch.resolve", json!({"bundleId": "default"})).await;
    assert_eq!(data["kind"], "identity_mismatch");
    let done = daemon.home.run(&["login", "fake", "--bundle", "default", "--replace-person"]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "Logged in to fake as bob@fake.test\n");
    let after = account(&daemon).await;
    assert_eq!((&after["id"], &after["status"]), (&before["id"], &json!("valid")), "{after}");
    assert_eq!(after["secretRef"]["adopted"], true);
    daemon.call("launch.resolve", json!({"bundleId": "default"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn own_login_made_by_its_cli_is_noticed_without_a_request() {
    let home = fake::home(HAPPY);
    let own = home.dir("home/.fake");
    put_login(&own);
    let daemon = home.start();
    let id = account(&daemon).await["id"].clone();
    let becomes = async |status: &str| {
        let follow = async {
            while daemon.call("account.get", json!({"accountId": id})).await["status"] != status {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, follow).await.unwrap_or_else(|_| panic!("never {status}"));
    };
    std::fs::remove_dir_all(&own).unwrap();
    becomes("needs_reauth").await;
    put_login(&own);
    becomes("valid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_backup_names_the_command_for_each_login() {
    let daemon = fake::home(HAPPY).start();
    let done = log_in(&daemon, json!({"bundleName": "Work"})).await;
    let add = json!({
        "providerId": "openai", "intoBundleId": done["bundleId"], "apiKey": "sk-proj-planted-secret-0123456789",
        "accountName": "Key", "validate": false
    });
    assert_eq!(daemon.call("auth.submitapikey", add).await["success"], true);
    let file = daemon.home.dir("one.backup");
    let made = daemon.home.run(&["backup", file.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");

    let empty = fake::home(HAPPY);
    let restored = empty.run(&["restore", file.to_str().unwrap()]);
    let notes = String::from_utf8(restored.stderr).unwrap();
    assert!(restored.status.success() && notes.contains("  srvd login fake --bundle Work\n"), "{notes}");
    let daemon = empty.start();
    let lost = account(&daemon).await;
    assert_eq!((&lost["status"], &lost["id"]), (&json!("needs_reauth"), &done["accountId"]), "{lost}");
    // What is in the backup works at once.
    let key = json!({"bundleId": done["bundleId"], "providerId": "openai"});
    let launch = daemon.call("launch.resolve", key).await;
    assert_eq!(launch["set"]["OPENAI_API_KEY"], "sk-proj-planted-secret-0123456789");
    let again = log_in(&daemon, json!({"intoBundleId": done["bundleId"]})).await;
    assert_eq!(again["accountId"], done["accountId"], "{again}");
    assert_eq!(account(&daemon).await["status"], "valid");
}
