//! Use cases on profiles, the credentials that users provide for agents: logins, API keys, reading, order and deletion.
//!
//! The room may use accounts and tokens, which hold the credentials. Bundles, bindings and operator tokens must not be
//! here; an account that one of them uses is only left alone.

pub(crate) mod commit;
pub(crate) mod keys;
pub(crate) mod removal;
pub(crate) mod rows;
pub(crate) mod writes;
