//! The types of wire protocol version 1: the parameters and the result of every method.
//!
//! Wire types are defined only here. Domain types of the libraries have no serde for the wire. All JSON is camelCase,
//! all times are unix milliseconds, and all ids are strings. A result field without a value is left out, unless its doc
//! says `null`.
//!
//! It uses no other room, only the types of the libraries that it converts. It must not decide, read the store or hold
//! state.

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
mod store_error;
pub(crate) mod suggestion;
mod words;

pub(crate) use names::Names;
pub(crate) use secret::{SecretInput, SecretOutput};
pub(crate) use words::words;

/// Binds a parameter struct to its method name, result and summary.
macro_rules! method {
    ($params:ty, $name:literal, $result:ty, $summary:literal $(, seconds = $seconds:literal)?) => {
        impl rpc_engine::Params for $params {
            const METHOD: &'static str = $name;
            const SUMMARY: &'static str = $summary;
            $(const LONGEST: std::time::Duration = std::time::Duration::from_secs($seconds);)?
            type Result = $result;
        }
    };
}
pub(crate) use method;

words! {
    /// The kind of a credential.
    CredentialKind {
        /// A login that a person completed.
        OAuth = "oauth",
        /// An API key.
        ApiKey = "api_key",
    }
}

words! {
    /// The status of an account's credential.
    Status {
        /// Usable, according to the evidence.
        Valid = "valid",
        /// The credential has expired.
        Expired = "expired",
        /// A person has to log in again.
        NeedsReauth = "needs_reauth",
        /// The provider refused the credential, or it is not the expected one.
        Invalid = "invalid",
        /// The state is not known.
        Unknown = "unknown",
    }
}

words! {
    /// The source of an account's status.
    Evidence {
        /// The provider's own credential file.
        File = "file",
        /// The CLI's check command, beside the file.
        Check = "check",
        /// An answer of the provider.
        Live = "live",
        /// A login that has just finished.
        Login = "login",
        /// There is no evidence.
        None = "none",
    }
}

words! {
    /// The source of a credential, the strongest first.
    #[derive(PartialOrd, Ord)]
    Source {
        /// An account that the bundle binds.
        Bundle = "bundle",
        /// A profile, which the user supplied for the agent.
        User = "user",
        /// A credential that a client lent to the daemon until the daemon ends.
        Ephemeral = "ephemeral",
        /// A credential that a file declares for the agent.
        Declared = "declared",
    }
}
