//! The methods of the protocol, one file for each family. The router finds a method's function by the type of its
//! parameters.

pub mod account;
pub mod auth;
pub mod bundle;
pub mod daemon;
pub mod declared;
pub mod ephemeral;
pub mod events;
pub mod instance;
pub mod key;
pub mod launch;
pub mod operator;
pub mod profile;
pub mod provider;
pub mod resolve;
pub mod revoke;
