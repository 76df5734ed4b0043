//! The user's own logins, taken over at the start of the daemon.

use serde_json::{Value, json};

use crate::fake;
use crate::support::{Daemon, Home, PATIENCE, event};

const LOGIN: &str =
    r#"{"access": "planted-access", "refresh": "planted-refresh", "email": "ada@x", "id": "1"}"#;

/// A home whose owner has logged in with the fake CLI.
fn home() -> Home {
    let home = fake::home(fake::HAPPY);
    std::fs::DirBuilder::new().recursive(true).create(home.dir("home/.fake/sessions")).unwrap();
    std::fs::write(home.dir("home/.fake/credentials.json"), LOGIN).unwrap();
    home
}

async fn accounts(daemon: &Daemon) -> Vec<Value> {
    let listed = daemon.call("account.list", json!({})).await;
    listed["accounts"].as_array().unwrap().clone()
}

fn own_file(home: &Home) -> String {
    std::fs::read_to_string(home.dir("home/.fake/credentials.json")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_own_login_launches_without_a_new_one() {
    let daemon = home().start();
    let found = accounts(&daemon).await;
    let dir = daemon.home.dir("home/.fake");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["secretRef"], json!({"backend": "config_dir", "dir": dir, "adopted": true}));
    assert_eq!((&found[0]["email"], &found[0]["status"]), (&json!("ada@x"), &json!("valid")));
    assert_eq!(found[0]["boundTo"], json!(["default"]), "{}", found[0]);

    // The CLI finds its own directory by itself, so nothing names it, and nothing is left that could name another.
    let launch = daemon.call("launch.resolve", json!({"bundleId": "default"})).await;
    assert_eq!(launch["set"], json!({"FAKE_SCRIPT": daemon.home.dir("script")}));
    let unset = launch["unset"].as_array().unwrap();
    assert!(unset.contains(&json!("FAKE_HOME")) && unset.contains(&json!("FAKE_API_KEY")), "{unset:?}");
    assert!(!daemon.log().contains("planted-"));

    let (status, home) = daemon.stop();
    assert!(status.success());
    let daemon = home.start();
    assert_eq!(accounts(&daemon).await, found);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_account_leaves_the_users_directory_alone_and_is_remembered() {
    let daemon = home().start();
    let account = accounts(&daemon).await[0]["id"].clone();
    let gone = daemon.call("account.delete", json!({"accountId": account})).await;
    assert_eq!(gone["cleanup"][0]["outcome"], "not_ours", "{gone}");
    assert_eq!(own_file(&daemon.home), LOGIN);
    let daemon = daemon.stop().1.start();
    assert_eq!(accounts(&daemon).await, Vec::<Value>::new());
    assert!(daemon.log().contains("tombstoned=1"), "{}", daemon.log());

    // The same by way of the bundle.
    let daemon = home().start();
    let gone = daemon.call("bundle.delete", json!({"bundleId": "default"})).await;
    assert_eq!(own_file(&daemon.home), LOGIN, "{gone}");
    assert!(daemon.home.dir("home/.fake/sessions").is_dir());
    let daemon = daemon.stop().1.start();
    assert_eq!(accounts(&daemon).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_it_would_do_and_does_it() {
    let home = home();
    let said = |args: &[&str]| {
        let output = home.command(args).env("SRVD_LOG", "warn").output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let line = |text: &str| text.lines().find(|line| line.starts_with("fake")).unwrap().to_owned();
    for _ in 0..2 {
        let (code, out, errors) = said(&["migrate", "--dry-run"]);
        assert_eq!(code, Some(0), "{errors}");
        assert!(line(&out).contains("would be taken over"), "{out}");
        assert!(errors.contains("1 of ") && errors.contains("would be"), "{errors}");
    }
    let (code, out, errors) = said(&["migrate"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(line(&out).contains("taken over") && !out.contains("would"), "{out}");
    let (code, out, errors) = said(&["migrate"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(line(&out).contains("left alone"), "{out}");
    let daemon = home.start();
    assert_eq!(accounts(&daemon).await.len(), 1);
    let running = daemon.home.run(&["migrate", "--dry-run"]);
    assert_eq!(running.status.code(), Some(75));
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_only_migrates_the_schema_and_nothing_else() {
    let home = home();
    assert!(home.run(&["--migrate-only"]).status.success());
    let output = home.run(&["migrate", "--dry-run"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("would be taken over"));
}

/// The user keeps one file for several places; the CLI writes through the link.
#[tokio::test(flavor = "multi_thread")]
async fn own_login_behind_a_link_is_taken_over_and_its_changes_are_followed() {
    let home = home();
    let (link, shared) = (home.dir("home/.fake/credentials.json"), home.dir("home/shared"));
    std::fs::create_dir(&shared).unwrap();
    let target = shared.join("login.json");
    std::fs::rename(&link, &target).unwrap();
    std::os::unix::fs::symlink("../shared/login.json", &link).unwrap();
    let daemon = home.start();
    let account = accounts(&daemon).await[0]["id"].as_str().unwrap().to_owned();
    let topic = format!("identityaccounts:changed:{account}");
    let mut events = daemon.client().await.subscribe([topic.clone()]).await.unwrap();
    // The first look sets the watch, and an answer on demand has looked.
    let looked = daemon.call("account.refreshstatus", json!({"accountId": account})).await;
    assert_eq!(looked["status"], "valid");
    let mut becomes = async |status: &str| {
        let follow = async {
            loop {
                event(&mut events, &topic).await;
                let found = daemon.call("account.get", json!({"accountId": account})).await;
                if found["status"] == status {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, follow).await.unwrap_or_else(|_| panic!("never {status}"))
    };
    let replace = |text: &str| {
        std::fs::write(shared.join("fresh"), text).unwrap();
        std::fs::rename(shared.join("fresh"), &target).unwrap();
    };
    replace("{}");
    let found = becomes("needs_reauth").await;
    let reason = format!(
        "credentials.json (a link to {}) holds no login: there is no text at /access",
        target.display()
    );
    assert_eq!(found["statusReason"], reason);
    // Through the link, as CLIs write.
    std::fs::write(&link, LOGIN).unwrap();
    becomes("valid").await;
    std::fs::remove_file(&target).unwrap();
    let found = becomes("needs_reauth").await;
    assert_eq!(
        found["statusReason"],
        "credentials.json is a symbolic link, and there is no file where it leads"
    );
    replace(LOGIN);
    becomes("valid").await;
    // Elsewhere, and what happens there counts from then on.
    let other = daemon.home.dir("home/other.json");
    std::fs::write(&other, LOGIN.replace("ada@x", "eve@x")).unwrap();
    std::os::unix::fs::symlink(&other, link.with_extension("fresh")).unwrap();
    std::fs::rename(link.with_extension("fresh"), &link).unwrap();
    becomes("invalid").await;
    std::fs::write(&other, LOGIN).unwrap();
    becomes("valid").await;
    assert!(link.is_symlink());
}
