//! Service of connections and POSTs: sockets, turns of a connection, calls in flight, deadlines and the shutdown.
//!
//! The room may use `wire`, `events` and `methods`. It alone owns streams and tasks of the server. Encoding of messages,
//! the rules of topics and the types of methods must not be in it.

mod calls;
mod closed;
mod connection;
mod engine;
mod frame_counter;
mod outbox;
mod socket;
mod state;

pub use closed::Closed;
pub use engine::{Engine, accept_key};
pub use socket::Io;
pub use state::{Counters, MethodOutcome};
