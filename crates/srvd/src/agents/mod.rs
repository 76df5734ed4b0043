//! Agents: credentials for agents that are not owned by any user.
//!
//! The room contains the credentials declared in files and those lent by clients for a while, both only in memory, and
//! defines the source and models of a credential. It uses `wire`, `base`, `config` and `keys`. It must not write to the
//! store or choose between credentials; `launch` does that.

pub(crate) mod declared;
pub(crate) mod ephemeral;
pub(crate) mod model;
