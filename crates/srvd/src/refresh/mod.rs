//! The refresh of tokens that no CLI holds: an operator's tokens at forges, and tokens that users bring.
//!
//! - `outcome` converts an issuer's answer for the store, and the store's answer for the caller. It does no I/O.
//! - `clients` knows the endpoints that refresh an authority's tokens.
//! - `flight` refreshes one account: one flight per account in this process, one lease per account among all daemons.
//! - `plan` chooses the due accounts that are refreshed next, without I/O. `actor` owns the queue and begins flights.
//! - `refused` handles the report that a service refused a token before its expiry.
//!
//! All parts read the stored row of one account and not the result of a resolution. An account is therefore refreshed
//! even when another credential takes precedence over it.
//!
//! It uses `wire`, `base`, `config` and `forge`. It must not choose between credentials or refresh a login that a CLI
//! holds.

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
