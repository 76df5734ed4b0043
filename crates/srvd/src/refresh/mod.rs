//! Refreshing of tokens that no CLI holds: operator tokens at forges, and tokens supplied by users.
//!
//! - `outcome` converts an issuer's response for the store, and the store's answer for the caller. It performs no I/O.
//! - `clients` knows the endpoints that refresh an authority's tokens.
//! - `flight` refreshes one account: one flight per account in this process, one lease per account across all daemons.
//! - `plan` chooses which due accounts to refresh next, without I/O. `actor` owns the queue and starts flights.
//! - `refused` handles reports that a service rejected a token before its expiry.
//!
//! All parts read the stored row of an account rather than the result of a resolution. An account is therefore
//! refreshed even if another credential takes precedence over it.
//!
//! The room uses `wire`, `base`, `config` and `forge`. It must not choose between credentials or refresh a login that
//! belongs to a CLI.

mod actor;
mod clients;
mod flight;
mod outcome;
mod plan;
mod refused;

pub(crate) use actor::{RefreshSignal, watch_over};
pub(crate) use flight::{Grant, Refresher, RefresherConfig};
pub(crate) use outcome::Outcome;

#[cfg(test)]
mod tests;
