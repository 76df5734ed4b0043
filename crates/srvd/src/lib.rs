//! `srvd`, the identity daemon for AI coding agents.
//!
//! This crate is the only one that uses the three libraries, the wire types, the command line and the environment. A
//! good place to start reading is `daemon::start`, which shows the whole daemon at a glance. `ARCHITECTURE.md` has a
//! map of the rooms.

mod accounts;
mod adapter;
mod adopt;
mod agents;
mod audit;
mod base;
mod cli;
mod config;
mod console;
mod daemon;
mod destination;
mod disk;
mod doctor;
mod forge;
mod health;
mod hint;
mod http;
mod keeper;
mod keys;
mod launch;
mod login;
mod pairing;
mod refresh;
mod rpc;
mod share;
mod wire;

pub use cli::main;
pub use hint::{ROWS, Row};
