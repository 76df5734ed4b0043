//! The engine: the state that all connections of one service share, and the one way to stop them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::Broker;
use crate::calls::{Calls, Outbox};
use crate::connection::{Closed, Connection};
use crate::error::RpcError;
use crate::limits::Limits;
use crate::mailbox::Peer;
use crate::method::ConnectionId;
use crate::router::Service;
use crate::wire;

/// Serves connections. Cheap to clone; every clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) caller: Arc<str>,
}

/// Counters since the engine was created, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Requests and notifications that were accepted.
    pub calls: u64,
    /// Accepted calls that ended in an error.
    pub failures: u64,
    /// Failures of notifications, which have no reply to report them.
    pub failed_notifications: u64,
    /// Response objects that clients sent, which a server ignores.
    pub ignored_responses: u64,
}

/// A stream that a connection reads from and writes to.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

pub(crate) struct Shared {
    pub(crate) service: Service,
    pub(crate) broker: Broker,
    pub(crate) tracker: TaskTracker,
    /// Turned on when new calls are refused.
    pub(crate) drain: Switch,
    /// Turned on when all unfinished work is aborted.
    pub(crate) abort: Switch,
    pub(crate) counters: AtomicCounters,
    in_flight: AtomicUsize,
    connections: AtomicUsize,
    last_connection: AtomicU64,
}

/// A switch that is turned on once, for all connections. Each turn of each connection reads it. With a token alone, all
/// of them would take the same lock for that.
#[derive(Default)]
pub(crate) struct Switch {
    on: AtomicBool,
    /// Cancelled after the switch has been turned on, for tasks that wait.
    pub(crate) token: CancellationToken,
}

impl Switch {
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    fn turn_on(&self) {
        self.on.store(true, Ordering::Release);
        self.token.cancel();
    }
}

#[derive(Default)]
pub(crate) struct AtomicCounters {
    pub(crate) calls: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) failed_notifications: AtomicU64,
    pub(crate) ignored_responses: AtomicU64,
}

impl Engine {
    /// Creates an engine without connections.
    pub fn new(service: Service, broker: Broker) -> Self {
        let shared = Shared {
            service,
            broker,
            tracker: TaskTracker::new(),
            drain: Switch::default(),
            abort: Switch::default(),
            counters: AtomicCounters::default(),
            in_flight: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            last_connection: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), caller: Arc::from("") }
    }

    /// Returns the same engine for connections and POSTs of this caller, which each [`Call`](crate::Call) names. The
    /// engine does not interpret the caller.
    #[must_use]
    pub fn on_behalf_of(&self, caller: impl Into<Arc<str>>) -> Self {
        Self { shared: self.shared.clone(), caller: caller.into() }
    }

    /// Drives one upgraded WebSocket connection to its end. `leftover` holds the bytes that were read past the HTTP
    /// head. Calls that are still running when the client goes away run to their end. Dropping this future aborts them,
    /// so await it.
    pub async fn serve(&self, stream: impl Io + 'static, leftover: Bytes) -> Closed {
        // The stream is boxed, so that its code is compiled once, in this crate and with the settings of this crate.
        self.serve_any(Box::new(stream), leftover).await
    }

    async fn serve_any(&self, stream: Box<dyn Io>, leftover: Bytes) -> Closed {
        let _tracked = self.shared.tracker.token();
        let _counted = Counted::new(&self.shared);
        let id = ConnectionId(self.shared.last_connection.fetch_add(1, Ordering::Relaxed) + 1);
        let peer = Peer::new(id, self.shared.broker.clone(), self.shared.service.clone());
        let _registered = Registered(peer.clone());
        Connection::new(self, peer, stream, leftover).run().await
    }

    /// Answers the body of one POST, a request or a batch. Returns `None` when there is nothing to answer. Like the
    /// calls of a connection, the calls of a POST run to their end even when this future is dropped.
    pub async fn post(&self, body: &[u8]) -> Option<Bytes> {
        let _tracked = self.shared.tracker.token();
        if body.len() > self.shared.limits().message_bytes {
            return Some(wire::error_reply(&RpcError::message_too_large(), None).into());
        }
        let Ok(text) = std::str::from_utf8(body) else {
            return Some(wire::error_reply(&RpcError::parse_error(), None).into());
        };
        let (mut calls, mut out) = (Calls::new(self, None), Outbox::default());
        calls.accept(text, &mut out);
        if !calls.is_empty() {
            let abort = self.shared.abort.token.clone();
            let rest = self.shared.tracker.spawn(async move {
                let finished = abort.run_until_cancelled(calls.finish_all(&mut out)).await;
                finished.map_or_else(|| Err(RpcError::shutting_down()), |()| Ok(out))
            });
            out = match rest.await.unwrap_or_else(|_| Err(RpcError::internal())) {
                Ok(out) => out,
                Err(error) => return Some(wire::error_reply(&error, None).into()),
            };
        }
        out.pop().map(Into::into)
    }

    /// The `OpenRPC` document, as JSON text.
    pub fn openrpc(&self) -> &Bytes {
        self.shared.service.openrpc()
    }

    /// The number of connections being served now.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The counters since the engine was created.
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.shared.counters;
        Counters {
            calls: read(&counters.calls),
            failures: read(&counters.failures),
            failed_notifications: read(&counters.failed_notifications),
            ignored_responses: read(&counters.ignored_responses),
        }
    }

    /// Refuses new calls (`shutting_down`), lets the running calls finish, closes each connection with 1001, and aborts
    /// the rest after `grace`. Returns when no connection and no call is left, or shortly after `grace`.
    pub async fn drain(&self, grace: Duration) {
        self.shared.drain.turn_on();
        self.shared.tracker.close();
        if tokio::time::timeout(grace, self.shared.tracker.wait()).await.is_err() {
            self.shared.abort.turn_on();
            // Aborted work ends at its next await. A handler that blocks its thread is not waited for.
            let _ = tokio::time::timeout(self.shared.limits().close_wait, self.shared.tracker.wait()).await;
        }
    }
}

impl Shared {
    pub(crate) fn limits(&self) -> &Limits {
        self.service.limits()
    }

    pub(crate) fn count_failure(&self, notification: bool) {
        self.counters.failures.fetch_add(1, Ordering::Relaxed);
        if notification {
            self.counters.failed_notifications.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A permit for one unfinished call, counted across the whole engine.
pub(crate) struct Slot(Arc<Shared>);

impl Slot {
    /// Takes a permit. Returns `None` when the engine has as many unfinished calls as it may have.
    pub(crate) fn take(shared: &Arc<Shared>) -> Option<Self> {
        let limit = shared.limits().in_flight_total;
        let more = |count: usize| (count < limit).then_some(count + 1);
        shared.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(shared.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        Self(shared.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Removes a connection's subscriptions when dropped, however the connection's future ends.
struct Registered(Arc<Peer>);

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.broker().forget(&self.0);
    }
}

/// The `Sec-WebSocket-Accept` value for a client's `Sec-WebSocket-Key` (RFC 6455, 4.2.2).
pub fn accept_key(sec_websocket_key: &[u8]) -> String {
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(sec_websocket_key)
}
