//! Tests of the client against the engine, including the handshake.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rpc_engine::{
    BearerToken, CallError, Client, ClientError, ClientEvent, ClientOptions, Dialed, Engine, EventNames,
    Limits, RpcError, accept_key,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::support::{Echo, Refuse, Server, Subtract, Wait, soon};

const NAMES: EventNames = EventNames {
    event: "event",
    lagged: "events.lagged",
    subscribe: "events.subscribe",
    unsubscribe: "events.unsubscribe",
};

/// Reads an HTTP head and upgrades if the token is correct, like the daemon's HTTP listener.
async fn accept(engine: Engine, mut stream: DuplexStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    assert!(head.starts_with("GET /rpc HTTP/1.1\r\n"), "{head}");
    assert_eq!(header("host"), Some("localhost"));
    if header("authorization") != Some("Bearer token") {
        return stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
    }
    let key = accept_key(header("sec-websocket-key").unwrap().as_bytes());
    let reply = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {key}\r\n\r\n"
    );
    stream.write_all(reply.as_bytes()).await?;
    engine.serve(stream, Bytes::new()).await;
    Ok(())
}

fn options() -> ClientOptions {
    ClientOptions { bearer: Some("token".into()), ..ClientOptions::new("localhost", "/rpc", NAMES) }
}

fn open(server: &Server) -> DuplexStream {
    open_with(server, 1 << 16)
}

/// Opens a connection. `pipe` is the size of the stream buffers.
fn open_with(server: &Server, pipe: usize) -> DuplexStream {
    let (near, far) = tokio::io::duplex(pipe);
    tokio::spawn(accept(server.engine.clone(), far));
    near
}

async fn connect(server: &Server) -> Client {
    soon(Client::connect(open(server), options())).await.unwrap()
}

fn event(topic: &str, seq: u64) -> ClientEvent {
    ClientEvent::Event { topic: topic.into(), seq, at: 5, data: None }
}

#[tokio::test]
async fn client_makes_typed_and_raw_calls() {
    let server = Server::new(Limits::default());
    let client = connect(&server).await;
    assert_eq!(soon(client.call(&Subtract { minuend: 5, subtrahend: 3 })).await.unwrap(), 2);
    assert_eq!(soon(client.call_raw("sum", &json!([1, 2]))).await.unwrap(), 3);
    assert_eq!(soon(client.call_raw("update", &json!([1]))).await.unwrap(), json!(null));
    let CallError::Rpc(error) = soon(client.call(&Refuse {})).await.unwrap_err() else { panic!() };
    assert_eq!(error, RpcError::new(1001, "gone").with_kind("not_found"));
    let CallError::Rpc(error) = soon(client.call_raw("nothing", &json!({}))).await.unwrap_err() else {
        panic!()
    };
    assert_eq!(error, RpcError::method_not_found());
}

#[tokio::test]
async fn calls_run_concurrently() {
    let server = Server::new(Limits::default());
    let client = connect(&server).await;
    let waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.call(&Wait {}).await });
    soon(server.app.begun.notified()).await;
    let texts: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let echoes = texts.iter().map(|text| async { client.call(&Echo { text: text.clone() }).await.unwrap() });
    assert_eq!(soon(futures_util::future::join_all(echoes)).await, texts);
    server.app.permits.add_permits(1);
    assert!(soon(waiting).await.unwrap().unwrap());
}

#[tokio::test]
async fn client_reads_replies_while_its_own_requests_are_queued() {
    let server = Server::new(Limits { outbound_messages: 1, ..Limits::default() });
    let client = soon(Client::connect(open_with(&server, 64), options())).await.unwrap();
    let text = "x".repeat(1000);
    let echoes = (0..50).map(|_| async { client.call(&Echo { text: text.clone() }).await.unwrap() });
    assert_eq!(soon(futures_util::future::join_all(echoes)).await, vec![text.clone(); 50]);
}

#[tokio::test]
async fn wrong_token_is_rejected_and_never_shown() {
    let server = Server::new(Limits::default());
    let wrong = ClientOptions { bearer: Some("sk-wrong".into()), ..options() };
    assert!(!format!("{wrong:?}").contains("sk-wrong"));
    let refused = soon(Client::connect(open(&server), wrong)).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused(401)), "{refused:?}");
    let unusable = ClientOptions { bearer: Some("sk-wrong\n".into()), ..options() };
    let refused = soon(Client::connect(open(&server), unusable)).await.unwrap_err();
    assert!(matches!(refused, ClientError::Handshake(_)) && !format!("{refused:?}").contains("sk-"));
}

#[tokio::test(start_paused = true)]
async fn call_times_out_when_the_server_does_not_answer() {
    let server = Server::new(Limits::default());
    let client = connect(&server).await;
    let late = soon(client.call(&Wait {})).await.unwrap_err();
    assert!(matches!(late, CallError::Timeout), "{late:?}");
    assert_eq!(soon(client.call_raw("sum", &json!([1]))).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn client_ends_when_the_server_is_silent_for_too_long() {
    let hours = Duration::from_hours(2);
    let server = Server::new(Limits { ping_every: hours, idle: hours, ..Limits::default() });
    let client = connect(&server).await;
    soon(client.closed()).await;
    assert!(matches!(client.call_raw("sum", &json!([1])).await, Err(CallError::Closed)));
}

#[tokio::test]
async fn calls_and_subscriptions_end_with_the_connection() {
    let server = Server::new(Limits::default());
    let client = connect(&server).await;
    let mut events = soon(client.subscribe(["a"])).await.unwrap();
    let waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.call(&Wait {}).await });
    soon(server.app.begun.notified()).await;
    soon(server.engine.drain(Duration::ZERO)).await;
    assert!(matches!(soon(waiting).await.unwrap(), Err(CallError::Closed)));
    assert_eq!(soon(events.next()).await, None);
    soon(client.closed()).await;
    assert!(matches!(soon(client.call_raw("sum", &json!([1]))).await, Err(CallError::Closed)));
}

