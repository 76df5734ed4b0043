//! Use cases on profiles, the credentials that users provide for agents: logins, API keys, reading, order and deletion.
//!
//! The room may use accounts and tokens, which hold the credentials. Bundles, bindings and operator tokens must not be
//! here; an account that one of them uses is only left alone. No row belongs to an agent alone: a profile is one user's
//! use of an agent. A new declaration of an agent therefore finds nothing that an earlier one has left.

pub(crate) mod commit;
pub(crate) mod keys;
pub(crate) mod logins;
pub(crate) mod removal;
pub(crate) mod rows;
pub(crate) mod writes;
