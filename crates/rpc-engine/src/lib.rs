//! JSON-RPC 2.0 over WebSocket and over single HTTP POST requests: typed methods, limits, a topic broker and a client.
//!
//! The crate contains no application's method names. A request type names its method ([`Params::METHOD`]), a [`Router`]
//! binds it to a handler, and an [`Engine`] serves connections that the application has accepted, authenticated and
//! upgraded. The application also chooses the names of the two event notifications ([`EventMethods`]).
//!
//! The modules are [`methods`] (request types, handlers, the dispatch table), [`serve`] (the engine), [`events`] (the
//! broker), [`wire`] (envelopes, errors, limits) and `client`.
//!
//! ```
//! use rpc_engine::{
//!     ApiInfo, Broker, BrokerConfig, Call, Engine, EventMethods, Limits, Params, Router, RpcError,
//! };
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Greet {
//!     name: String,
//! }
//!
//! impl Params for Greet {
//!     const METHOD: &'static str = "greet";
//!     const SUMMARY: &'static str = "Says hello.";
//!     type Result = String;
//! }
//!
//! async fn greet(greeting: &'static str, _call: Call, params: Greet) -> Result<String, RpcError> {
//!     Ok(format!("{greeting}, {}", params.name))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let methods = EventMethods { event: "event", lagged: "lagged" };
//! let broker = Broker::new(BrokerConfig { epoch: "1".into(), keep: 1024, methods });
//! let info = ApiInfo { title: "greeter".into(), version: "1".into(), description: "Greets.".into() };
//! let service = Router::new().on(greet).build(&"Hello", info, Limits::default());
//! let engine = Engine::new(service, broker);
//!
//! let body = br#"{"jsonrpc":"2.0","id":1,"method":"greet","params":{"name":"you"}}"#;
//! let reply = engine.post(body).await;
//! assert_eq!(reply.unwrap(), r#"{"jsonrpc":"2.0","result":"Hello, you","id":1}"#);
//! # }
//! ```
//!
//! # Theory of operation
//!
//! ## Tasks
//!
//! The future of [`Engine::serve`] is a connection's only task. It works in turns. In each turn, it reads the received
//! messages, polls the unfinished calls, writes everything that is ready with one flush, and checks the deadlines. A
//! call is polled once as soon as its message has been read, so a quick call needs no queue. A call that is not ready
//! at that point is polled alongside reading and does not block other calls. A handler must not block the thread.
//!
//! Once started, a call runs to completion even if its client disconnects, because a partial write is worse than a late
//! one. The engine then moves the connection's calls into a separate task. [`Engine::post`] does the same with calls
//! that do not finish immediately. One tracker covers all these tasks and all connections.
//!
//! ## Messages
//!
//! A message is parsed once, with borrowed fields. Ids are echoed byte for byte. Parameters are decoded directly from
//! their JSON text into the method's type, without an intermediate tree. Errors and log lines never repeat a value sent
//! by a client.
//!
//! ## Queues
//!
//! A connection has two outbound queues, each bounded by [`Limits::outbound_messages`] and [`Limits::outbound_bytes`].
//! Replies are written before events, so the reply to a subscribing call precedes the first event of its subscription.
//! Events that are published together form a batch. Each batch is encoded once, and all connections write it from the
//! same memory.
//!
//! ## Limits
//!
//! [`Limits`] contains every limit, and each field documents what happens when it is exceeded: an error for the
//! request, or a close code for the connection ([`Closed`]).
//!
//! ## Clients that do not read
//!
//! When the reply queue is full, the engine stops reading requests. When the event queue is full, events that do not
//! fit are dropped and counted; once the queue is empty again, one `lagged` notification reports how many were lost. A
//! publisher never waits. If a flush takes longer than [`Limits::write_timeout`], the connection is closed with 4013. A
//! silent client is pinged, and its connection is closed with 4008 after [`Limits::idle`].
//!
//! ## Floods
//!
//! A turn reads at most [`Limits::requests_per_turn`] messages. The connection then yields, so that the runtime polls
//! the other sockets before the next turn. Calls beyond [`Limits::in_flight`] or [`Limits::in_flight_total`] wait
//! without being started. Calls beyond [`Limits::waiting`], and calls that have waited for
//! [`Limits::waiting_time`], are rejected with `server_busy`.
//!
//! ## Shutdown
//!
//! [`Engine::drain`] rejects new calls with `shutting_down`. Connections without unfinished calls or unsent replies are
//! closed with 1001. After the grace period, unfinished calls are aborted at their next await. The method returns when
//! the tracker is empty, so awaiting it is enough to wait for everything that the engine runs.
//!
//! ## Logs
//!
//! Each call has a span named `call` with the fields `method`, `request` and `connection`. The span is created only if
//! the subscriber enables it. A task spawned by a handler joins the span with `tracing::Instrument::in_current_span`.
//! At its `trace` level, `tungstenite` logs whole messages; the application that installs the subscriber must cap that
//! level.

#![warn(missing_debug_implementations, clippy::missing_errors_doc)]

#[cfg(feature = "client")]
pub mod client;
pub mod events;
pub mod methods;
pub mod serve;
pub mod wire;

// To define methods.
pub use methods::{
    ApiInfo, Call, ConnectionId, DerivedErrors, MethodInfo, MethodScope, Params, Router, Service, Transport,
};
// To serve them.
pub use serve::{Closed, Counters, Engine, Io, MethodOutcome, accept_key};
// To publish events.
pub use events::{Broker, BrokerConfig, Cursor, EventMethods, NewEvent, Subscribed};
// To report errors and set limits.
pub use wire::{DataField, DataKind, ENGINE_ERRORS, ErrorEntry, Limits, RpcError};
// To call a server.
#[cfg(feature = "client")]
pub use client::{
    BearerToken, CallError, Client, ClientError, ClientEvent, ClientOptions, Dialed, EventNames, Subscription,
};
