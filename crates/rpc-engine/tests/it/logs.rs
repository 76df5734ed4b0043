//! Tests of the log: a line names its call by numbers and method, and repeats nothing that a client sent.

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::sync::Once;

use rpc_engine::Limits;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::Server;

thread_local! {
    /// The log of this thread. Each test has its own thread, and its engine runs on it.
    static LOG: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Records every span and event, whatever its level.
struct Log;

/// Installs the log for the whole process. Every test installs it before it logs anything, because a callsite that is
/// first reached without a subscriber may stay silent.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Log).unwrap());
}

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        LOG.with_borrow_mut(|log| write!(log, " {field}={value:?}").unwrap());
    }
}

impl Log {
    fn line(name: &str) -> Self {
        LOG.with_borrow_mut(|log| write!(log, "\n{name}").unwrap());
        Self
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("rpc_engine")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Self::line(span.metadata().name()));
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Self::line(event.metadata().level().as_str());
        if let Some(calling) = rpc_engine::calling() {
            LOG.with_borrow_mut(|log| write!(log, " {calling}:").unwrap());
        }
        event.record(&mut line);
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Self);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn log_names_the_call_and_shows_no_secret() {
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
    let log = LOG.with_borrow(Clone::clone);
    let panicked = "\nERROR call{method=\"crash\" request=8 connection=1}: message=a handler panicked";
    assert!(log.contains(panicked), "{log}");
    assert_eq!(rpc_engine::calling(), None);
    for text in [&log, &replies] {
        assert!(!text.contains("sk-"), "{text}");
    }
}
