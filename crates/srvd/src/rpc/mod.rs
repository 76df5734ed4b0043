//! RPC: the methods of the protocol.
//!
//! `routes` lists them, `methods` decodes, calls a room and encodes, `app` is the state that they share, and `reference`
//! writes the protocol's documentation. It uses every room below it. It must not hold a decision, SQL, a path or a
//! child process.

pub(crate) mod app;
pub(crate) mod methods;
pub(crate) mod reference;
pub(crate) mod routes;
