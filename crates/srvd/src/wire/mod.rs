//! The types of wire protocol version 1: the parameters and result of every method.
//!
//! Wire types are defined only here. The libraries' domain types do not implement serde for the wire. All JSON is
//! camelCase, all times are Unix milliseconds, and all ids are strings. A result field without a value is omitted,
//! unless its documentation says `null`.
//!
//! The room uses `hint` and the library types that it converts. It must not make decisions, read the store or
//! hold state.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod auth_list;
pub(crate) mod bundle;
pub(crate) mod console;
pub(crate) mod convert;
pub(crate) mod daemon;
pub(crate) mod declared;
pub(crate) mod doctor;
pub(crate) mod ephemeral;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod forge;
pub(crate) mod forge_credential;
pub(crate) mod forge_watch;
pub(crate) mod ids;
pub(crate) mod instance;
pub(crate) mod keeping;
pub(crate) mod launch;
pub(crate) mod login_scope;
mod names;
pub(crate) mod next_step;
pub(crate) mod not_used;
pub(crate) mod operator;
pub(crate) mod page;
pub(crate) mod pair;
pub(crate) mod paste;
pub(crate) mod profile;
pub(crate) mod provider;
pub(crate) mod quota;
pub(crate) mod scope;
mod secret;
pub(crate) mod share;
mod store_error;
pub(crate) mod stray;
pub(crate) mod unfit;
mod words;

pub(crate) use names::Names;
pub(crate) use secret::{SecretInput, SecretOutput};
pub(crate) use words::words;

/// Binds a parameter struct to its method name, result and summary. `alias` is a further name, and `errors` are the
/// kinds that the parameters do not imply (`rpc/errors.rs`).
macro_rules! method {
    (
        $params:ty, $name:literal, $result:ty, $summary:literal
        $(, alias = $alias:literal)? $(, errors = [$($kind:ident),+])? $(, seconds = $seconds:literal)?
        $(, reports_unknown = $reports:literal)? $(,)?
    ) => {
        impl rpc_engine::Params for $params {
            const METHOD: &'static str = $name;
            const SUMMARY: &'static str = $summary;
            $(const ALIASES: &'static [&'static str] = &[$alias];)?
            $(const ERRORS: &'static [i32] = &[$($crate::wire::error::Kind::$kind.code()),+];)?
            $(const LONGEST: std::time::Duration = std::time::Duration::from_secs($seconds);)?
            $(const REPORTS_UNKNOWN: bool = $reports;)?
            type Result = $result;
        }
    };
}
pub(crate) use method;

words! {
    /// The kind of a credential.
    CredentialKind {
        /// A login completed by a user.
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
        /// The user has to log in again.
        NeedsReauth = "needs_reauth",
        /// The provider rejected the credential, or it is not the expected one.
        Invalid = "invalid",
        /// The status is not known.
        Unknown = "unknown",
    }
}

words! {
    /// The source of an account's status.
    Evidence {
        /// The provider's own credential file.
        File = "file",
        /// The provider's own credential file, which gives no end that can be read. `expiresAt` is assumed: one hour after
        /// the last change of the file.
        Assumed = "assumed",
        /// The CLI's check command, in addition to the file.
        Check = "check",
        /// A response from the provider.
        Live = "live",
        /// A login that has just finished.
        Login = "login",
        /// There is no evidence.
        None = "none",
    }
}

words! {
    /// The source of a credential, in order of precedence.
    #[derive(PartialOrd, Ord)]
    Source {
        /// An account bound in the bundle.
        Bundle = "bundle",
        /// A profile that the user supplied for the agent.
        User = "user",
        /// A credential that a client has lent to the daemon until the daemon exits.
        Ephemeral = "ephemeral",
        /// A credential that is declared for the agent in a file.
        Declared = "declared",
    }
}
