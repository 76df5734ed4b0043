//! Agents: the credentials of agents that no user owns.
//!
//! It holds the credentials that files declare and those that clients lend for a while, in memory only. It uses `wire`,
//! `base`, `config` and `keys`. It must not write to the store or choose between credentials; `launch` does that.

pub mod credential;
pub mod declared;
pub mod ephemeral;
