//! Errors of login operations, grouped by how the caller can react.

use thiserror::Error;

/// An error that prevented a login from starting. No process was created.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StartError {
    /// A login with this provider is already running for this scope.
    #[error("a login with this provider is already running: {session}")]
    Running {
        /// The id of the running session.
        session: String,
    },
    /// A callback port that the CLI needs is in use by another session.
    #[error("port {port} is in use by login {session}")]
    PortLeased {
        /// The port number.
        port: u16,
        /// The session that is using it.
        session: String,
        /// The provider of that session.
        provider: String,
    },
    /// A session with this id already exists.
    #[error("a session with this id already exists")]
    DuplicateId,
    /// Both the limit of running logins and the limit of queued logins have been reached.
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
