//! Logins with gh versions that are not on this machine, simulated by a script: the place of the token, and the host.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Daemon, Home};

/// A script that acts as gh does. If a file `keyring` is beside it, the token goes there, unless an option
/// says to use gh's own file. Its arguments and its environment are written to files beside it.
const GH: &str = r#"#!/bin/sh
beside=$(dirname "$0")
if [ "$1" = --version ]; then
    echo "gh version $(cat "$beside/version") (2024-11-14)"
    exit 0
fi
echo "$*" >>"$beside/args"
env >"$beside/env"
host= insecure=no
while [ $# -gt 0 ]; do
    case "$1" in
    login | logout) verb=$1 ;;
    --hostname) host=$2; shift ;;
    --insecure-storage) insecure=yes ;;
    esac
    shift
done
file=$GH_CONFIG_DIR/hosts.yml
if [ "$verb" = logout ]; then
    rm "$file"
    exit 0
fi
if [ "$insecure" = yes ] && grep -q '^2\.2[0-5]\.' "$beside/version"; then
    echo "unknown flag: --insecure-storage" >&2
    exit 1
fi
shown=$(cat "$beside/shown" 2>/dev/null || echo "$host")
echo "! First copy your one-time code: ABCD-1234" >&2
echo "Open this URL to continue in your web browser: https://$shown/login/device" >&2
while [ -e "$beside/wait" ]; do sleep 0.05; done
mkdir -p "$GH_CONFIG_DIR"
umask 077
printf '%s:\n    git_protocol: https\n    users:\n        octo:\n    user: octo\n' "$host" >"$file"
if [ -e "$beside/keyring" ] && [ "$insecure" = no ]; then
    :
else
    printf '    oauth_token: gho_planted_token\n' >>"$file"
fi
echo "✓ Authentication complete." >&2
echo "✓ Logged in as octo" >&2
"#;

