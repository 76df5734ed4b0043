//! The values that callers give and receive: accounts, bundles, sessions, profiles, tokens and changes.
//!
//! Everything is pure: no clock, no SQL, no file. The room may use ids, secrets, errors and the checks of names. A value
//! that only the database has, such as a row, must not be here.

pub mod account;
pub mod audit;
pub mod bundle;
pub(crate) mod changes;
pub mod client;
pub(crate) mod credential;
pub mod instance;
pub mod keeping;
pub mod operator;
pub mod profile;
pub(crate) mod roots;
pub(crate) mod save;
pub mod session;
pub mod share;
pub mod token;
pub mod transfer;
pub mod watch;
