//! The methods of the protocol, with one file per family. The router finds a method's function by its parameter type.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod bundle;
pub(crate) mod console;
pub(crate) mod daemon;
pub(crate) mod declared;
pub(crate) mod doctor;
pub(crate) mod ephemeral;
pub(crate) mod events;
pub(crate) mod forge;
pub(crate) mod instance;
pub(crate) mod key;
pub(crate) mod launch;
pub(crate) mod operator;
pub(crate) mod pair;
pub(crate) mod profile;
pub(crate) mod provider;
pub(crate) mod quota;
pub(crate) mod resolve;
pub(crate) mod revoke;
pub(crate) mod share;
