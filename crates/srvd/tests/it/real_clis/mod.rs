//! The providers' own CLIs, driven by the daemon: whole logins where the vendor can be a stand-in on loopback, and up to
//! the browser where it cannot. Nothing leaves this machine: every other address goes to a proxy that is not there.

mod amp;
mod cancelled;
mod claude;
mod codex;
mod files;
mod github;
mod kimi;
mod launched;

use std::fs::File;
use std::path::PathBuf;

use serde_json::{Value, json};
use url::Url;

use crate::support::{Daemon, Home, clis, files_below, left_over, standing_in};

const OFFLINE: &str = "\
[spawn.environment]
ALL_PROXY = \"http://127.0.0.1:9\"
HTTP_PROXY = \"http://127.0.0.1:9\"
HTTPS_PROXY = \"http://127.0.0.1:9\"
NO_PROXY = \"127.0.0.1,localhost\"
";

/// The shipped entry of a provider.
fn shipped(provider: &str) -> toml::Value {
    let path = format!("{}/../../config/providers/{provider}.toml", env!("CARGO_MANIFEST_DIR"));
    let file: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    file["providers"][provider].clone()
}

impl Home {
    /// A home from which no CLI reaches a vendor.
    fn offline() -> Self {
        Self::new().config("srvd.toml", OFFLINE)
    }
}

/// A home with the CLIs from npm.
fn home() -> Home {
    Home::offline().search(clis())
}

/// The shipped recipes of a provider.
fn recipes(provider: &str) -> toml::Value {
    shipped(provider)["cli"]["recipes"].clone()
}

/// Changes a provider's CLI as an operator would.
fn overlay<const N: usize>(home: Home, provider: &str, changes: [(&str, toml::Value); N]) -> Home {
    let cli = toml::Table::from_iter(changes.map(|(name, value)| (name.to_owned(), value)));
    let entry = json!({"providers": {provider: {"cli": cli}}});
    home.config("providers.d/standin.toml", &toml::to_string(&entry).unwrap())
}

async fn start(daemon: &Daemon, params: Value) -> String {
    let started = daemon.call("auth.start", params).await;
    assert_eq!((&started["status"], &started["authUrl"]), (&json!("pending"), &Value::Null), "{started}");
    started["sessionId"].as_str().unwrap().to_owned()
}

/// Asserts that a login has left nothing: no account, no bundle, no file of the CLI, no process.
async fn nothing_is_left(daemon: &Daemon, session: &str) {
    assert_eq!(daemon.call("account.list", json!({})).await, json!({"accounts": [], "corrupt": []}));
    assert_eq!(daemon.call("bundle.list", json!({})).await["bundles"].as_array().unwrap().len(), 1);
    assert_eq!(files_below(&daemon.home.dir("data/identities")), Vec::<PathBuf>::new());
    assert_eq!(files_below(&daemon.home.dir("home")), Vec::<PathBuf>::new());
    assert_eq!(left_over(session), Vec::<u32>::new());
    assert_eq!(standing_in(&daemon.home.dir("data/identities")), Vec::<u32>::new());
}

/// Asserts that a login is stored, bound and announced, in the bundle's own directory, which is returned.
async fn is_stored(daemon: &Daemon, done: &Value, provider: &str, email: &Value) -> PathBuf {
    assert_eq!((&done["status"], &done["email"]), (&json!("success"), email), "{done}");
    let bundle = done["bundleId"].as_str().unwrap();
    let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
    let entry = shipped(provider);
    let name = entry["cli"]["config-dir"]["name"].as_str().unwrap();
    let dir = daemon.home.dir("data/identities").join(bundle).join(name);
    assert_eq!(account["secretRef"], json!({"backend": "config_dir", "dir": dir}));
    assert_eq!(account.get("email").cloned().unwrap_or_default(), *email);
    assert_eq!((&account["subject"], &account["status"]), (&json!("acct-standin-1"), &json!("valid")));
    let bound = json!([{"providerId": provider, "accountId": done["accountId"], "status": "valid"}]);
    assert_eq!(daemon.call("bundle.get", json!({"bundleId": bundle})).await["bindings"], bound);
    assert_eq!(files_below(&daemon.home.dir("home")), Vec::<PathBuf>::new());
    dir
}

/// Every file below the test's root with such a name.
fn named(home: &Home, is_meant: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut files = files_below(&home.dir(""));
    files.retain(|path| is_meant(path.file_name().unwrap().to_str().unwrap()));
    files
}

/// A fixed port of a CLI belongs to one test at a time, in this process and in every other.
async fn leased(port: u16) -> File {
    let lock = File::create(std::env::temp_dir().join(format!("srvd-it-port-{port}.lock"))).unwrap();
    let locked = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
    locked.await.unwrap().unwrap()
}

fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

async fn paste(daemon: &Daemon, session: &str, text: String) -> Value {
    daemon.call("auth.submitcallback", json!({"sessionId": session, "callbackUrl": text})).await
}

/// On a busy machine a CLI can take longer than a daemon waits for its version, which then lists it without; another
/// daemon asks anew.
#[tokio::test(flavor = "multi_thread")]
async fn they_are_found_with_their_versions_and_leave_the_home_alone() {
    let mut missing = Vec::new();
    for _ in 0..4 {
        let daemon = home().start();
        let listed = daemon.call("provider.list", json!({})).await;
        missing.clear();
        for (id, binary) in [("codex", "codex"), ("claude", "claude"), ("kimi-code", "kimi")] {
            let provider =
                listed["providers"].as_array().unwrap().iter().find(|known| known["id"] == id).unwrap();
            let cli = &provider["cli"];
            assert_eq!(
                (&cli["found"], &cli["path"]),
                (&json!(true), &json!(clis().join(binary))),
                "{provider}"
            );
            match cli["version"].as_str() {
                Some(version) => assert!(installed().contains(&format!("{binary} {version}")), "{provider}"),
                None => missing.push(id),
            }
        }
        assert_eq!(files_below(&daemon.home.dir("home")), Vec::<PathBuf>::new());
        if missing.is_empty() {
            return;
        }
    }
    panic!("no versions of {missing:?}");
}

/// What `scripts/clis.sh` says that it has installed.
fn installed() -> String {
    std::fs::read_to_string(clis().join("../complete")).unwrap()
}