#[tokio::test]
async fn connection_closes_when_client_and_subscription_are_dropped() {
    let server = Server::new(Limits::default());
    let client = connect(&server).await;
    let subscription = soon(client.subscribe(["a"])).await.unwrap();
    drop(client);
    assert_eq!(server.engine.connections(), 1);
    drop(subscription);
    soon(async {
        while server.engine.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn subscription_is_released_when_dropped() {
    let server = Server::new(Limits { subscriptions: 1, ..Limits::default() });
    let client = connect(&server).await;
    for _ in 0..3 {
        let mut events = soon(client.subscribe(["a"])).await.unwrap();
        let seq = server.app.broker.publish("a", 5, None);
        assert_eq!(soon(events.next()).await, Some(event("a", seq)));
    }
}

#[tokio::test]
async fn slow_reader_receives_the_count_of_missed_events() {
    let server = Server::new(Limits::default());
    let limits = Limits { outbound_messages: 2, ..Limits::default() };
    let client = soon(Client::connect(open(&server), ClientOptions { limits, ..options() })).await.unwrap();
    let mut events = soon(client.subscribe(["a"])).await.unwrap();
    for _ in 0..5 {
        server.app.broker.publish("a", 5, None);
    }
    // This reply comes after the events, so the client has already processed all of them.
    assert_eq!(soon(client.call_raw("sum", &json!([1]))).await.unwrap(), 1);
    assert_eq!(soon(client.call_raw("sum", &json!([1]))).await.unwrap(), 1);
    assert_eq!(soon(events.next()).await, Some(event("a", 1)));
    assert_eq!(soon(events.next()).await, Some(event("a", 2)));
    server.app.broker.publish("a", 5, None);
    assert_eq!(soon(events.next()).await, Some(ClientEvent::Lagged { missed: 3, seq: 5 }));
    assert_eq!(soon(events.next()).await, Some(event("a", 6)));
}

/// A connector to the current server. It can also cut the most recent connection.
#[derive(Clone, Default)]
struct Line {
    engine: Arc<Mutex<Option<Engine>>>,
    serving: Arc<Mutex<Option<tokio::task::AbortHandle>>>,
}

impl Line {
    fn lead_to(&self, server: &Server) {
        *self.engine.lock().unwrap() = Some(server.engine.clone());
    }

    fn cut(&self) {
        self.serving.lock().unwrap().take().unwrap().abort();
    }

    fn dial(&self) -> io::Result<Dialed<DuplexStream>> {
        let engine = self.engine.lock().unwrap().clone().ok_or(io::ErrorKind::ConnectionRefused)?;
        let (stream, far) = tokio::io::duplex(1 << 16);
        let task = tokio::spawn(accept(engine, far));
        *self.serving.lock().unwrap() = Some(task.abort_handle());
        Ok(Dialed { stream, bearer: Some(BearerToken::from("token")) })
    }
}

#[tokio::test(start_paused = true)]
async fn subscription_resumes_after_a_reconnect_and_reports_lost_events() {
    let line = Line::default();
    let server = Server::keeping(Limits::default(), 3);
    line.lead_to(&server);
    let dial = line.clone();
    let client =
        soon(Client::connect_with(move || std::future::ready(dial.dial()), options())).await.unwrap();
    let mut events = soon(client.subscribe(["a"])).await.unwrap();
    server.app.broker.publish("a", 5, None);
    assert_eq!(soon(events.next()).await, Some(event("a", 1)));

    // The connection is cut and restored after two events. Both are delivered.
    line.cut();
    server.app.broker.publish("a", 5, None);
    server.app.broker.publish("a", 5, None);
    assert_eq!(soon(events.next()).await, Some(ClientEvent::Reconnected { lagged: false }));
    assert_eq!(soon(events.next()).await, Some(event("a", 2)));
    assert_eq!(soon(events.next()).await, Some(event("a", 3)));
    assert_eq!(soon(client.call_raw("sum", &json!([1]))).await.unwrap(), 1);

    // More events are published than the server retains. The server reports the loss and continues.
    *line.engine.lock().unwrap() = None;
    line.cut();
    for _ in 0..4 {
        server.app.broker.publish("a", 5, None);
    }
    line.lead_to(&server);
    assert_eq!(soon(events.next()).await, Some(ClientEvent::Reconnected { lagged: true }));
    server.app.broker.publish("a", 5, None);
    assert_eq!(soon(events.next()).await, Some(event("a", 8)));

    // No server answers while the client retries, so the client gives up.
    *line.engine.lock().unwrap() = None;
    line.cut();
    assert_eq!(soon(events.next()).await, None);
    soon(client.closed()).await;
}
