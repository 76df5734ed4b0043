//! Tests of the log: each line identifies its call by numbers and method, and never repeats client input.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use rpc_engine::Limits;
use serde_json::json;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt};

use crate::support::Server;

thread_local! {
    /// The log of this thread. Each test has its own thread, and its engine runs on it.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct ThreadLog;

impl io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Installs a process-wide log that records every level. Each test must install it before it logs anything, because a
/// callsite first reached without a subscriber may stay disabled.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = Targets::new().with_target("rpc_engine", Level::TRACE).with_target("it", Level::TRACE);
        let lines = fmt::layer().with_ansi(false).with_target(false).without_time().with_writer(|| ThreadLog);
        Registry::default().with(filter).with(lines).init();
    });
}

fn log() -> String {
    String::from_utf8(LOG.with_borrow(Clone::clone)).unwrap()
}

#[tokio::test]
async fn log_identifies_the_call_and_shows_no_secret() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    let mut replies = peer.call("subtract", &json!([3, 1])).await.to_string();
    for (method, params) in [
        ("subtract", json!({"minuend": "sk-secret", "subtrahend": 1})),
        ("subtract", json!("sk-secret")),
        ("subtract", json!({"sk-secret": 1})),
        ("sk-secret", json!({})),
        ("crash", json!({"key": "sk-secret"})),
        ("events.unsubscribe", json!({"subscriptionId": "sk-secret"})),
        (
            "events.subscribe",
            json!({"topics": ["sk-secret"], "since": {"epoch": "sk-secret", "seq": "sk-secret"}}),
        ),
    ] {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        replies += &peer.ask(&request.to_string()).await.to_string();
        replies += &server.post(&request.to_string()).await.unwrap().to_string();
    }
    replies += &peer.ask("sk-secret").await.to_string();
    tracing::info!("outside of any call");
    let log = log();
    let panicked = r#"ERROR call{method="crash" request=8 connection=1}: a method handler panicked"#;
    assert!(log.contains(panicked), "{log}");
    assert!(log.ends_with(" INFO outside of any call\n"), "{log}");
    for text in [&log, &replies] {
        assert!(!text.contains("sk-"), "{text}");
    }
}

#[tokio::test]
async fn log_identifies_the_call_in_a_spawned_task() {
    let server = Server::new(Limits::default());
    server.connect().call("spawn", &json!({})).await;
    let line = r#" INFO call{method="spawn" request=1 connection=1}: a spawned task is running"#;
    assert!(log().contains(line), "{}", log());
}
