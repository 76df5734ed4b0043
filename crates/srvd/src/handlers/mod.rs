//! One file per method family; each method is one function that the router finds by its parameters' type.

pub mod account;
pub mod auth;
pub mod bundle;
pub mod convert;
pub mod daemon;
pub mod events;
pub mod instance;
pub mod key;
pub mod launch;
pub mod provider;
pub mod revoke;
