//! JSON-RPC 2.0 over WebSocket (and over single HTTP POST bodies): typed methods, limits, a topic broker and a client.
//!
//! The crate knows no method name of any application. A request type names its method ([`Params::METHOD`]), a
//! [`Router`] binds it to a handler, and an [`Engine`] serves connections that the application has accepted,
//! authenticated and upgraded. The two event notifications get their names from the caller ([`EventMethods`]).
//!
//! The engine guarantees the following:
//! - Ids are echoed byte for byte. Envelopes are parsed once with borrowed fields. `params` never become a tree.
//! - A slow handler never blocks another call of its connection. A client that does not read never blocks a publisher:
//!   every queue is bounded and every wait has an end.
//! - A call that has started runs to its end even if its client goes away, because a partial write is worse than a late
//!   one.
//! - A value that a client sent is never repeated in an error message or in a log line.
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
//! `tungstenite` prints whole messages at its `trace` level. The application that installs the subscriber has to cap
//! it.

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
pub use serve::{Closed, Counters, Engine, Io, accept_key};
// To publish events.
pub use events::{Broker, BrokerConfig, Cursor, EventMethods, NewEvent, Subscribed};
// To report errors and set limits.
pub use wire::{ENGINE_ERRORS, ErrorEntry, Limits, RpcError};
// To call a server.
#[cfg(feature = "client")]
pub use client::{
    BearerToken, CallError, Client, ClientError, ClientEvent, ClientOptions, Dialed, EventNames, Subscription,
};
