//! Events: a broker that numbers and keeps them, and one bounded mailbox per connection.
//!
//! The room may use `wire` only. Nothing in it waits or spawns: a publisher fills mailboxes and returns, and the task of a
//! connection empties its own mailbox. Streams, calls and method names must not be in it.

mod batch;
mod broker;
mod mailbox;
mod subscriptions;

pub use broker::{Broker, BrokerConfig, EventMethods, NewEvent};
pub use subscriptions::{Cursor, Subscribed};

pub(crate) use subscriptions::Subscriptions;
