//! Tests of pairing: a code at the terminal becomes a token with its own scopes, over real sockets.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::program::Program;
use crate::support::{Daemon, Home};

const ORIGIN: &str = "http://localhost:3000";
const LISTEN: &str = "[listen]\norigins = [\"http://localhost:3000\"]\n";

/// Sends one request, and returns the status, the head in lower case and the body.
pub(crate) fn send(
    address: &str,
    request: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut text = format!("{request} HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    if !body.is_empty() {
        write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()).unwrap();
    }
    stream.write_all(format!("{text}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), serde_json::from_str(body).unwrap_or_default())
}

/// Exchanges a code, as a page of `origin` or as a program.
fn exchange(address: &str, code: &str, origin: Option<&str>) -> (u16, Value) {
    let body = json!({"code": code, "name": "my window"}).to_string();
    let origin: Vec<(&str, &str)> = origin.iter().map(|origin| ("Origin", *origin)).collect();
    let (status, _, body) = send(address, "POST /pair", &origin, &body);
    (status, body)
}

/// Calls a method with a token. Returns the result, or the error.
fn call(address: &str, token: &str, method: &str, params: &Value) -> Result<Value, Value> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let bearer = format!("Bearer {token}");
    let (status, _, mut body) = send(address, "POST /rpc", &[("Authorization", &bearer)], &body);
    match status {
        200 if body["error"].is_object() => Err(body["error"].take()),
        200 => Ok(body["result"].take()),
        _ => Err(json!(status)),
    }
}

