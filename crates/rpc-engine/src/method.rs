//! The parts of a method: its request type, and the call that its handler receives.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::RpcError;
use crate::mailbox::Peer;

/// The parameters of one method. The type carries the method's name and result, so that a handler's signature tells the
/// router everything that it needs.
pub trait Params: DeserializeOwned + JsonSchema + Send + 'static {
    /// The name on the wire. Must not start with `rpc.`, which JSON-RPC reserves.
    const METHOD: &'static str;
    /// A one-sentence summary for the `OpenRPC` document and the documentation.
    const SUMMARY: &'static str;
    /// The application error codes that this method may return.
    const ERRORS: &'static [i32] = &[];
    /// The result of the method.
    type Result: Serialize + JsonSchema + Send + 'static;
}

/// A connection's number, unique within one engine. POST requests have 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The transport of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket, which can hold subscriptions.
    Socket,
    /// A single HTTP POST.
    Post,
}

/// One running call, as its handler sees it.
#[derive(Clone)]
pub struct Call {
    /// The connection that sent the call.
    pub connection: ConnectionId,
    /// The caller for which the connection or the POST is served
    /// ([`Engine::on_behalf_of`](crate::Engine::on_behalf_of)).
    pub caller: Arc<str>,
    /// The number of the request within the engine, for logs.
    pub request: u64,
    pub(crate) peer: Option<Arc<Peer>>,
}

impl Call {
    /// The transport of the call.
    pub fn transport(&self) -> Transport {
        if self.peer.is_some() { Transport::Socket } else { Transport::Post }
    }

    /// Subscribes this connection to `topics`: exact names, or prefixes that end in `*`. With `since`, missed events
    /// are delivered first, or `lagged` reports that they are lost. No event of the subscription is written before the
    /// reply to this call. If the call fails, the subscription is removed.
    ///
    /// Errors: `not_supported` on a POST, `invalid_params` for an unusable topic list, `too_many_subscriptions`.
    pub fn subscribe(&self, topics: Vec<String>, since: Option<Cursor>) -> Result<Subscribed, RpcError> {
        let peer = self.peer.as_ref().ok_or_else(RpcError::not_supported)?;
        peer.broker().subscribe(peer, self.request, topics, since)
    }

    /// Ends a subscription of this connection. Returns false when the connection has none of that id. No event of the
    /// subscription is written after the reply to this call.
    ///
    /// Errors: `not_supported` on a POST.
    pub fn unsubscribe(&self, subscription_id: &str) -> Result<bool, RpcError> {
        let peer = self.peer.as_ref().ok_or_else(RpcError::not_supported)?;
        Ok(peer.broker().unsubscribe(peer, subscription_id))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("connection", &self.connection)
            .field("caller", &self.caller)
            .field("request", &self.request)
            .field("transport", &self.transport())
            .finish_non_exhaustive()
    }
}

/// A position in the stream of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cursor {
    /// The epoch of the daemon that numbered the event. Each start of the daemon begins a new epoch.
    pub epoch: String,
    /// The sequence number of the last event that was seen.
    pub seq: u64,
}

/// The starting point of a new subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subscribed {
    /// The id of the subscription within the connection.
    pub subscription_id: String,
    /// The epoch of the broker.
    pub epoch: String,
    /// The sequence number of the newest event at the moment of subscribing. Replayed events are not newer.
    pub seq: u64,
    /// True if events since the given cursor are lost, so that everything has to be fetched again.
    pub lagged: bool,
}
