//! The providers' own CLIs, driven by the daemon. The tests run complete logins with the shipped registry, at the
//! vendors' own names, in a network where these names lead to a stand-in (see `namespace`). Tests that need no vendor
//! run outside of that network, with a proxy that does not exist as the only way to any other address.

mod amp;
mod auggie;
mod checked;
mod claude;
mod cline;
mod codex;
mod copilot;
mod droid;
mod files;
mod frontend;
mod gemini;
mod github;
mod grok;
mod identity;
mod kilo;
mod kimi;
mod launched;
#[cfg(target_os = "linux")]
mod matrix;
mod openclaw;
mod opencode;
mod pastes;
mod pi;
mod qoder;
#[cfg(target_os = "linux")]
mod scene;
mod sealed;
mod seen;
mod shared;
mod users;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};
use url::Url;

use crate::standin::Standin;
use crate::support::{Daemon, Home, PATIENCE, clis, files_below, left_over, standing_in};

const OFFLINE: &str = "\
[spawn.environment]
ALL_PROXY = \"http://127.0.0.1:9\"
HTTP_PROXY = \"http://127.0.0.1:9\"
HTTPS_PROXY = \"http://127.0.0.1:9\"
NO_PROXY = \"127.0.0.1,localhost\"
";

/// Reads the shipped entry of a provider.
fn shipped(provider: &str) -> toml::Value {
    let path = format!("{}/../../config/providers/{provider}.toml", env!("CARGO_MANIFEST_DIR"));
    let file: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    file["providers"][provider].clone()
}

impl Home {
    /// Creates a home from which no CLI reaches a vendor.
    fn offline() -> Self {
        Self::new().config("srvd.toml", OFFLINE)
    }
}

/// Creates an offline home with the CLIs from npm.
fn home() -> Home {
    Home::offline().search(clis())
}

/// Creates a home whose CLIs trust the stand-in. An operator would add a company's certificates in the same way.
fn trusting(vendors: &Standin) -> Home {
    let home = Home::new();
    let authority = home.dir("authority.pem");
    std::fs::write(&authority, vendors.certificate()).unwrap();
    // Programs in JavaScript read the first variable, those in Rust, Go and Python the second.
    let variables = json!({"NODE_EXTRA_CA_CERTS": authority, "SSL_CERT_FILE": authority});
    let config = toml::to_string(&json!({"spawn": {"environment": variables}})).unwrap();
    home.config("srvd.toml", &config)
}

/// Creates a home that trusts the stand-in, with the CLIs from npm.
fn home_at(vendors: &Standin) -> Home {
    trusting(vendors).search(clis())
}

async fn start(daemon: &Daemon, params: Value) -> String {
    let started = daemon.call("auth.start", params).await;
    assert_eq!((&started["status"], &started["authUrl"]), (&json!("pending"), &Value::Null), "{started}");
    started["sessionId"].as_str().unwrap().to_owned()
}

/// Asserts that a login has left no account, no bundle, no file of the CLI and no process.
async fn nothing_is_left(daemon: &Daemon, session: &str) {
    assert_eq!(daemon.call("account.list", json!({})).await, json!({"accounts": [], "corrupt": []}));
    assert_eq!(daemon.call("bundle.list", json!({})).await["bundles"].as_array().unwrap().len(), 1);
    assert_eq!(files_below(&daemon.home.dir("data/identities")), Vec::<PathBuf>::new());
    assert_eq!(files_below(&daemon.home.dir("home")), Vec::<PathBuf>::new());
    assert_eq!(left_over(session), Vec::<u32>::new());
    assert_eq!(standing_in(&daemon.home.dir("data/identities")), Vec::<u32>::new());
}

/// Asserts that a login is stored, bound and announced, in the bundle's own directory. Returns that directory.
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

/// Stops the daemon and asserts that no CLI of these logins outlives it. After a login a CLI may take a moment to end.
fn stop(daemon: Daemon, sessions: &[&str]) -> Home {
    let (_, home) = daemon.stop();
    for session in sessions {
        assert_eq!(left_over(session), Vec::<u32>::new());
    }
    home
}

/// Returns every file below the test's root whose name satisfies the condition.
fn named(home: &Home, is_meant: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut files = files_below(&home.dir(""));
    files.retain(|path| is_meant(path.file_name().unwrap().to_str().unwrap()));
    files
}

/// Waits until a session accepts a paste, and returns the address that it shows.
async fn page(daemon: &Daemon, session: &str) -> Url {
    let shown = daemon.session(session, |session| session["prompt"] == true).await;
    let expected = (json!("url-available"), json!(true));
    assert_eq!((&shown["status"], &shown["openable"]), (&expected.0, &expected.1), "{shown}");
    Url::parse(shown["authUrl"].as_str().unwrap_or_else(|| panic!("no address: {shown}"))).unwrap()
}

/// Opens an address on this machine as the browser does, and returns the page. Amp shows its address a moment before it
/// listens, so a refused connection is retried.
fn browse(address: &Url) -> String {
    let (host, port) = (address.host_str().unwrap(), address.port_or_known_default().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let mut stream = loop {
        match TcpStream::connect((host, port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
        }
        std::thread::yield_now();
    };
    let target = &address[url::Position::BeforePath..];
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Asserts that a paste is refused because it belongs to another attempt, and that the session accepts another one.
async fn refuses(daemon: &Daemon, session: &str, pasted: String) {
    let refused = paste(daemon, session, pasted.clone()).await;
    let expected = (json!(false), json!("invalid_input"));
    assert_eq!(
        (&refused["success"], &refused["errorKind"]),
        (&expected.0, &expected.1),
        "{pasted}: {refused}"
    );
    let now = daemon.call("auth.poll", json!({"sessionId": session})).await;
    assert_eq!((&now["status"], &now["prompt"]), (&json!("url-available"), &json!(true)), "{pasted}: {now}");
}

/// Cancels a login and waits for its end.
async fn cancel(daemon: &Daemon, session: &str) {
    assert_eq!(daemon.call("auth.cancel", json!({"sessionId": session})).await, json!({"success": true}));
    assert_eq!(daemon.ended(session).await["errorKind"], "cancelled");
}

fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

async fn paste(daemon: &Daemon, session: &str, text: String) -> Value {
    daemon.call("auth.submitcallback", json!({"sessionId": session, "callbackUrl": text})).await
}

/// On a busy machine a CLI can take longer than a daemon waits for its version. The daemon then lists the CLI without a
/// version, and another daemon asks again.
#[tokio::test(flavor = "multi_thread")]
async fn clis_are_listed_with_versions_and_write_nothing_to_home() {
    let mut missing = Vec::new();
    let deadline = Instant::now() + PATIENCE * 4;
    while Instant::now() < deadline {
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

/// Returns the list of CLIs that `scripts/clis.sh` has installed.
fn installed() -> String {
    std::fs::read_to_string(clis().join("../complete")).unwrap()
}
