//! Errors of pasted answers, grouped by the caller's possible reactions.

use thiserror::Error;

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
