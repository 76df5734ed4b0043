//! The refresh of tokens that no CLI holds: an operator's at forges, and those that users bring.
//!
//! - `outcome` is pure: what an issuer's answer means to the store, and what the store's answer means to the caller.
//! - `clients` knows where the tokens of an authority are refreshed.
//! - `flight` refreshes one account: one flight an account in this process, one lease an account among all daemons.
//! - `plan` is pure: which due accounts are refreshed next. `actor` owns the queue and does it.
//!
//! Everything reads the stored row of one account, never what a resolution has chosen: an account whose place another
//! credential takes is refreshed all the same.

mod actor;
mod clients;
mod flight;
mod outcome;
mod plan;

pub use actor::{Wake, watch_over};
pub use flight::{Grant, Refresher, RefresherConfig};
pub use outcome::Outcome;