/// Pairs a client with these scopes, and returns its token.
pub(crate) async fn paired(daemon: &Daemon, scopes: &str, origin: Option<&'static str>) -> String {
    let address = daemon.tcp().0;
    let started = daemon.call("pair.start", json!({"scopes": scopes})).await;
    let (id, code) = (started["pairingId"].clone(), started["code"].as_str().unwrap().to_owned());
    let exchanged = tokio::task::spawn_blocking(move || exchange(&address, &code, origin));
    let asked = daemon.call("pair.poll", json!({"pairingId": id, "waitMs": 30_000})).await;
    assert_eq!((&asked["status"], &asked["name"]), (&json!("asked"), &json!("my window")));
    assert_eq!(asked.get("origin").and_then(Value::as_str), origin);
    assert_eq!(daemon.call("pair.answer", json!({"pairingId": id, "accept": true})).await["success"], true);
    let (status, body) = exchanged.await.unwrap();
    assert_eq!(status, 200, "{body}");
    body["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn paired_token_reaches_only_its_scopes_and_outlives_a_restart_until_it_is_revoked() {
    let daemon = Home::new().config("srvd.toml", LISTEN).start();
    let login = paired(&daemon, "login", Some(ORIGIN)).await;
    let launch = paired(&daemon, "launch", None).await;
    let address = daemon.tcp().0;
    let bundle = daemon.call("bundle.create", json!({"name": "work"})).await["id"].clone();
    let resolve = json!({"bundleId": bundle, "allowEmpty": true});
    assert!(call(&address, &login, "bundle.list", &json!({})).is_ok());
    assert!(call(&address, &login, "auth.list", &json!({})).is_ok());
    assert!(call(&address, &launch, "launch.resolve", &resolve).is_ok());
    for (token, method, needed) in [
        (&login, "launch.resolve", "launch"),
        (&login, "bundle.delete", "admin"),
        (&login, "pair.start", "owner"),
        (&login, "tokens.list", "admin"),
        (&launch, "auth.list", "login"),
        (&launch, "bundle.create", "admin"),
    ] {
        let error = call(&address, token, method, &resolve).unwrap_err();
        assert_eq!((&error["code"], &error["data"]["scope"]), (&json!(1015), &json!(needed)), "{method}");
    }
    let tokens = daemon.call("tokens.list", json!({})).await["tokens"].take();
    assert_eq!(tokens[0]["scopes"], json!(["read", "login"]));
    assert_eq!((&tokens[0]["origin"], &tokens[1].get("origin")), (&json!(ORIGIN), &None));
    assert!(!tokens.to_string().contains(&login[5..]), "a token is shown");

    let (_, home) = daemon.stop();
    let daemon = home.start();
    let address = daemon.tcp().0;
    assert!(call(&address, &login, "bundle.list", &json!({})).is_ok());
    let listed = daemon.home.run(&["tokens"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("my window") && listed.contains("read, login"), "{listed}");
    let revoked = daemon.home.run(&["tokens", "revoke", tokens[0]["id"].as_str().unwrap()]);
    assert!(revoked.status.success(), "{revoked:?}");
    assert_eq!(call(&address, &login, "bundle.list", &json!({})), Err(json!(401)));
    assert!(call(&address, &launch, "bundle.list", &json!({})).is_ok());
    let audit = daemon.call("audit.list", json!({"action": "token."})).await["rows"].take();
    let actions: Vec<&str> =
        audit.as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["token.revoke", "token.create", "token.create"]);
    let log = daemon.log();
    assert!(!log.contains(&login) && !log.contains(&launch), "a token is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_token_loses_its_open_connection() {
    let daemon = Home::new().start();
    let token = paired(&daemon, "read", None).await;
    let id = daemon.call("tokens.list", json!({})).await["tokens"][0]["id"].clone();
    let address = daemon.tcp().0;
    let mut stream = TcpStream::connect(&address).unwrap();
    let request = format!(
        "GET /rpc HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    daemon.call("tokens.revoke", json!({"tokenId": id})).await;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    // A close frame with the code 4003.
    assert_eq!((rest[0], u16::from_be_bytes([rest[2], rest[3]])), (0x88, 4003));
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_codes_end_a_pairing_for_every_client() {
    let daemon = Home::new().start();
    let address = daemon.tcp().0;
    assert_eq!(exchange(&address, "123456", None).1["kind"], "no_pairing");
    let started = daemon.call("pair.start", json!({})).await;
    let code = started["code"].as_str().unwrap().to_owned();
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let kinds: Vec<Value> = (0..5).map(|_| exchange(&address, wrong, None).1["kind"].take()).collect();
    assert_eq!(kinds, ["wrong_code", "wrong_code", "wrong_code", "wrong_code", "too_many_codes"]);
    let (status, body) = exchange(&address, &code, None);
    assert_eq!((status, &body["kind"]), (410, &json!("no_pairing")));
    let pairing = daemon.call("pair.poll", json!({"pairingId": started["pairingId"]})).await;
    assert_eq!(pairing["status"], "too_many_codes");
    assert_eq!(daemon.call("tokens.list", json!({})).await["tokens"], json!([]));
    let refused = daemon.call("audit.list", json!({"action": "pair.", "outcome": "refused"})).await;
    assert_eq!(refused["rows"].as_array().unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn pairing_checks_the_origin_and_the_host_and_can_allow_one_origin() {
    let daemon = Home::new().start();
    let address = daemon.tcp().0;
    let started = daemon.call("pair.start", json!({"origin": "vscode-webview://*"})).await;
    let code = started["code"].as_str().unwrap().to_owned();
    // A page of another origin, and a page that reaches the daemon under its own name, learn nothing and cost no attempt.
    for _ in 0..10 {
        assert_eq!(exchange(&address, &code, Some("http://evil.test")).0, 403);
    }
    let body = json!({"code": code, "name": "x"}).to_string();
    let mut stream = TcpStream::connect(&address).unwrap();
    let rebound = format!(
        "POST /pair HTTP/1.1\r\nHost: evil.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(rebound.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");

    let webview = "vscode-webview://1f2e";
    let (at, digits) = (address.clone(), code.clone());
    let exchanged = tokio::task::spawn_blocking(move || exchange(&at, &digits, Some(webview)));
    let id = started["pairingId"].clone();
    let asked = daemon.call("pair.poll", json!({"pairingId": id, "waitMs": 30_000})).await;
    assert_eq!(asked["origin"], webview);
    daemon.call("pair.answer", json!({"pairingId": id, "accept": true})).await;
    let token = exchanged.await.unwrap().1["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "srvd.ping"}).to_string();
    let from =
        |origin: &str| send(&address, "POST /rpc", &[("Authorization", &bearer), ("Origin", origin)], &ping);
    let (status, head, _) = from(webview);
    assert!(status == 200 && head.contains("access-control-allow-origin: vscode-webview://1f2e"), "{head}");
    assert_eq!(from("vscode-webview://other").0, 403, "the token is bound to the page that received it");
    assert_eq!(from("http://evil.test").0, 403);
    let bad = daemon.error("pair.start", json!({"origin": "null"})).await;
    assert_eq!(bad.code, 1005);
    assert_eq!(daemon.error("pair.start", json!({"scopes": "owner"})).await.code, 1005);
}

#[tokio::test(flavor = "multi_thread")]
async fn pair_command_asks_who_it_is_and_gives_no_token_when_the_answer_is_no() {
    let daemon = Home::new().start();
    let address = daemon.tcp().0;
    for accepts in [true, false] {
        let args: &[&str] = if accepts { &["pair", "--yes"] } else { &["pair"] };
        let command = Program::start(daemon.home.command(args));
        let text = command.noted("will be asked for").await;
        let code: String = text
            .split("within a minute: ")
            .nth(1)
            .unwrap()
            .chars()
            .filter(char::is_ascii_digit)
            .take(6)
            .collect();
        let at = address.clone();
        let exchanged = tokio::task::spawn_blocking(move || exchange(&at, &code, None));
        let ended = command.end().await;
        let (status, body) = exchanged.await.unwrap();
        if accepts {
            assert_eq!((ended.code, status), (Some(0), 200), "{ended:?}");
            assert!(ended.stdout.contains("Paired: my window (read, login)"), "{ended:?}");
        } else {
            // There is no terminal to ask at, and no answer is not a yes.
            assert_eq!((ended.code, status, &body["kind"]), (Some(64), 403, &json!("denied")), "{ended:?}");
        }
    }
    assert_eq!(daemon.call("tokens.list", json!({})).await["tokens"].as_array().unwrap().len(), 1);
}

#[test]
fn page_of_an_allowed_origin_may_read_responses_and_no_other_page_may() {
    let daemon = Home::new().config("srvd.toml", LISTEN).start();
    let (address, token) = daemon.tcp();
    let bearer = format!("Bearer {token}");
    let asks = [("Origin", ORIGIN), ("Access-Control-Request-Method", "POST")];
    let (status, head, _) = send(&address, "OPTIONS /rpc", &asks, "");
    assert_eq!(status, 204);
    for expect in [
        "access-control-allow-origin: http://localhost:3000",
        "access-control-allow-methods: get, post",
        "access-control-allow-headers: authorization, content-type",
        "vary: origin",
    ] {
        assert!(head.contains(expect), "{expect} in {head}");
    }
    assert!(!head.contains("allow-credentials"), "{head}");
    // The page can read why it is refused.
    let (status, head, _) = send(&address, "GET /openrpc.json", &[("Origin", ORIGIN)], "");
    assert!(status == 401 && head.contains("access-control-allow-origin: http://localhost:3000"), "{head}");
    let from = |origin: &str| {
        send(&address, "GET /openrpc.json", &[("Authorization", &bearer), ("Origin", origin)], "")
    };
    assert_eq!(from(ORIGIN).0, 200);
    for other in ["http://localhost:3001", "https://localhost:3000", "http://evil.test", "null"] {
        let (status, head, _) = from(other);
        assert!(status == 403 && !head.contains("access-control-allow"), "{other}: {head}");
    }
    let (status, head, _) = send(
        &address,
        "OPTIONS /rpc",
        &[("Origin", "http://evil.test"), ("Access-Control-Request-Method", "POST")],
        "",
    );
    assert!(status == 403 && !head.contains("access-control-allow"), "{head}");
}
