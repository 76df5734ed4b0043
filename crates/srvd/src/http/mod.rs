//! HTTP interface of the daemon: the access checks and the answer for each path.
//!
//! It holds the listeners, the order of the access checks, the upgrade to the engine and the pages of the operator. It
//! uses `wire`, `base` and `forge`. It must not know a method of the protocol or decide about an identity.

pub(crate) mod access;
mod headers;
mod listen;
mod metrics;
mod operator;
mod places;
mod refusals;
mod respond;

pub(crate) use listen::{HttpServer, Listeners, check_length};
pub(crate) use refusals::Refusals;
