//! The shapes of the wire, version 1: every method's parameters and result, and nothing else.
//!
//! Wire shapes live here only; domain structs of the libraries carry no wire serde. All JSON is camelCase, all times
//! are unix milliseconds, all ids are strings. A result field that has no value is left out, unless its doc says `null`.

pub mod account;
pub mod auth;
pub mod bundle;
pub mod daemon;
pub mod declared;
pub mod ephemeral;
pub mod events;
pub mod instance;
pub mod launch;
mod names;
pub mod operator;
pub mod profile;
pub mod provider;
mod secret;

pub use names::Names;
pub use secret::{SecretInput, SecretOutput};

/// Binds a parameter struct to its method name, result and summary.
macro_rules! method {
    ($params:ty, $name:literal, $result:ty, $summary:literal) => {
        impl rpc_engine::Params for $params {
            const METHOD: &'static str = $name;
            const SUMMARY: &'static str = $summary;
            type Result = $result;
        }
    };
}
pub(crate) use method;

/// The status of an account: what is known of its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Usable, as far as the evidence says.
    Valid,
    /// Past its expiry.
    Expired,
    /// Only a person can renew it.
    NeedsReauth,
    /// Refused by its provider, or not what it should be.
    Invalid,
    /// Cannot tell.
    Unknown,
}

/// What an account's status rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The provider's own credential file.
    File,
    /// The CLI's check command, beside the file.
    Check,
    /// An answer of the provider itself.
    Live,
    /// A login that has just ended.
    Login,
    /// Nothing.
    None,
}
