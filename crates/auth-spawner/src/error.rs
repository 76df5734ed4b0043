//! Errors, grouped by the caller's possible reactions.

use thiserror::Error;

/// A registry file that cannot be used. The text names the file and the place in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{source_name}: {place}: {reason}")]
pub struct RegistryError {
    /// The file as the caller named it, or `config/providers` for the shipped ones.
    pub source_name: String,
    /// Path of the table or field, such as `providers.codex.cli.recipes`, or `-` for the whole file.
    pub place: String,
    /// The problem with the field or the file.
    pub reason: String,
}

/// An error that prevents the start of a login. No process was created.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StartError {
    /// A login of this provider already runs for this scope.
    #[error("a login of this provider is already running: {session}")]
    Running {
        /// Id of the running session.
        session: String,
    },
    /// Another session holds a callback port that the CLI needs.
    #[error("port {port} is in use by login {session}")]
    PortLeased {
        /// Number of the port.
        port: u16,
        /// The session that holds it.
        session: String,
    },
    /// A session with this id already exists.
    #[error("a session with this id exists already")]
    DuplicateId,
    /// The limits of running and of waiting logins are both reached.
    #[error("too many logins are running")]
    Capacity,
    /// The provider has no recipe with this id.
    #[error("the provider has no such login recipe")]
    UnknownRecipe,
    /// The spawner is shutting down.
    #[error("shutting down")]
    ShuttingDown,
}

/// The session is unknown or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the login session is not running")]
pub struct NotLive;

/// An error that kept a pasted answer from the CLI. No variant carries the pasted text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The session is unknown or has ended.
    #[error("the login session is not running")]
    NotLive,
    /// The CLI is not waiting for a pasted answer.
    #[error("the login does not wait for a pasted answer")]
    NotExpected,
    /// The text has none of the formats that this provider accepts.
    #[error("{reason}")]
    Invalid {
        /// The problem with the text, without the text itself.
        reason: &'static str,
    },
    /// The answer belongs to another login attempt.
    #[error("the answer belongs to another login attempt")]
    WrongState,
    /// Longer than 4000 bytes, the most that a terminal takes in one line.
    #[error("the answer is longer than 4000 bytes")]
    TooLong,
    /// The CLI did not take the answer.
    #[error("the answer could not be delivered: {reason}")]
    Undeliverable {
        /// The reason of the failure.
        reason: String,
    },
}
