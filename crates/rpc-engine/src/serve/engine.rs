//! The engine: the state shared by all connections of one service, and the only way to shut them down.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::calls::{CallOrigin, Calls};
use super::closed::Closed;
use super::connection::Connection;
use super::outbox::Outbox;
use super::socket::{Io, Socket};
use super::state::{Counters, EngineState, MethodOutcome};
use crate::events::{Broker, Subscriptions};
use crate::methods::{ConnectionId, Service};
use crate::wire::{RpcError, error_reply};

/// Serves connections. Cheap to clone; all clones are handles to the same engine.
#[derive(Clone)]
pub struct Engine {
    state: Arc<EngineState>,
    caller: Arc<str>,
    grant: Option<Arc<str>>,
}

impl Engine {
    /// Creates an engine without connections.
    pub fn new(service: Service, broker: Broker) -> Self {
        Self { state: Arc::new(EngineState::new(service, broker)), caller: Arc::from(""), grant: None }
    }

    /// Returns a handle to the same engine that serves connections and POSTs on behalf of `caller`, which each
    /// [`Call`](crate::Call) reports. The engine does not interpret the caller.
    #[must_use]
    pub fn on_behalf_of(&self, caller: impl Into<Arc<str>>) -> Self {
        Self { caller: caller.into(), ..self.clone() }
    }

    /// Returns a handle to the same engine whose callers have this permission, which each [`Call`](crate::Call) reports
    /// to the guard ([`Router::guarded`](crate::Router::guarded)). The engine does not interpret the permission.
    #[must_use]
    pub fn granted(&self, grant: impl Into<Arc<str>>) -> Self {
        Self { grant: Some(grant.into()), ..self.clone() }
    }

    /// Drives one upgraded WebSocket connection until it ends. `leftover` contains the bytes read past the HTTP head.
    /// Calls that are still running when the client disconnects run to completion. Dropping this future aborts them, so
    /// await it.
    pub async fn serve(&self, stream: impl Io + 'static, leftover: Bytes) -> Closed {
        self.serve_until(stream, leftover, CancellationToken::new()).await
    }

    /// Like [`Self::serve`]. The connection is also closed, with 4003, when `dismissal` is cancelled.
    pub async fn serve_until(
        &self,
        stream: impl Io + 'static,
        leftover: Bytes,
        dismissal: CancellationToken,
    ) -> Closed {
        let subscriptions =
            Subscriptions::new(self.state.broker.clone(), self.state.service.limits().clone());
        let _open = OpenConnection::new(self.state.clone(), subscriptions.clone());
        // Boxing the stream means that the code is compiled only once, in this crate and with this crate's settings.
        self.connection(Box::new(stream), leftover, subscriptions, dismissal).run().await
    }

    fn connection(
        &self,
        stream: Box<dyn Io>,
        leftover: Bytes,
        subscriptions: Subscriptions,
        dismissal: CancellationToken,
    ) -> Connection {
        let state = self.state.clone();
        let socket = Socket::new(stream, &leftover, state.limits());
        drop(leftover);
        let origin = CallOrigin {
            connection: ConnectionId(state.last_connection.fetch_add(1, Ordering::Relaxed) + 1),
            caller: self.caller.clone(),
            grant: self.grant.clone(),
            subscriptions: Some(subscriptions.clone()),
        };
        let calls = Calls::new(state.clone(), origin);
        Connection::new(state, subscriptions, socket, calls, dismissal)
    }

    /// Answers the body of a POST, which is a request or a batch. Returns `None` if there is nothing to answer. Like
    /// the calls of a connection, the calls of a POST run to completion even if this future is dropped.
    pub async fn post(&self, body: &[u8]) -> Option<Bytes> {
        if body.len() > self.state.limits().message_bytes {
            return Some(error_reply(&RpcError::message_too_large(), None).into());
        }
        let Ok(text) = std::str::from_utf8(body) else {
            return Some(error_reply(&RpcError::parse_error(), None).into());
        };
        let (caller, grant) = (self.caller.clone(), self.grant.clone());
        let origin = CallOrigin { connection: ConnectionId(0), caller, grant, subscriptions: None };
        let (mut calls, mut outbox) = (Calls::new(self.state.clone(), origin), Outbox::default());
        if self.state.drain.is_cancelled() {
            calls.drain();
        }
        calls.accept(text, &mut outbox);
        if !calls.is_empty() {
            let abort = self.state.abort.clone();
            let unfinished = self.state.tasks.spawn(async move {
                let finished = abort.run_until_cancelled(calls.finish_all(&mut outbox)).await;
                finished.map_or_else(|| Err(RpcError::shutting_down()), |()| Ok(outbox))
            });
            outbox = match unfinished.await.unwrap_or_else(|_| Err(RpcError::internal())) {
                Ok(outbox) => outbox,
                Err(error) => return Some(error_reply(&error, None).into()),
            };
        }
        outbox.pop().map(Into::into)
    }

    /// The `OpenRPC` document, as JSON text.
    pub fn openrpc(&self) -> &Bytes {
        self.state.service.openrpc()
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// The counters since the engine was created.
    pub fn counters(&self) -> Counters {
        self.state.counters()
    }

    /// The outcomes of finished calls since the engine was created, sorted by method. Outcomes that did not occur are
    /// left out.
    pub fn outcomes(&self) -> Vec<MethodOutcome> {
        self.state.outcomes()
    }

    /// Shuts the engine down: rejects new calls (`shutting_down`), lets running calls finish, closes each connection
    /// with 1001, and aborts whatever is left after `grace`. Returns when no connection, call or task of the engine is
    /// left, or [`Limits::close_wait`](crate::Limits::close_wait) after `grace`.
    ///
    /// Aborted work ends at its next await. A handler that blocks its thread cannot be aborted; in that case the log
    /// reports how many tasks are left.
    pub async fn drain(&self, grace: Duration) {
        let EngineState { tasks, drain, abort, .. } = &*self.state;
        drain.cancel();
        tasks.close();
        if tokio::time::timeout(grace, tasks.wait()).await.is_ok() {
            return;
        }
        abort.cancel();
        if tokio::time::timeout(self.state.limits().close_wait, tasks.wait()).await.is_err() {
            tracing::warn!(tasks = tasks.len(), "handlers did not stop after being aborted");
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("caller", &self.caller)
            .field("connections", &self.connections())
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

/// Counts an open connection. Dropping it removes the connection's subscriptions, however its future ends.
struct OpenConnection {
    state: Arc<EngineState>,
    subscriptions: Subscriptions,
    _task: TaskTrackerToken,
}

impl OpenConnection {
    fn new(state: Arc<EngineState>, subscriptions: Subscriptions) -> Self {
        state.connections.fetch_add(1, Ordering::Relaxed);
        let task = state.tasks.token();
        Self { state, subscriptions, _task: task }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.subscriptions.close();
        self.state.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The `Sec-WebSocket-Accept` value for a client's `Sec-WebSocket-Key` (RFC 6455, 4.2.2).
pub fn accept_key(sec_websocket_key: &[u8]) -> String {
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(sec_websocket_key)
}
