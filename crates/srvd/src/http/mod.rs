//! HTTP interface of the daemon: the access checks and the answer for each path.

pub mod access;
mod listen;
mod operator;
mod respond;

pub use listen::{HttpServer, Listeners};
