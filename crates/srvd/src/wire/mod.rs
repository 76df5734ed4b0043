//! The types of wire protocol version 1: the parameters and the result of every method.
//!
//! Wire types are defined only here. Domain types of the libraries have no serde for the wire. All JSON is camelCase,
//! all times are unix milliseconds, and all ids are strings. A result field without a value is left out, unless its doc
//! says `null`.

pub(crate) mod account;
pub(crate) mod auth;
pub(crate) mod bundle;
pub(crate) mod convert;
pub(crate) mod daemon;
pub(crate) mod declared;
pub(crate) mod ephemeral;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod ids;
pub(crate) mod instance;
pub(crate) mod launch;
mod names;
pub(crate) mod operator;
pub(crate) mod profile;
pub(crate) mod provider;
mod secret;
pub(crate) mod suggestion;

pub(crate) use names::Names;
pub(crate) use secret::{SecretInput, SecretOutput};

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

/// The status of an account's credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Usable, according to the evidence.
    Valid,
    /// The credential has expired.
    Expired,
    /// A person has to log in again.
    NeedsReauth,
    /// The provider refused the credential, or it is not the expected one.
    Invalid,
    /// The state is not known.
    Unknown,
}

/// The source of an account's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Evidence {
    /// The provider's own credential file.
    File,
    /// The CLI's check command, beside the file.
    Check,
    /// An answer of the provider.
    Live,
    /// A login that has just finished.
    Login,
    /// There is no evidence.
    None,
}

/// The source of a credential, the strongest first. A client must accept values that are added later.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// An account that the bundle binds.
    Bundle,
    /// A profile, which the user supplied for the agent.
    User,
    /// A credential that a client lent to the daemon until the daemon ends.
    Ephemeral,
    /// A credential that a file declares for the agent.
    Declared,
}

impl Source {
    /// Returns the word of the wire protocol.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::User => "user",
            Self::Ephemeral => "ephemeral",
            Self::Declared => "declared",
        }
    }
}
