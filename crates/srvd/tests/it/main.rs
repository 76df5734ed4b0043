//! The daemon as its users meet it: the built program, real sockets, real CLIs.

#![cfg(test)]

mod bundles;
mod daemon;
mod fake;
mod http;
mod keys;
mod logins;
mod refusals;
mod standin;
mod support;
