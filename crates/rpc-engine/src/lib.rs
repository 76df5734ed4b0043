//! JSON-RPC 2.0 over WebSocket (and over single HTTP POST bodies): typed methods, limits, a topic broker and a client.
//!
//! The crate knows no method name of any application. A request type names its method ([`Params::METHOD`]), a
//! [`Router`] binds it to a handler, and an [`Engine`] serves connections that the application has accepted,
//! authenticated and upgraded. The two event notifications get their names from the caller ([`EventMethods`]).
//!
//! The groups are [`methods`] (request types, handlers, the dispatch table), [`serve`] (the engine), [`events`] (the
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
//! The future of [`Engine::serve`] is the only task of a connection. It works in turns. A turn reads the received messages,
//! polls the unfinished calls, writes what is ready with one flush, and checks the deadlines. A call is polled once where
//! its message was read, so a quick call costs no queue. A call that is not ready then is polled beside the reading, so it
//! blocks no other call. It must not block the thread.
//!
//! A call that has started runs to its end even if its client goes away, because a partial write is worse than a late one.
//! The engine then moves the calls of the connection into a task of its own. [`Engine::post`] does the same with calls that
//! do not finish at once. Every such task and every connection belongs to one tracker.
//!
//! ## Messages
//!
//! A message is parsed once, with borrowed fields. Ids are echoed byte for byte. The parameters are decoded from their JSON
//! text into the method's type and never become a tree. A value that a client sent is never repeated in an error or in a
//! log line.
//!
//! ## Queues
//!
//! A connection has two outbound queues, and both are bounded by [`Limits::outbound_messages`] and
//! [`Limits::outbound_bytes`]. Replies are written before events, so the reply to a subscribing call precedes the first
//! event of its subscription. Events that are published together are one batch. A batch is encoded once, and connections
//! write it from the same memory.
//!
//! ## Limits
//!
//! [`Limits`] holds every limit, and each of its fields names the consequence of exceeding it: an error for the request, or
//! a close code for the connection ([`Closed`]).
//!
//! ## A client that does not read
//!
//! A full queue of replies pauses the reading of requests. A full queue of events drops the events that do not fit and
//! counts them; when the queue is empty again, one `lagged` notification reports the number. A publisher never waits. A
//! flush that takes longer than [`Limits::write_timeout`] closes the connection with 4013. A client that sends nothing is
//! pinged, and closed with 4008 after [`Limits::idle`].
//!
//! ## A flood
//!
//! A turn reads at most [`Limits::requests_per_turn`] messages. The connection then yields, so that the runtime polls the
//! other sockets before the next turn. Calls beyond [`Limits::in_flight`] or [`Limits::in_flight_total`] are refused with
//! `server_busy`.
//!
//! ## A shutdown
//!
//! [`Engine::drain`] refuses new calls with `shutting_down`. A connection without unfinished calls and replies is closed
//! with 1001. After the grace time, unfinished calls are aborted at their next await. The method returns when the tracker is
//! empty, so it is the one place to wait for everything that the engine runs.
//!
//! ## Logs
//!
//! Each call has a span named `call` with its `method`, `request` and `connection`. It is made only if the subscriber
//! enables it. A task that a handler spawns belongs to it with `tracing::Instrument::in_current_span`. `tungstenite` prints
//! whole messages at its `trace` level. The application that installs the subscriber has to cap it.

#![warn(missing_debug_implementations, clippy::missing_errors_doc)]

#[cfg(feature = "client")]
pub mod client;
pub mod events;
pub mod methods;
pub mod serve;
pub mod wire;

// To define methods.
pub use methods::{ApiInfo, Call, ConnectionId, MethodInfo, Params, Router, Service, Transport};
// To serve them.
pub use serve::{Closed, Counters, Engine, Io, MethodOutcome, accept_key};
// To publish events.
pub use events::{Broker, BrokerConfig, Cursor, EventMethods, NewEvent, Subscribed};
// To report errors and set limits.
pub use wire::{ENGINE_ERRORS, ErrorEntry, Limits, RpcError};
// To call a server.
#[cfg(feature = "client")]
pub use client::{
    BearerToken, CallError, Client, ClientError, ClientEvent, ClientOptions, Dialed, EventNames, Subscription,
};
