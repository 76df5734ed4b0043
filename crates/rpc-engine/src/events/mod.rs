//! Events: a broker that numbers and retains them, and one bounded mailbox per connection.
//!
//! The room may use only `wire`. Nothing in it waits or spawns: a publisher fills mailboxes and returns, and each
//! connection's task empties its own mailbox. It must not contain streams, calls or method names.

mod batch;
mod broker;
mod mailbox;
mod subscriptions;

pub use broker::{Broker, BrokerConfig, EventMethods, NewEvent};
pub use subscriptions::{Cursor, Subscribed};

pub(crate) use subscriptions::Subscriptions;
