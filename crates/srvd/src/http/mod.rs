//! The daemon's HTTP interface: the access checks, and the response for each path.
//!
//! The room contains the listeners, the order of the access checks, the upgrade to the engine, and the operator's
//! pages. It uses `wire`, `base`, `forge` and `pairing`. It must not know the protocol's methods or make decisions about
//! identities.

pub(crate) mod access;
mod bind;
mod body;
mod console;
mod cors;
mod handshake;
mod headers;
mod listen;
mod metrics;
mod operator;
mod pair;
mod places;
mod readiness;
mod refusals;
mod respond;
mod route;
mod token;

pub(crate) use bind::{Listeners, check_length};
pub(crate) use listen::HttpServer;
pub(crate) use readiness::Readiness;
pub(crate) use refusals::Refusals;
