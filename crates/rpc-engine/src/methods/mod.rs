//! Typed methods: request types, the table that binds them to handlers, decoding of parameters, and the `OpenRPC`
//! document.
//!
//! The room may use `wire` and `events`. It turns the JSON text of parameters into a future that gives the start of a
//! reply. Sockets, queues of replies and spawned tasks must not be in it.

mod call;
mod decode;
mod openrpc;
mod router;
mod service;

pub use call::{Call, ConnectionId, Params, Transport};
pub use openrpc::{ApiInfo, MethodInfo, OPENRPC_VERSION};
pub use router::Router;
pub use service::{DISCOVER, Service};

pub(crate) use service::{BoundMethod, Outcome, Running};
