//! What a method is made of: its request type, and the call that a handler is given.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::RpcError;
use crate::mailbox::Peer;

/// The parameters of one method. The type carries the method's name and result, so that a handler's signature says
/// everything the router needs.
pub trait Params: DeserializeOwned + JsonSchema + Send + 'static {
    /// The name on the wire. Must not start with `rpc.`, which JSON-RPC reserves.
    const METHOD: &'static str;
    /// One sentence for the `OpenRPC` document and the documentation.
    const SUMMARY: &'static str;
    /// Application error codes that this method may answer.
    const ERRORS: &'static [i32] = &[];
    /// What it answers.
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

/// How a call came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket: it can hold subscriptions.
    Socket,
    /// A single HTTP POST.
    Post,
}

/// One running call, as its handler sees it.
#[derive(Clone)]
pub struct Call {
    /// The connection it came from.
    pub connection: ConnectionId,
    /// Whom the connection or the POST was served for ([`Engine::on_behalf_of`](crate::Engine::on_behalf_of)).
    pub caller: Arc<str>,
    /// Number of the request within the engine, for logs.
    pub request: u64,
    pub(crate) peer: Option<Arc<Peer>>,
}

impl Call {
    /// How the call came in.
    pub fn transport(&self) -> Transport {
        if self.peer.is_some() { Transport::Socket } else { Transport::Post }
    }

    /// Subscribes this connection to `topics`: exact names, or prefixes that end in `*`. With `since`, events that
    /// were missed are delivered first, or `lagged` says that they are gone. No event of the subscription is written
    /// before the reply to this call; if the call fails, the subscription is taken back.
    ///
    /// Errors: `not_supported` on a POST, `invalid_params` for an unusable topic list, `too_many_subscriptions`.
    pub fn subscribe(&self, topics: Vec<String>, since: Option<Cursor>) -> Result<Subscribed, RpcError> {
        let peer = self.peer.as_ref().ok_or_else(RpcError::not_supported)?;
        peer.broker().subscribe(peer, self.request, topics, since)
    }

    /// Ends a subscription of this connection; false when it has none of that id. No event of it is written after
    /// the reply to this call.
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

/// A place in the stream of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cursor {
    /// The epoch of the daemon that numbered the event; a new one each boot.
    pub epoch: String,
    /// The last event that was seen.
    pub seq: u64,
}

/// What a new subscription starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subscribed {
    /// Id within the connection.
    pub subscription_id: String,
    /// The broker's epoch.
    pub epoch: String,
    /// The newest event at the moment of subscribing; replayed events are not newer.
    pub seq: u64,
    /// Whether events since the given cursor are lost, so that everything has to be fetched again.
    pub lagged: bool,
}
