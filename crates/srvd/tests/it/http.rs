//! Tests of access to the listeners, using raw requests on real sockets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// Opens a WebSocket and keeps it.
fn handshake(address: &str, token: &str) -> (u16, TcpStream) {
    let mut request = "GET /rpc HTTP/1.1\r\n".to_owned();
    for (name, value) in [&UPGRADE[..], &[BEARER]].concat() {
        let value = value.replace("{host}", address).replace("{token}", token);
        request.extend([name, ": ", &value, "\r\n"]);
    }
    let mut stream = TcpStream::connect(address).unwrap();
    let (status, _, _) = exchange(&mut stream, &format!("{request}\r\n"));
    (status, stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn client_is_told_that_there_is_no_place_when_the_quota_is_reached() {
    let daemon = Home::new().config("srvd.toml", "[listen]\nconnections = 2\n").start();
    let (address, token) = daemon.tcp();
    let held = [(); 2].map(|()| handshake(&address, &token));
    assert_eq!(held.each_ref().map(|(status, _)| *status), [101, 101]);
    let (status, _, body) = tcp(&daemon, "GET /rpc", &[&UPGRADE[..], &[BEARER]].concat());
    assert_eq!(status, 503);
    assert!(body.contains("\"kind\":\"capacity\"") && body.contains("[listen]"), "{body}");
    // The socket has places of its own, and a command says why it was turned away.
    let clients = [daemon.client().await, daemon.client().await];
    let output = daemon.home.run(&["status"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{text}");
    assert!(text.contains("serves as many connections as it may"), "{text}");
    assert!(text.contains("[listen] in srvd.toml"), "{text}");
    assert!(daemon.log().contains("a client was turned away"), "{}", daemon.log());
    drop(clients);
    drop(held);
    crate::support::until("the places are not free again", || daemon.home.run(&["status"]).status.success());
}

/// Raises the limit of open files of this process, as far as it may be raised.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum.map_or(4096, |maximum| maximum.min(4096));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum });
}

/// Holds half a request head on each of many connections, and opens those again that the daemon closes.
fn flood(address: &str, connections: usize, stop: &AtomicBool, held: &Barrier) {
    let open = || {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.write_all(b"GET /rpc HTTP/1.1\r\nHost: ").ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(stream)
    };
    let mut streams: Vec<Option<TcpStream>> = (0..connections).map(|_| open()).collect();
    held.wait();
    let mut byte = [0; 1];
    while !stop.load(Ordering::Relaxed) {
        for slot in &mut streams {
            let waits = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
            let is_open =
                slot.as_mut().is_some_and(|stream| stream.read(&mut byte).is_err_and(|error| waits(&error)));
            if !is_open {
                *slot = open();
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn clients_are_served_while_many_half_heads_are_held_and_the_oldest_gives_way() {
    allow_many_files();
    let daemon = Home::new().config("srvd.toml", "[listen]\nconnections = 75\n").start();
    let (address, token) = daemon.tcp();
    let (stop, held) = (AtomicBool::new(false), Barrier::new(2));
    let statuses = std::thread::scope(|scope| {
        scope.spawn(|| flood(&address, 300, &stop, &held));
        held.wait();
        let served: Vec<(u16, TcpStream)> = (0..75).map(|_| handshake(&address, &token)).collect();
        stop.store(true, Ordering::Relaxed);
        served.iter().map(|(status, _)| *status).collect::<Vec<_>>()
    });
    assert_eq!(statuses, [101; 75]);

    let daemon = Home::new().start();
    let (address, token) = daemon.tcp();
    let mut oldest = TcpStream::connect(&address).unwrap();
    oldest.write_all(b"GET /rpc HTTP/1.1\r\nHost: ").unwrap();
    let newer: Vec<TcpStream> = (0..512).map(|_| TcpStream::connect(&address).unwrap()).collect();
    // The daemon closes it when it accepts the last one, long before the time limit of a head.
    let mut end = Vec::new();
    assert_eq!(oldest.read_to_end(&mut end).unwrap_or_default(), 0);
    assert_eq!(handshake(&address, &token).0, 101);
    drop(newer);
    assert!(daemon.log().contains("reason=\"unfinished connections\""), "{}", daemon.log());
}

#[test]
fn refused_origin_and_host_are_logged_with_the_setting_that_allows_them() {
    let daemon = Home::new().start();
    for _ in 0..20 {
        let foreign = [&UPGRADE[..], &[BEARER, ("Origin", "vscode-webview://1f2e")]].concat();
        assert_eq!(tcp(&daemon, "GET /rpc", &foreign).0, 403);
    }
    let forwarded = [&[("Host", "localhost:3999")], &UPGRADE[1..], &[BEARER]].concat();
    assert_eq!(tcp(&daemon, "GET /rpc", &forwarded).0, 403);
    let log = daemon.log();
    for expect in [
        "reason=\"Origin\" value=\"vscode-webview://1f2e\" setting=\"listen.origins\"",
        "reason=\"Host\" value=\"localhost:3999\" setting=\"listen.hosts\"",
    ] {
        assert!(log.contains(expect), "{expect} in {log}");
    }
}

#[test]
fn health_answers_old_http_and_head_and_ignores_a_query() {
    let daemon = Home::new().start();
    let (address, _) = daemon.tcp();
    let ask = |request: &str| {
        let request = request.replace("{host}", &address);
        exchange(&mut TcpStream::connect(&address).unwrap(), &request)
    };
    for path in ["/healthz", "/readyz", "/healthz?x=1"] {
        let (status, _, body) = ask(&format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert_eq!((status, body.as_str()), (200, r#"{"status":"ok"}"#), "{path}");
        let (status, head, body) = ask(&format!("HEAD {path} HTTP/1.1\r\nHost: {{host}}\r\n\r\n"));
        assert_eq!((status, body.as_str()), (200, ""), "{path}");
        assert!(head.to_lowercase().contains("content-length: 15"), "{head}");
    }
    let upper = address.replace("127.0.0.1", "LOCALHOST");
    assert_eq!(ask(&format!("GET /healthz HTTP/1.1\r\nHost: {upper}\r\n\r\n")).0, 200);
    let (status, head, _) = ask("POST /healthz HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status, 405);
    assert!(head.to_lowercase().contains("allow: get, head"), "{head}");
    assert_eq!(ask("GET /openrpc.json HTTP/1.0\r\nHost: {host}\r\n\r\n").0, 505);
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
