//! Amp: a whole login at the stand-in, whose page sends the browser back to the CLI's own port.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use url::Url;

use super::{home, leased, named, nothing_is_left, overlay, parameter, start};
use crate::standin::Standin;
use crate::support::{Daemon, Home, files_below, left_over};

/// The port on which it listens in every run.
const PORT: u16 = 35789;

fn amp_home(standin: &Standin) -> Home {
    let env = toml::Table::from_iter([("AMP_URL".to_owned(), standin.url().into())]);
    overlay(home(), "amp", [("env", env.into())])
}

/// Starts a login and waits until it takes a paste: the session, and the handle in its address.
async fn amp(daemon: &Daemon, standin: &Standin) -> (String, String) {
    let id = start(daemon, json!({"providerId": "amp"})).await;
    let shown = daemon.session(&id, |session| session["prompt"] == true).await;
    let url = Url::parse(shown["authUrl"].as_str().unwrap()).unwrap();
    assert!(url.as_str().starts_with(&format!("{}/auth/cli-login?", standin.url())), "{url}");
    assert_eq!(shown["openable"], false);
    (id, parameter(&url, "authToken"))
}

/// What the vendor's page makes the browser do.
fn browser_comes_back(handle: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", PORT)).unwrap();
    let target = format!("/auth/callback?accessToken=sgamp_planted-token&authToken={handle}");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn amp_logs_in_by_the_browser() {
    let _port = leased(PORT).await;
    let standin = Standin::start().await;
    let daemon = amp_home(&standin).start();
    let (id, handle) = amp(&daemon, &standin).await;
    let answer = browser_comes_back(&handle);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let done = daemon.ended(&id).await;
    assert_eq!((&done["status"], &done["email"]), (&json!("success"), &Value::Null), "{done}");
    let dir = daemon.home.dir("data/identities").join(done["bundleId"].as_str().unwrap()).join("amp");
    assert_eq!(named(&daemon.home, |name| name == "secrets.json"), [dir.join("amp/secrets.json")]);
    assert_eq!(files_below(&daemon.home.dir("home")), Vec::<std::path::PathBuf>::new());
    assert!(!done.to_string().contains("planted-token") && !daemon.log().contains("planted-token"));
    let (_, _home) = daemon.stop();
    assert_eq!(left_over(&id), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn amp_ends_when_it_is_cancelled() {
    let _port = leased(PORT).await;
    let standin = Standin::start().await;
    let daemon = amp_home(&standin).start();
    let (id, _) = amp(&daemon, &standin).await;
    assert_eq!(daemon.call("auth.cancel", json!({"sessionId": id})).await, json!({"success": true}));
    assert_eq!(daemon.ended(&id).await["errorKind"], "cancelled");
    nothing_is_left(&daemon, &id).await;
}
