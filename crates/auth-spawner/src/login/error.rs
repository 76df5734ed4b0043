//! Errors of the operations on logins, grouped by the caller's possible reactions.

use thiserror::Error;

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
