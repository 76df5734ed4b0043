//! Errors for pasted answers, grouped by how the caller can react.

use thiserror::Error;

/// An error that prevented a pasted answer from reaching the CLI. No variant contains the pasted text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The session is unknown or has ended.
    #[error("the login session is not running")]
    NotLive,
    /// The CLI is not waiting for a pasted answer.
    #[error("the login is not waiting for a pasted answer")]
    NotExpected,
    /// The text matches none of the formats that this provider accepts.
    #[error("{reason}")]
    Invalid {
        /// The problem with the text. It does not contain the text itself.
        reason: &'static str,
    },
    /// The answer belongs to another login attempt.
    #[error("the answer belongs to another login attempt")]
    WrongState,
    /// Longer than 4000 bytes, the most that a terminal accepts in one line.
    #[error("the answer is longer than 4000 bytes")]
    TooLong,
    /// The answer could not be delivered to the CLI.
    #[error("the answer could not be delivered: {reason}")]
    Undeliverable {
        /// The reason for the failure.
        reason: String,
    },
}
