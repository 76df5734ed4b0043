//! The request type of a method, and the call passed to its handler.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::events::{Cursor, Subscribed, Subscriptions};
use crate::wire::RpcError;

/// The parameters of one method. The type also names the method and its result, so the router can infer everything it
/// needs from a handler's signature.
pub trait Params: DeserializeOwned + JsonSchema + Send + 'static {
    /// The method name on the wire. It must not start with `rpc.`, which JSON-RPC reserves.
    const METHOD: &'static str;
    /// A one-sentence summary for the `OpenRPC` document and the documentation.
    const SUMMARY: &'static str;
    /// The longest time until a call is answered. A call that takes longer is answered with the error `unknown` and goes
    /// on.
    const LONGEST: Duration = Duration::from_secs(20);
    /// Further names of the method, for clients that spell it in another way.
    const ALIASES: &'static [&'static str] = &[];
    /// True if the handler reports unknown parameters in its result ([`Call::unknown`]), so the engine adds no
    /// `warnings`.
    const REPORTS_UNKNOWN: bool = false;
    /// The application error codes that this method may return.
    const ERRORS: &'static [i32] = &[];
    /// The result type of the method.
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
    /// The caller on whose behalf the connection or POST is served
    /// ([`Engine::on_behalf_of`](crate::Engine::on_behalf_of)).
    pub caller: Arc<str>,
    /// The permission of the caller ([`Engine::granted`](crate::Engine::granted)); `None` if it is not limited.
    pub grant: Option<Arc<str>>,
    /// The unknown parameters of the call, which were ignored. Only for a method with [`Params::REPORTS_UNKNOWN`].
    pub unknown: Vec<String>,
    /// The number of the request within the engine, used in logs.
    pub request: u64,
    pub(crate) subscriptions: Option<Subscriptions>,
}

impl Call {
    /// The transport of the call.
    pub fn transport(&self) -> Transport {
        if self.subscriptions.is_some() { Transport::Socket } else { Transport::Post }
    }

    /// Subscribes this connection to `topics`. A topic is an exact name, or a prefix ending in `*`. With `since`,
    /// missed events are delivered first, or `lagged` reports that they were lost. No event of the subscription is
    /// written before the reply to this call. If the call fails, the subscription is removed.
    ///
    /// # Errors
    /// `not_supported` on a POST, `invalid_params` for an invalid topic list, `too_many_subscriptions` at the limit,
    /// `shutting_down` if the connection has ended.
    pub fn subscribe(&self, topics: Vec<String>, since: Option<Cursor>) -> Result<Subscribed, RpcError> {
        self.subscriptions()?.subscribe(self.request, topics, since)
    }

    /// Ends a subscription of this connection. Returns false if the connection has no subscription with that id. No
    /// event of the subscription is written after the reply to this call.
    ///
    /// # Errors
    /// `not_supported` on a POST.
    pub fn unsubscribe(&self, subscription_id: &str) -> Result<bool, RpcError> {
        Ok(self.subscriptions()?.unsubscribe(subscription_id))
    }

    /// Returns a wait for the end of the connection; `None` for a POST, which has no connection of its own.
    pub fn closed(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let closed = self.subscriptions.as_ref()?.closed();
        Some(async move { closed.cancelled().await })
    }

    fn subscriptions(&self) -> Result<&Subscriptions, RpcError> {
        self.subscriptions.as_ref().ok_or_else(RpcError::not_supported)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("connection", &self.connection)
            .field("caller", &self.caller)
            .field("grant", &self.grant)
            .field("request", &self.request)
            .field("transport", &self.transport())
            .finish_non_exhaustive()
    }
}
