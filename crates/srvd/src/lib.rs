//! `srvd`, the identity daemon for AI coding agents.
//!
//! This crate is the only one that uses the three libraries, the wire types, the command line and the environment. A
//! good place to start reading is [`boot::start`], which shows the whole daemon at a glance.

pub mod api;
pub mod api_key;
pub mod app;
pub mod audit;
pub mod boot;
pub mod bootstrap;
pub mod cli;
pub mod config;
pub mod declared;
pub mod doctor;
pub mod endpoint;
pub mod environment;
pub mod ephemeral;
pub mod error;
pub mod handlers;
pub mod health;
mod host;
pub mod http;
mod https;
pub mod identity_dir;
pub mod key;
pub mod keychain;
pub mod launch;
pub mod leftovers;
pub mod logging;
pub mod login;
pub mod oauth;
pub mod operator;
pub mod own_dir;
pub mod policy;
pub mod private;
pub mod probe;
pub mod redact;
pub mod reference;
pub mod refresh;
pub mod renewal;
pub mod resolution;
pub mod routes;
mod scratch;
pub mod secrets;
