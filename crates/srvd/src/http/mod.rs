//! HTTP interface of the daemon: the access checks and the answer for each path.

pub(crate) mod access;
mod listen;
mod operator;
mod respond;

pub(crate) use listen::{HttpServer, Listeners};
