//! The user's own logins, which the daemon takes over at its start.

use serde_json::{Value, json};

use crate::support::fake;
use crate::support::{Daemon, Home, PATIENCE, credentials, event};

const LOGIN: &str =
    r#"{"access": "planted-access", "refresh": "planted-refresh", "email": "ada@x", "id": "1"}"#;

/// Creates a home whose owner has logged in with the fake CLI.
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
async fn own_login_launches_without_new_login() {
    let daemon = home().start();
    let found = accounts(&daemon).await;
    let dir = daemon.home.dir("home/.fake");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["secretRef"], json!({"backend": "config_dir", "dir": dir, "adopted": true}));
    assert_eq!((&found[0]["email"], &found[0]["status"]), (&json!("ada@x"), &json!("valid")));
    assert_eq!(found[0]["boundTo"], json!(["default"]), "{}", found[0]);

    // The CLI finds its own directory without a variable, so none is set, and every variable that could name another
    // directory is unset.
    let launch = daemon.call("launch.resolve", json!({"bundleId": "default"})).await;
    assert_eq!(credentials(&launch), json!({"FAKE_SCRIPT": daemon.home.dir("script")}));
    let unset = launch["unset"].as_array().unwrap();
    assert!(unset.contains(&json!("FAKE_HOME")) && unset.contains(&json!("FAKE_API_KEY")), "{unset:?}");
    assert!(!daemon.log().contains("planted-"));

    let (status, home) = daemon.stop();
    assert!(status.success());
    let daemon = home.start();
    assert_eq!(accounts(&daemon).await, found);
}

