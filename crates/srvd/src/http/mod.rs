//! The daemon's HTTP interface: the access checks, and the response for each path.
//!
//! The room contains the listeners, the order of the access checks, the upgrade to the engine, and the operator's
//! pages. It uses `wire`, `base` and `forge`. It must not know the protocol's methods or make decisions about
//! identities.

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
