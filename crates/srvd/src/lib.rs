//! `srvd`, the identity daemon for AI coding agents.
//!
//! This crate is the only one that uses the three libraries, the wire types, the command line and the environment. A
//! good place to start reading is [`daemon::start`], which shows the whole daemon at a glance. `ARCHITECTURE.md` has a
//! map of the rooms.

pub mod accounts;
pub mod adopt;
pub mod agents;
pub mod audit;
pub mod base;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod destination;
pub mod disk;
pub mod doctor;
pub mod forge;
pub mod health;
pub mod http;
pub mod keys;
pub mod launch;
pub mod login;
pub mod refresh;
pub mod rpc;
pub mod wire;
