//! Serving of connections and POSTs: sockets, connection turns, calls in flight, deadlines and shutdown.
//!
//! The room may use `wire`, `events` and `methods`. Only this room owns server streams and tasks. It must not contain
//! message encoding, topic rules or method types.

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
