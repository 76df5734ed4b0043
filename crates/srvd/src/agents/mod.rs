//! Agents: the credentials of agents that no user owns.
//!
//! It holds the credentials that files declare and those that clients lend for a while, in memory only, and defines the
//! source and the models of a credential. It uses `wire`, `base`, `config` and `keys`. It must not write to the store or
//! choose between credentials; `launch` does that.

pub(crate) mod declared;
pub(crate) mod ephemeral;
pub(crate) mod model;
