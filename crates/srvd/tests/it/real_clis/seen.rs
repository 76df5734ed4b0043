//! A stored login as the vendor sees it: which credential a launched CLI sends, and that none of the user's is sent.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use super::shipped;
use crate::standin::Standin;
use crate::support::{Daemon, files_below, private_directory};

/// A credential that belongs to no bundle. It stands in variables and in the user's own files.
pub(super) const CANARY: &str = "canary-planted-0123456789";
/// An address to which no credential may go, at one of the vendors' names.
const ELSEWHERE: &str = "https://models.dev";

/// A launch of a CLI, and the traces by which the vendor knows whose it is.
pub(super) struct Launch<'a> {
    pub(super) provider: &'a str,
    pub(super) program: PathBuf,
    pub(super) args: &'a [&'a str],
    /// A request that the CLI makes for a prompt and for nothing else.
    pub(super) request: &'a str,
    /// The vendor's hosts.
    pub(super) hosts: &'a [&'a str],
    /// A file of the user's own, below the home, with another login.
    pub(super) own: (&'a str, Value),
}

/// Asserts that a login is stored in the bundle's own directory, and that nothing is in the user's home. Returns the
/// directory that the CLI's variable names.
pub(super) async fn stored(daemon: &Daemon, done: &Value, provider: &str, person: (Value, Value)) -> PathBuf {
    assert_eq!((&done["status"], &done["email"]), (&json!("success"), &person.0), "{done}");
    let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
    let entry = shipped(provider);
    let name = entry["cli"]["config-dir"]["name"].as_str().unwrap();
    let bundle = done["bundleId"].as_str().unwrap();
    let dir = daemon.home.dir("data/identities").join(bundle).join(name);
    assert_eq!(account["secretRef"], json!({"backend": "config_dir", "dir": dir}));
    let known = (
        account.get("email").cloned().unwrap_or_default(),
        account.get("subject").cloned().unwrap_or_default(),
    );
    assert_eq!(known, person, "{account}");
    assert_eq!(account["status"], "valid");
    assert_eq!(files_below(&daemon.home.dir("home")), Vec::<PathBuf>::new());
    dir
}

/// Starts the CLI with the login of a bundle, while the caller's environment and the user's own files hold another
/// login. Asserts that the vendor sees the bundle's login alone, and that it goes nowhere else.
pub(super) async fn only_the_login_is_sent(
    vendors: &Standin,
    daemon: &Daemon,
    bundle: &str,
    launch: &Launch<'_>,
) {
    let own = daemon.home.dir("home").join(launch.own.0);
    private_directory(own.parent().unwrap());
    std::fs::write(&own, launch.own.1.to_string()).unwrap();
    let work = daemon.home.dir("work");
    private_directory(&work);
    let program = launch.program.to_str().unwrap();
    let mut command =
        daemon.home.command(&["exec", "--bundle", bundle, "--provider", launch.provider, "--", program]);
    command.args(launch.args).current_dir(work);
    // The daemon's own children get these from `spawn.environment`, a launched program from its caller.
    for name in ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"] {
        command.env(name, daemon.home.dir("authority.pem"));
    }
    let cli = &shipped(launch.provider)["cli"];
    let names = ["key-vars", "scrub"].into_iter().filter_map(|list| cli.get(list)?.as_array()).flatten();
    for name in names.filter_map(toml::Value::as_str) {
        let address = name.contains("URL") || name.contains("ENDPOINT");
        command.env(name, if address { ELSEWHERE } else { CANARY });
    }
    // Some CLIs read their input to its end first.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let program = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    vendors.seen(launch.request).await;
    let sent = vendors.bearers(launch.hosts);
    assert!(!sent.is_empty(), "{:?}", vendors.requests());
    for token in &sent {
        assert!(vendors.has_issued(token), "{token} is not the bundle's, among {sent:?}");
    }
    assert_eq!(vendors.bearers(&["models.dev"]), std::collections::BTreeSet::new());
    drop(program);
}

/// Logs an account out by the CLI's own command, and asserts that the file of the login is gone or empty of it.
pub(super) async fn logs_out(daemon: &Daemon, done: &Value, file: PathBuf) {
    assert!(file.is_file(), "{}", file.display());
    let before = std::fs::read_to_string(&file).unwrap();
    let gone = daemon.call("account.revoke", json!({"accountId": done["accountId"]})).await;
    assert_eq!(gone["outcome"], "logged_out", "{gone}");
    assert_ne!(std::fs::read_to_string(&file).unwrap_or_default(), before, "{gone}");
}