/// A home whose gh is of this version.
pub(crate) fn home(version: &str) -> Home {
    let home = Home::new();
    let bin = home.dir("bin");
    crate::support::private_directory(&bin);
    std::fs::write(bin.join("gh"), GH).unwrap();
    std::fs::set_permissions(bin.join("gh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(bin.join("version"), version).unwrap();
    home.search(bin)
}

fn read(daemon: &Daemon, name: &str) -> String {
    std::fs::read_to_string(daemon.home.dir("bin").join(name)).unwrap()
}

async fn start(daemon: &Daemon, params: Value) -> String {
    let mut all = json!({"providerId": "gh"});
    all.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
    daemon.call("auth.start", all).await["sessionId"].as_str().unwrap().to_owned()
}

async fn log_in(daemon: &Daemon, params: Value) -> Value {
    let session = start(daemon, params).await;
    daemon.ended(&session).await
}

async fn account(daemon: &Daemon, done: &Value) -> Value {
    assert_eq!(done["status"], "success", "{done}");
    daemon.call("account.get", json!({"accountId": done["accountId"]})).await
}

fn hosts(account: &Value) -> String {
    let dir = Path::new(account["secretRef"]["dir"].as_str().unwrap());
    std::fs::read_to_string(dir.join("hosts.yml")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_stored_in_the_home_when_gh_knows_the_flag() {
    for version in ["2.26.0", "2.62.0", "3.0.1"] {
        let daemon = home(version).start();
        std::fs::write(daemon.home.dir("bin/keyring"), "").unwrap();
        let done = log_in(&daemon, json!({})).await;
        let account = account(&daemon, &done).await;
        assert!(hosts(&account).contains("oauth_token: gho_planted_token"), "{version}");
        let expected = "auth login --hostname github.com --git-protocol https --web --insecure-storage\n";
        assert_eq!(read(&daemon, "args"), expected, "{version}");
        assert!(read(&daemon, "env").contains("DBUS_SESSION_BUS_ADDRESS=disabled:\n"), "{version}");
        assert_eq!((&account["subject"], account.get("baseUrl")), (&json!("octo"), None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn login_says_that_the_token_is_in_the_keyring_when_gh_is_older() {
    let daemon = home("2.25.1").start();
    let done = log_in(&daemon, json!({})).await;
    account(&daemon, &done).await;
    assert_eq!(read(&daemon, "args"), "auth login --hostname github.com --git-protocol https --web\n");

    std::fs::write(daemon.home.dir("bin/keyring"), "").unwrap();
    let failed = log_in(&daemon, json!({})).await;
    assert_eq!((&failed["status"], &failed["errorKind"]), (&json!("failed"), &json!("not_authenticated")));
    assert_eq!(failed["error"], "gh stored the token in your keyring, where srvd does not look", "{failed}");
    assert_eq!(failed["hint"], "log in again with srvd and gh 2.26 or newer");
    // The earlier login is unchanged.
    let accounts = daemon.call("account.list", json!({})).await;
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 1, "{accounts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn account_says_that_the_token_is_in_the_keyring_when_it_moves_there_later() {
    let daemon = home("2.62.0").start();
    let done = log_in(&daemon, json!({})).await;
    let account = account(&daemon, &done).await;
    let dir = Path::new(account["secretRef"]["dir"].as_str().unwrap()).to_owned();
    std::fs::write(dir.join("hosts.yml"), "github.com:\n    users:\n        octo:\n    user: octo\n")
        .unwrap();
    let found = daemon.call("account.refreshstatus", json!({"accountId": account["id"]})).await;
    assert_eq!(found["status"], "unknown", "{found}");
    let reason = found["statusReason"].as_str().unwrap();
    assert!(reason.starts_with("gh stored the token in your keyring"), "{reason}");
    let error = daemon.error("launch.resolve", json!({"bundleId": done["bundleId"]})).await;
    assert!(error.message.contains("in your keyring"), "{}", error.message);
}

const GHES: &str = "ghe.corp.example";

#[tokio::test(flavor = "multi_thread")]
async fn login_uses_chosen_host() {
    let daemon = home("2.62.0").start();
    std::fs::write(daemon.home.dir("bin/wait"), "").unwrap();
    let session = start(&daemon, json!({"host": "GHE.corp.example"})).await;
    let shown = daemon.session(&session, |session| !session["verificationUrl"].is_null()).await;
    let url = format!("https://{GHES}/login/device");
    assert_eq!((&shown["verificationUrl"], &shown["openable"]), (&json!(url), &json!(true)), "{shown}");
    std::fs::remove_file(daemon.home.dir("bin/wait")).unwrap();
    let done = daemon.ended(&session).await;
    let account = account(&daemon, &done).await;
    assert_eq!(account["baseUrl"], format!("https://{GHES}"), "{account}");
    assert_eq!(account["name"], format!("GitHub at {GHES} (octo)"), "{account}");
    assert!(read(&daemon, "args").contains(&format!("--hostname {GHES} ")), "{}", read(&daemon, "args"));

    let bundle = json!({"bundleId": done["bundleId"]});
    let launch = daemon.call("launch.resolve", bundle.clone()).await;
    assert_eq!(launch["set"]["GH_HOST"], GHES, "{launch}");
    assert_eq!(launch["set"]["GH_CONFIG_DIR"], account["secretRef"]["dir"], "{launch}");
    assert!(!launch["unset"].as_array().unwrap().contains(&json!("GH_HOST")), "{launch}");
    let found = daemon.call("account.refreshstatus", json!({"accountId": account["id"]})).await;
    assert_eq!((&found["status"], &found["evidence"]), (&json!("valid"), &json!("file")), "{found}");

    // The next login of the bundle uses the same host, also with a restarted daemon.
    let daemon = daemon.stop().1.start();
    let again = json!({"intoBundleId": done["bundleId"], "force": true});
    let renewed = log_in(&daemon, again).await;
    assert_eq!((&renewed["status"], &renewed["accountId"]), (&json!("success"), &account["id"]), "{renewed}");
    assert_eq!(read(&daemon, "args").matches(GHES).count(), 2);
    assert_eq!(daemon.call("launch.resolve", bundle).await["set"]["GH_HOST"], GHES);

    let gone = daemon.call("account.revoke", json!({"accountId": account["id"]})).await;
    assert_eq!(gone["revoked"], true, "{gone}");
    assert!(read(&daemon, "args").ends_with(&format!("auth logout --hostname {GHES}\n")));
    let env = read(&daemon, "env");
    assert!(
        env.contains(&format!("GH_HOST={GHES}\n")) && env.contains("DBUS_SESSION_BUS_ADDRESS=disabled:\n"),
        "{env}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn address_is_not_openable_when_its_host_was_not_chosen() {
    let daemon = home("2.62.0").start();
    std::fs::write(daemon.home.dir("bin/wait"), "").unwrap();
    // github.com is as untrusted as any other host when a different host was chosen.
    for (host, shown) in [(GHES, "github.com"), (GHES, "ghe.corp.example.evil.example"), ("github.com", GHES)]
    {
        std::fs::write(daemon.home.dir("bin/shown"), shown).unwrap();
        let id = start(&daemon, json!({"host": host})).await;
        let session = daemon.session(&id, |session| !session["verificationUrl"].is_null()).await;
        assert_eq!(session["openable"], false, "{host}: {session}");
        daemon.call("auth.cancel", json!({"sessionId": id})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn host_is_refused_when_invalid_unsupported_or_not_the_bundles_host() {
    let daemon = home("2.62.0").start();
    for host in ["--with-token", "ghe.example:8443", "https://ghe.example", "a/b", "10.0.0.1", " "] {
        let (code, data) = daemon.refused("auth.start", json!({"providerId": "github", "host": host})).await;
        assert_eq!((code, &data["field"]), (1005, &json!("host")), "{host:?}: {data}");
    }
    let (code, data) = daemon.refused("auth.start", json!({"providerId": "codex", "host": GHES})).await;
    assert_eq!((code, &data["field"]), (1005, &json!("host")), "{data}");
    assert!(!daemon.home.dir("bin/args").exists());

    // A bundle has one account of a provider, and its files would hold both hosts.
    let done = log_in(&daemon, json!({"host": "github.com"})).await;
    let account = account(&daemon, &done).await;
    assert_eq!(account.get("baseUrl"), None);
    let other =
        json!({"providerId": "github", "intoBundleId": done["bundleId"], "host": GHES, "force": true});
    let (code, data) = daemon.refused("auth.start", other).await;
    assert_eq!((code, &data["what"], &data["host"]), (1002, &json!("host"), &json!("github.com")), "{data}");
    assert!(data["hint"].as_str().unwrap().contains(account["id"].as_str().unwrap()), "{data}");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_command_uses_host_option() {
    let daemon = home("2.62.0").start();
    let output = daemon.home.run(&["login", "github", "--host", GHES, "--bundle", "ent", "--new"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && text.contains("Logged in to GitHub as octo in bundle \"ent\""),
        "{text}{errors}"
    );
    assert!(errors.contains(&format!("https://{GHES}/login/device")), "{errors}");
}
