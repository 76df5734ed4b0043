//! Tests of the store on real databases. Each case runs on a `SQLite` file and on a `PostgreSQL` server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod grants;
mod harness;

mod accounts;
mod adopt;
mod audit;
mod authentic;
mod bundles;
mod census;
mod clients;
mod concurrency;
mod credentials;
mod files;
mod inspecting;
mod instances;
mod keeping;
mod killed;
mod logins;
mod migrations;
mod opening;
mod operators;
mod parked;
mod profiles;
mod refresh;
mod roots;
mod rotation;
mod secrets;
mod service;
mod sessions;
mod share;
mod together;
mod transfer;
mod user_logins;
mod watches;
