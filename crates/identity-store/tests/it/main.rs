//! The store, on real databases: each case runs on a `SQLite` file and on a `PostgreSQL` server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod grants;
mod harness;

mod accounts;
mod adopt;
mod bundles;
mod concurrency;
mod instances;
mod logins;
mod migrations;
mod opening;
mod operators;
mod parked;
mod profiles;
mod refresh;
mod secrets;
mod service;
mod sessions;
