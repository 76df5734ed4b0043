//! Errors, named by what the caller can do about them.

use thiserror::Error;

/// A registry file that cannot be used. The text names the file and the place in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{source_name}: {place}: {reason}")]
pub struct RegistryError {
    /// The file, as the caller named it, or `config/providers` for the shipped ones.
    pub source_name: String,
    /// Path of the table or field, such as `providers.codex.cli.recipes`, or `-` for the whole file.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A login that was not started; no process was made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StartError {
    /// A login of this provider already runs for this scope.
    #[error("a login of this provider is already running: {session}")]
    Running {
        /// The running session.
        session: String,
    },
    /// Another session holds a callback port that the CLI needs.
    #[error("port {port} is in use by login {session}")]
    PortLeased {
        /// The port.
        port: u16,
        /// The session that holds it.
        session: String,
    },
    /// A session with this id exists already.
    #[error("a session with this id exists already")]
    DuplicateId,
    /// As many logins as allowed are running, and as many as allowed are waiting.
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

/// A pasted answer that did not reach the CLI. No variant carries the pasted text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The session is unknown or has ended.
    #[error("the login session is not running")]
    NotLive,
    /// The CLI does not wait for a pasted answer now.
    #[error("the login does not wait for a pasted answer")]
    NotExpected,
    /// The text has none of the shapes that this provider takes.
    #[error("{reason}")]
    Invalid {
        /// What is wrong, without the text itself.
        reason: &'static str,
    },
    /// The answer belongs to another login attempt.
    #[error("the answer belongs to another login attempt")]
    WrongState,
    /// Longer than 4000 bytes, the most that a terminal takes in one line.
    #[error("the answer is longer than 4000 bytes")]
    TooLong,
    /// The CLI did not take it.
    #[error("the answer could not be delivered: {reason}")]
    Undeliverable {
        /// What happened.
        reason: String,
    },
}
