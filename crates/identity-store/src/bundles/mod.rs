//! Use cases on bundles: their rows and bindings, logins and API keys that are saved into them, the adoption of the user's
//! own logins, the policies about shared settings, export and import.
//!
//! The room may use accounts, sessions, instances and tombstones. Tokens that the store refreshes itself, profiles and
//! operator tokens must not be here: no bundle binds them.

pub(crate) mod adopt;
mod api_keys;
mod bindings;
pub(crate) mod logins;
pub(crate) mod rows;
pub(crate) mod share;
pub(crate) mod transfer;
pub(crate) mod writes;