#[tokio::test(flavor = "multi_thread")]
async fn account_deletion_keeps_own_directory_and_is_remembered() {
    let daemon = home().start();
    let account = accounts(&daemon).await[0]["id"].clone();
    let gone = daemon.call("account.delete", json!({"accountId": account})).await;
    assert_eq!(gone["cleanup"][0]["outcome"], "not_ours", "{gone}");
    assert_eq!(own_file(&daemon.home), LOGIN);
    let daemon = daemon.stop().1.start();
    assert_eq!(accounts(&daemon).await, Vec::<Value>::new());
    assert!(daemon.log().contains("tombstoned=1"), "{}", daemon.log());

    // Deleting the bundle has the same effect.
    let daemon = home().start();
    let gone = daemon.call("bundle.delete", json!({"bundleId": "default"})).await;
    assert_eq!(own_file(&daemon.home), LOGIN, "{gone}");
    assert!(daemon.home.dir("home/.fake/sessions").is_dir());
    let daemon = daemon.stop().1.start();
    assert_eq!(accounts(&daemon).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_command_reports_and_takes_over_login() {
    let home = home();
    let said = |args: &[&str]| {
        let output = home.command(args).env("SRVD_LOG", "warn").output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let line = |text: &str| text.lines().find(|line| line.starts_with("fake")).unwrap().to_owned();
    let (code, _, errors) = said(&["migrate", "--dry-run"]);
    assert_eq!(code, Some(78), "{errors}");
    assert!(errors.contains("there is no database at") && errors.contains("--migrate-only"), "{errors}");
    assert!(home.run(&["--migrate-only"]).status.success());
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
    assert!(line(&out).contains("skipped"), "{out}");
    let daemon = home.start();
    assert_eq!(accounts(&daemon).await.len(), 1);
    let running = daemon.home.run(&["migrate", "--dry-run"]);
    assert_eq!(running.status.code(), Some(75));
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_only_flag_takes_over_no_login() {
    let home = home();
    assert!(home.run(&["--migrate-only"]).status.success());
    let output = home.run(&["migrate", "--dry-run"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("would be taken over"));
}

/// The user keeps one file for several places, and the CLI writes through the link.
#[tokio::test(flavor = "multi_thread")]
async fn own_login_is_taken_over_and_watched_when_it_is_behind_a_link() {
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
    // The first check sets the watch, and this request makes a check.
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
        "credentials.json (a link to {}) holds no login: the file has no access token",
        target.display()
    );
    assert_eq!(found["statusReason"], reason);
    // The file is written through the link, as CLIs do.
    std::fs::write(&link, LOGIN).unwrap();
    becomes("valid").await;
    std::fs::remove_file(&target).unwrap();
    let found = becomes("needs_reauth").await;
    assert_eq!(found["statusReason"], "credentials.json is a symbolic link to a file that does not exist");
    replace(LOGIN);
    becomes("valid").await;
    // The link now leads to another file, whose changes count from then on.
    let other = daemon.home.dir("home/other.json");
    std::fs::write(&other, LOGIN.replace("ada@x", "eve@x")).unwrap();
    std::os::unix::fs::symlink(&other, link.with_extension("fresh")).unwrap();
    std::fs::rename(link.with_extension("fresh"), &link).unwrap();
    becomes("invalid").await;
    std::fs::write(&other, LOGIN).unwrap();
    becomes("valid").await;
    assert!(link.is_symlink());
}

/// Creates a home in which the fake CLI's directory is in another place. Returns the value of the variable that names
/// it.
fn elsewhere() -> (Home, String) {
    let home = fake::home(fake::HAPPY);
    let dir = home.dir("home/work/fake");
    std::fs::DirBuilder::new().recursive(true).create(&dir).unwrap();
    std::fs::write(dir.join("credentials.json"), LOGIN).unwrap();
    (home, dir.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn directory_is_taken_over_and_launched_when_variable_names_it() {
    let (home, dir) = elsewhere();
    let daemon = home.start_with(|command| command.env("FAKE_HOME", &dir));
    let found = accounts(&daemon).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["secretRef"], json!({"backend": "config_dir", "dir": dir, "adopted": true}));
    assert_eq!((&found[0]["email"], &found[0]["status"]), (&json!("ada@x"), &json!("valid")));

    // A service starts the next daemon, without the variable. The account contains the path of its login.
    let daemon = daemon.stop().1.start();
    let launch = daemon.call("launch.resolve", json!({"bundleId": "default"})).await;
    let set = json!({"FAKE_SCRIPT": daemon.home.dir("script"), "FAKE_HOME": dir});
    assert_eq!(credentials(&launch), set, "{launch}");
    let refreshed = daemon.call("account.refreshstatus", json!({"accountId": found[0]["id"]})).await;
    assert_eq!(refreshed["status"], "valid", "{refreshed}");

    // A stored account does not permit the use of a directory that others can write to.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&dir, open).unwrap();
    let error = daemon.error("launch.resolve", json!({"bundleId": "default"})).await;
    assert_eq!(error.data.unwrap()["kind"], "ambient_directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn variable_is_ignored_when_it_names_no_directory_of_the_user() {
    let home = home();
    assert!(home.run(&["--migrate-only"]).status.success());
    let inside = home.dir("data/identities/b1/fake");
    crate::support::private_directory(&inside);
    std::fs::write(inside.join("credentials.json"), LOGIN.replace("ada@x", "other@x")).unwrap();
    for value in [inside.display().to_string(), "relative".to_owned(), String::new()] {
        let output = home.command(&["migrate", "--dry-run"]).env("FAKE_HOME", &value).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find(|line| line.starts_with("fake")).unwrap();
        let expected = format!("ada@x in {}", home.dir("home/.fake").display());
        assert!(line.contains("would be taken over") && line.ends_with(&expected), "{value:?}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_reports_directory_that_variable_names() {
    let (home, dir) = elsewhere();
    assert!(home.run(&["--migrate-only"]).status.success());
    let line = |dir: &str| {
        let output = home.command(&["migrate", "--dry-run"]).env("FAKE_HOME", dir).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find(|line| line.starts_with("fake")).unwrap().to_owned()
    };
    assert!(line(&dir).ends_with(&format!("ada@x in {dir}")), "{}", line(&dir));
    let empty = home.dir("home/empty");
    std::fs::create_dir(&empty).unwrap();
    let empty = empty.display().to_string();
    assert!(line(&empty).ends_with(&format!("there is no login in {empty}, which FAKE_HOME names")));
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&dir, open).unwrap();
    assert!(line(&dir).ends_with(&format!("run: chmod go-w {dir}")), "{}", line(&dir));
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_reports_login_when_it_is_in_a_keyring() {
    let home = Home::new();
    std::fs::create_dir(home.dir("home/.codex")).unwrap();
    let settings = "cli_auth_credentials_store = \"keyring\"\n";
    std::fs::write(home.dir("home/.codex/config.toml"), settings).unwrap();
    std::fs::DirBuilder::new().recursive(true).create(home.dir("home/.config/gh")).unwrap();
    let hosts = "github.com:\n    users:\n        octo:\n    user: octo\n";
    std::fs::write(home.dir("home/.config/gh/hosts.yml"), hosts).unwrap();
    assert!(home.run(&["--migrate-only"]).status.success());
    let output = home.run(&["migrate", "--dry-run"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |provider: &str| text.lines().find(|line| line.starts_with(provider)).unwrap();
    assert!(line("codex").contains("Codex keeps its login in the keyring"), "{text}");
    assert!(line("github").contains("gh stored the token in your keyring"), "{text}");
    for (provider, word) in [("codex", "not accessible"), ("github", "not accessible"), ("claude", "none")] {
        assert!(line(provider).contains(word), "{text}");
    }
}
