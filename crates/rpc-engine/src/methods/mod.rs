//! Typed methods: request types, the table that binds them to handlers, parameter decoding, and the `OpenRPC` document.
//!
//! The room may use `wire` and `events`. It turns the JSON text of parameters into a future that yields the start of a
//! reply. It must not contain sockets, reply queues or spawned tasks.

mod call;
mod decode;
mod fields;
mod openrpc;
mod router;
mod service;
mod titles;

pub use call::{Call, ConnectionId, Params, Transport};
pub use openrpc::{ApiInfo, DerivedErrors, MethodInfo, MethodScope, OPENRPC_VERSION};
pub use router::Router;
pub use service::{DISCOVER, Service};

pub(crate) use service::{BoundMethod, Outcome, Running};
