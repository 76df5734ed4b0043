//! Renaming, forgetting and revoking of bundles and accounts on the command line.

use serde_json::{Value, json};

use crate::logins::log_in;
use crate::support::fake;
use crate::support::program::Program;
use crate::support::{Daemon, Home};

/// Creates a home whose CLI has a login, and a logout with this script.
fn home(logout: &str) -> Home {
    fake::home(&format!(
        "when --version\nout fakecli 1.2.3\nwhen logout\ndir-var FAKE_HOME\n{logout}\nwhen *\n{}",
        fake::HAPPY
    ))
}

/// Logs in to the bundle `Work` and returns the account's id.
async fn account(daemon: &Daemon) -> String {
    let done = log_in(daemon, json!({"recipe": "pipe", "bundleName": "Work"})).await;
    done["accountId"].as_str().unwrap().to_owned()
}

/// Runs a command that cannot ask the user a question.
async fn run(daemon: &Daemon, args: &[&str]) -> (Option<i32>, String, String) {
    let ended = Program::start(daemon.home.command(args)).end().await;
    (ended.code, ended.stdout, ended.stderr)
}

async fn accounts(daemon: &Daemon) -> Vec<Value> {
    daemon.call("account.list", json!({})).await["accounts"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_is_created_renamed_and_deleted() {
    let daemon = fake::home(fake::HAPPY).start();
    let (code, out, _) = run(&daemon, &["bundle", "create", "Box", "--description", "for later"]).await;
    assert!(code == Some(0) && out.starts_with("Created the bundle \"Box\" ("), "{out}");
    account(&daemon).await;
    let bundle = daemon.call("account.list", json!({})).await["accounts"][0]["boundTo"][0].clone();
    let dir = daemon.home.dir("data/identities").join(bundle.as_str().unwrap()).join("fake");
    std::fs::create_dir(dir.join("sessions")).unwrap();
    std::fs::write(dir.join("sessions/one"), "said").unwrap();

    let (code, _, errors) = run(&daemon, &["bundle", "rename", "work", "box"]).await;
    assert!(code == Some(1) && errors.starts_with("srvd: "), "{errors}");
    let renamed = run(&daemon, &["bundle", "rename", "work", "Home"]).await;
    assert_eq!(renamed, (Some(0), "Renamed the bundle \"Work\" to \"Home\"\n".to_owned(), String::new()));

    let (code, out, errors) = run(&daemon, &["bundle", "delete", "home"]).await;
    assert_eq!((code, out.as_str()), (Some(64), ""));
    let asked = "hint: Delete the bundle \"Home\" with fake ann@fake.test?  To confirm, add --yes\n";
    assert!(errors.ends_with(asked), "{errors}");
    assert_eq!(accounts(&daemon).await.len(), 1);

    let deleted = run(&daemon, &["bundle", "delete", "home", "--yes"]).await;
    let said = format!(
        "Deleted the bundle \"Home\" with 1 account\n  removed the login from {} and kept the conversations there\n",
        dir.display()
    );
    assert_eq!(deleted, (Some(0), said, String::new()));
    assert!(dir.join("sessions/one").exists() && !dir.join("credentials.json").exists());
    let (code, _, errors) = run(&daemon, &["bundle", "delete", "home", "--yes"]).await;
    assert!(code == Some(1) && errors.contains("no bundle has the id or the name \"home\""), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn account_is_forgotten_without_a_logout_at_the_provider() {
    let daemon = home("touch logged-out").start();
    let id = account(&daemon).await;
    let (code, _, errors) = run(&daemon, &["account", "forget", &id]).await;
    assert!(
        code == Some(64) && errors.contains("It stays valid at the provider.  To confirm, add --yes"),
        "{errors}"
    );
    let (code, out, _) = run(&daemon, &["account", "forget", "ann@fake.test", "--yes"]).await;
    assert_eq!(code, Some(0));
    assert!(
        out.starts_with("Forgot fake ann@fake.test; it stays valid at the provider\n  removed "),
        "{out}"
    );
    assert_eq!(accounts(&daemon).await, Vec::<Value>::new());
    assert!(!daemon.home.dir("logged-out").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn account_is_revoked_by_the_logout_of_its_cli() {
    let daemon = home("dump-env environment\nremove credentials.json").start();
    let id = account(&daemon).await;
    let (code, _, errors) = run(&daemon, &["account", "revoke", &id]).await;
    assert!(code == Some(64) && errors.contains("ends everywhere it is used"), "{errors}");
    assert!(!daemon.home.dir("environment").exists());

    let (code, out, errors) = run(&daemon, &["account", "revoke", &id, "--yes"]).await;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let said = "Logged out fake ann@fake.test with its CLI; srvd does not know whether that CLI tells the provider\n";
    assert!(out.starts_with(said), "{out}");
    assert_eq!(accounts(&daemon).await, Vec::<Value>::new());
    let environment = std::fs::read_to_string(daemon.home.dir("environment")).unwrap();
    let names: Vec<&str> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(
        names,
        ["DBUS_SESSION_BUS_ADDRESS", "FAKE_HOME", "FAKE_SCRIPT", "HOME", "PATH", "SRVD_SESSION", "TERM"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn account_stays_when_its_logout_fails() {
    for (logout, outcome, code) in [
        ("exit 3", "cli_failed", json!(3)),
        ("remove credentials.json\nexit 3", "cli_failed", json!(3)),
        ("out Logged out", "still_logged_in", Value::Null),
        ("write credentials.json {", "unknown", Value::Null),
    ] {
        let daemon = home(logout).start();
        let id = account(&daemon).await;
        let done = daemon.call("account.revoke", json!({"accountId": id})).await;
        assert_eq!(
            (&done["revoked"], &done["outcome"], &done["exitCode"], &done["cleanup"]),
            (&json!(false), &json!(outcome), &code, &json!([])),
            "{logout}"
        );
        assert_eq!(accounts(&daemon).await[0]["id"], id.as_str(), "{logout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoke_is_refused_when_no_cli_can_log_the_account_out() {
    let daemon = home("touch ran").start();
    let id = account(&daemon).await;
    let bundle = accounts(&daemon).await[0]["boundTo"][0].clone();
    let file =
        daemon.home.dir("data/identities").join(bundle.as_str().unwrap()).join("fake/credentials.json");
    let login = std::fs::read(&file).unwrap();
    let revoke = json!({"accountId": id});
    std::fs::remove_file(&file).unwrap();
    assert_eq!(daemon.refused("account.revoke", revoke.clone()).await.0, 1006);
    std::fs::write(&file, "{").unwrap();
    assert_eq!(daemon.refused("account.revoke", revoke.clone()).await.0, 1011);
    std::fs::write(&file, login).unwrap();

    let again = json!({"providerId": "fake", "intoBundleId": bundle, "force": true});
    let session = daemon.call("auth.start", again).await["sessionId"].clone();
    let (code, data) = daemon.refused("account.revoke", revoke).await;
    assert_eq!((code, &data["sessionId"]), (1002, &session));
    daemon.call("auth.cancel", json!({"sessionId": session})).await;
    assert!(!daemon.home.dir("ran").exists());

    let add = json!({
        "providerId": "openai", "intoBundleId": bundle, "apiKey": "sk-proj-planted-secret-0123456789",
        "accountName": "Key", "validate": false
    });
    let key = daemon.call("auth.submitapikey", add).await["accountId"].clone();
    let (code, _, errors) = run(&daemon, &["account", "revoke", key.as_str().unwrap(), "--yes"]).await;
    assert_eq!(code, Some(1));
    assert!(errors.contains("this is an API key; revoke it at the provider"), "{errors}");
    assert!(errors.contains(&format!("srvd account forget {}", key.as_str().unwrap())), "{errors}");
    assert_eq!(accounts(&daemon).await.len(), 2);
}
