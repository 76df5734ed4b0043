//! The errors of work on the directories of logins.

use std::io;

use crate::base::blocking::BrokenOff;
use crate::base::private::PrivateError;
use crate::hint::Step;
use crate::wire::error::{ApiError, Kind};

/// The reason why a directory could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirError {
    /// A part of its path is a link, is open to others, or cannot be created.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// A file in it cannot be written or removed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The provider has no CLI, so it has no directory.
    #[error("{0} has no CLI")]
    NoCli(String),
    /// The bundle is being deleted.
    #[error("the bundle is being deleted")]
    Retired,
    /// The work on it broke off.
    #[error(transparent)]
    BrokenOff(#[from] BrokenOff),
}

impl From<DirError> for ApiError {
    fn from(error: DirError) -> Self {
        match error {
            DirError::BrokenOff(error) => error.into(),
            error => {
                tracing::error!(%error, "a login's directory cannot be used");
                Self::new(Kind::StoreUnavailable, format!("the login's directory cannot be used: {error}"))
            }
        }
    }
}

impl From<BrokenOff> for ApiError {
    fn from(error: BrokenOff) -> Self {
        tracing::error!(%error, "work on the files of a login ended unexpectedly");
        let message = match &error {
            BrokenOff::Failed(_) => "the files of the login could not be read or changed".to_owned(),
            late => format!("the files of the login could not be read or changed: {late}"),
        };
        Self::new(Kind::StoreUnavailable, message).hint(Step::RetryLater)
    }
}
