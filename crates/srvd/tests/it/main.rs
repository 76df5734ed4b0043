//! The daemon as its users meet it: the built program, real sockets, real CLIs.

#![cfg(test)]

mod bundles;
mod commands;
mod daemon;
mod declared;
mod fake;
mod frontend;
mod health;
mod http;
mod instances;
mod keys;
mod kills;
mod launch;
mod logins;
mod migrate;
mod profiles;
mod program;
mod providers;
mod real_clis;
mod refusals;
mod standin;
mod support;
mod tokens;
mod wire;
