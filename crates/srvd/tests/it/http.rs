//! Tests of access to the listeners, using raw requests on real sockets.

use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::support::{Daemon, Home};

/// Sends one request with these headers and reads the complete response. Returns its status, head and body.
fn exchange(stream: &mut (impl std::io::Read + std::io::Write), request: &str) -> (u16, String, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut byte = [0; 1];
    while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).unwrap();
    let status: u16 =
        head.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {head:?}")).parse().unwrap();
    let mut body = String::new();
    if status != 101 {
        stream.read_to_string(&mut body).unwrap();
    }
    (status, head, body)
}

pub(crate) fn tcp(daemon: &Daemon, request: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
    let (address, token) = daemon.tcp();
    let mut text = format!("{request} HTTP/1.1\r\n");
    for (name, value) in headers {
        let value = value.replace("{host}", &address).replace("{token}", &token);
        text.extend([name, ": ", &value, "\r\n"]);
    }
    exchange(&mut TcpStream::connect(address).unwrap(), &format!("{text}\r\n"))
}

const UPGRADE: [(&str, &str); 5] = [
    ("Host", "{host}"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
const BEARER: (&str, &str) = ("Authorization", "Bearer {token}");

#[test]
fn tcp_listener_enforces_token_origin_host_and_header_limits() {
    let daemon = Home::new().config("srvd.toml", "[listen]\norigins = [\"app://srvd\"]\n").start();
    let with =
        |more: &[(&'static str, &'static str)]| tcp(&daemon, "GET /rpc", &[&UPGRADE[..], more].concat()).0;
    assert_eq!(with(&[BEARER]), 101);
    assert_eq!(with(&[("Sec-WebSocket-Protocol", "srvd.v1, srvd.bearer.{token}")]), 101);
    assert_eq!(with(&[BEARER, ("Origin", "app://srvd")]), 101);
    assert_eq!(with(&[]), 401);
    assert_eq!(with(&[("Authorization", "Bearer wrong")]), 401);
    assert_eq!(with(&[BEARER, ("Origin", "https://evil.example")]), 403);
    assert_eq!(with(&[BEARER, ("Origin", "null")]), 403);
    assert_eq!(
        tcp(&daemon, "GET /rpc", &[&[("Host", "evil.example")], &UPGRADE[1..], &[BEARER]].concat()).0,
        403
    );
    let (status, head, _) = tcp(&daemon, "GET /rpc", &[("Host", "{host}"), BEARER]);
    assert_eq!(status, 426);
    assert!(head.to_lowercase().contains("sec-websocket-version: 13"), "{head}");
    let many: Vec<(String, String)> = (0..70).map(|number| (format!("X-{number}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(tcp(&daemon, "GET /healthz", &[&many[..], &[("Host", "{host}")]].concat()).0, 431);
    let long = "x".repeat(10_000);
    assert_eq!(tcp(&daemon, "GET /healthz", &[("Host", "{host}"), ("X-Long", &long)]).0, 431);
}

#[test]
fn health_check_needs_no_token_and_returns_only_a_status() {
    let daemon = Home::new().start();
    for path in ["GET /healthz", "GET /readyz"] {
        let (status, _, body) = tcp(&daemon, path, &[("Host", "{host}")]);
        assert_eq!((status, body.as_str()), (200, r#"{"status":"ok"}"#), "{path}");
    }
    assert_eq!(tcp(&daemon, "GET /openrpc.json", &[("Host", "{host}")]).0, 401);
    let (status, _, body) = tcp(&daemon, "GET /openrpc.json", &[("Host", "{host}"), BEARER]);
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document["info"]["title"], "srvd");
}

#[test]
fn post_answers_calls_but_not_subscriptions() {
    let daemon = Home::new().start();
    let post = |body: &str, kind: &str| {
        let (address, token) = daemon.tcp();
        let length = body.len();
        let request = format!(
            "POST /rpc HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let (status, _, body) = exchange(&mut TcpStream::connect(address).unwrap(), &request);
        (status, serde_json::from_str::<Value>(&body).unwrap_or_default())
    };
    let (status, answer) = post(r#"{"jsonrpc":"2.0","id":1,"method":"bundle.list"}"#, "application/json");
    assert_eq!((status, &answer["id"]), (200, &json!(1)));
    assert_eq!(answer["result"]["bundles"][0]["id"], "blank");
    let (_, answer) = post(
        r#"{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"topics":["a"]}}"#,
        "application/json",
    );
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["data"]["kind"]),
        (&json!(-32004), &json!("not_supported"))
    );
    let (status, _) = post(r#"{"jsonrpc":"2.0","method":"bundle.list"}"#, "application/json");
    assert_eq!(status, 204);
    let (status, _) = post(r#"{"jsonrpc":"2.0","id":1,"method":"bundle.list"}"#, "text/plain");
    assert_eq!(status, 415);
    let (status, answer) = post(&" ".repeat(1024 * 1024 + 1), "application/json");
    assert_eq!((status, &answer["error"]["code"]), (413, &json!(-32001)));
}

#[test]
fn unix_socket_needs_no_token_and_rejects_browser_requests() {
    let daemon = Home::new().start();
    let status = |headers: &str| {
        let mut stream = UnixStream::connect(daemon.home.dir("run/srvd.sock")).unwrap();
        exchange(&mut stream, &format!("GET /openrpc.json HTTP/1.1\r\n{headers}\r\n")).0
    };
    assert_eq!(status("Host: srvd.sock\r\n"), 200);
    assert_eq!(status("Host: srvd.sock\r\nOrigin: https://evil.example\r\n"), 403);
    assert_eq!(status("Host: srvd.sock\r\nReferer: https://evil.example/\r\n"), 403);
    assert_eq!(status("Host: evil.example\r\n"), 403);
    assert_eq!(status(""), 400);
}

#[test]
fn connection_is_rejected_with_503_when_the_quota_is_reached() {
    let daemon = Home::new().config("srvd.toml", "[listen]\nconnections = 2\n").start();
    let (address, _) = daemon.tcp();
    let held: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let mut third = TcpStream::connect(&address).unwrap();
    let mut answer = String::new();
    third.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
    drop(held);
}

#[test]
fn callback_needs_no_token_and_its_page_never_repeats_query_values() {
    let daemon = Home::new().start();
    let state = "s".repeat(43);
    let request = format!("GET /oauth/callback?code=planted-code&state={state}");
    let (status, head, body) = tcp(&daemon, &request, &[("Host", "{host}")]);
    assert_eq!(status, 400);
    let head = head.to_lowercase();
    for expect in [
        "content-type: text/html; charset=utf-8",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
        "content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
    ] {
        assert!(head.contains(&format!("\r\n{expect}\r\n")), "{expect} in {head}");
    }
    assert!(body.contains("No sign-in is waiting for this answer."), "{body}");
    assert!(!body.contains("planted") && !body.contains(&state), "{body}");
    assert_eq!(tcp(&daemon, "GET /oauth/callback", &[("Host", "{host}")]).0, 400);
    assert_eq!(tcp(&daemon, "POST /oauth/callback", &[("Host", "{host}")]).0, 405);
    assert_eq!(tcp(&daemon, &request, &[("Host", "evil.example")]).0, 403);
    let log = daemon.log();
    assert!(log.contains("a callback was rejected"), "{log}");
    assert!(!log.contains("planted") && !log.contains(&state), "{log}");
}
