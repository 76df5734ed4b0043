//! RPC: the methods of the protocol.
//!
//! `routes` lists them, `methods` decodes, calls a room and encodes, `app` is the state they share, and `reference`
//! generates the protocol documentation. The room uses every room below it. It must not contain decisions, SQL, paths
//! or child processes.

pub(crate) mod app;
mod errors;
mod examples;
pub(crate) mod methods;
pub(crate) mod reference;
pub(crate) mod routes;
