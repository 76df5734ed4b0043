//! Launches: the environment in which an agent is started, over the wire and by the command line.

use serde_json::{Value, json};

use crate::logins::log_in;
use crate::support::fake;
use crate::support::{Daemon, Home, credentials};

const KEY: &str = "sk-proj-planted-secret-0123456789abcdefghij";

async fn bundle_with_login(daemon: &Daemon, name: &str) -> String {
    let done = log_in(daemon, json!({"recipe": "pipe", "bundleName": name})).await;
    done["bundleId"].as_str().unwrap().to_owned()
}

async fn add_key(daemon: &Daemon, bundle: &str) {
    let params = json!({
        "providerId": "openai", "intoBundleId": bundle, "apiKey": KEY, "accountName": "Work", "validate": false
    });
    assert_eq!(daemon.call("auth.submitapikey", params).await["success"], true);
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

/// Returns the `NAME=VALUE` lines of a program that prints its environment, with its exit code and its errors.
fn printed(home: &Home, args: &[&str], planted: &[(&str, &str)]) -> (Option<i32>, Vec<String>, String) {
    let mut command = home.command(args);
    let output = command.envs(planted.iter().copied()).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    (output.status.code(), lines, String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_resolves_bundle_to_environment() {
    let daemon = fake::home(fake::HAPPY).start();
    let bundle = bundle_with_login(&daemon, "Work").await;
    add_key(&daemon, &bundle).await;
    let launch = daemon.call("launch.resolve", json!({"bundleId": bundle, "explain": true})).await;
    let dir = daemon.home.dir("data/identities").join(&bundle).join("fake");
    let script = daemon.home.dir("script");
    assert_eq!(credentials(&launch), json!({"FAKE_HOME": dir, "FAKE_SCRIPT": script, "OPENAI_API_KEY": KEY}));
    let unset = names(&launch["unset"]);
    for name in ["FAKE_API_KEY", "FAKE_TOKEN", "ANTHROPIC_API_KEY", "CODEX_API_KEY", "OAUTH_ENCRYPTION_KEY"] {
        assert!(unset.contains(&name), "{name} in {unset:?}");
    }
    let accounts: Vec<(&str, &str)> = launch["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|used| (used["providerId"].as_str().unwrap(), used["source"].as_str().unwrap()))
        .collect();
    assert_eq!(accounts, [("fake", "bundle"), ("openai", "bundle")]);
    assert_eq!(launch["trace"][0]["reason"], "sets FAKE_HOME, FAKE_SCRIPT");

    let dry = daemon.call("launch.resolve", json!({"bundleId": bundle, "dryRun": true})).await;
    assert_eq!((&dry["set"]["OPENAI_API_KEY"], &dry["set"]["FAKE_HOME"]), (&json!(""), &json!(dir)));
    let ready = daemon.call("launch.ready", json!({"bundleId": bundle})).await;
    assert_eq!(ready["ready"], true, "{ready}");
    assert!(!daemon.log().contains(KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_is_refused_with_next_step_when_login_is_gone() {
    let daemon = fake::home(fake::HAPPY).start();
    let bundle = bundle_with_login(&daemon, "Work").await;
    add_key(&daemon, &bundle).await;
    let file = daemon.home.dir("data/identities").join(&bundle).join("fake/credentials.json");
    std::fs::write(&file, "{}").unwrap();
    let error = daemon.error("launch.resolve", json!({"bundleId": bundle})).await;
    assert_eq!(
        (error.code, &*error.message),
        (1007, "fake: credentials.json holds no login: the file has no access token")
    );
    let data = error.data.unwrap();
    assert_eq!(data["hint"], json!(format!("srvd login fake --bundle {bundle}")));
    let reasons: Vec<&Value> =
        data["candidates"].as_array().unwrap().iter().map(|one| &one["reason"]).collect();
    assert_eq!(reasons, ["credentials.json holds no login: the file has no access token", "fit"]);
    let ready = daemon.call("launch.ready", json!({"bundleId": bundle})).await;
    assert_eq!(
        (&ready["ready"], &ready["providers"][0]["nextStep"]["command"]),
        (&json!(false), &data["hint"]),
        "{ready}"
    );
    // Each of the accounts can still be used alone.
    let launch = daemon.call("launch.resolve", json!({"bundleId": bundle, "providerId": "openai"})).await;
    // The login that is not part of the launch is not used.
    let empty = daemon.home.dir("data/identities").join(&bundle).join(".left-out/fake");
    assert_eq!(credentials(&launch), json!({"OPENAI_API_KEY": KEY, "FAKE_HOME": empty}));

    let (code, data) =
        daemon.refused("launch.resolve", json!({"bundleId": bundle, "providerId": "codex"})).await;
    assert_eq!((code, &data["candidates"]), (1006, &json!([])));
    for (params, code) in [(json!({}), 1005), (json!({"bundleId": "nobody"}), 1001)] {
        assert_eq!(daemon.refused("launch.resolve", params).await.0, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_runs_program_with_only_the_bundle_identity() {
    let daemon = fake::home(fake::HAPPY).start();
    let bundle = bundle_with_login(&daemon, "Work").await;
    let planted = [("ANTHROPIC_API_KEY", "stray"), ("FAKE_API_KEY", "stray"), ("KEPT", "yes")];
    let (code, lines, errors) = printed(&daemon.home, &["exec", "--bundle", "work", "--", "env"], &planted);
    assert_eq!(code, Some(0), "{errors}");
    let reasons = errors.lines().map(|line| line.split(':').nth(1).unwrap().trim());
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        ["removed ANTHROPIC_API_KEY", "removed FAKE_API_KEY"],
        "{errors}"
    );
    let quiet = printed(&daemon.home, &["exec", "-q", "--bundle", "work", "--", "env"], &planted);
    assert_eq!((quiet.0, quiet.2.as_str()), (Some(0), ""));
    let dir = daemon.home.dir("data/identities").join(&bundle).join("fake");
    assert!(lines.contains(&format!("FAKE_HOME={}", dir.display())), "{lines:?}");
    assert!(lines.contains(&"KEPT=yes".to_owned()));
    assert!(!lines.iter().any(|line| line.contains("stray")), "{lines:?}");

    // The exit code is the program's, and the file mode mask is the caller's.
    let (code, lines, _) =
        printed(&daemon.home, &["exec", "--bundle", "Work", "--", "sh", "-c", "umask; exit 7"], &[]);
    let own = std::process::Command::new("sh").args(["-c", "umask"]).output().unwrap().stdout;
    assert_eq!((code, lines), (Some(7), vec![String::from_utf8(own).unwrap().trim().to_owned()]));

    // A CLI without a login in the bundle would use the user's own login.
    let (code, lines, errors) = printed(&daemon.home, &["exec", "--bundle", "work", "--", "codex"], &[]);
    assert_eq!((code, lines), (Some(1), vec![]));
    assert!(errors.contains("codex was not started"), "{errors}");
    let (code, _, errors) = printed(&daemon.home, &["exec", "--bundle", "work", "--", "/no/such"], &[]);
    assert_eq!(code, Some(127), "{errors}");
    let (code, _, errors) = printed(&daemon.home, &["exec", "--bundle", "nobody", "--", "env"], &[]);
    assert_eq!(code, Some(1), "{errors}");

    let script = "eval \"$(\"$@\")\"; echo \"$FAKE_HOME-${ANTHROPIC_API_KEY-gone}\"";
    let mut shell = daemon.home.shell(script, &["env", "--bundle", "work"]);
    shell.env("ANTHROPIC_API_KEY", "stray");
    let said = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    assert_eq!(said.trim(), format!("{}-gone", dir.display()));

    let home = daemon.stop().1;
    let (code, lines, errors) = printed(&home, &["exec", "--bundle", "work", "--", "env"], &[]);
    assert_eq!((code, lines), (Some(69), vec![]), "{errors}");
}
