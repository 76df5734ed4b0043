//! The reasons why the active forge gave no answer.

use crate::forge::oauth::http::HttpFailure;
use crate::hint::Step;
use crate::wire::error::{ApiError, Kind};

/// The reason why there is no answer of the active forge.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForgeError {
    /// No operator account is active.
    #[error("no operator account is active")]
    NoActiveForge,
    /// The operator has to sign in again.
    #[error("the forge no longer accepts the operator's token")]
    SignIn {
        /// The id of the account.
        account: String,
    },
    /// The token is valid but lacks a right.
    #[error("the forge refuses this to the token{}", words(said.as_deref()))]
    Forbidden {
        /// The forge's own words.
        said: Option<String>,
        /// The scopes that the forge would accept, if it names them.
        scope: Option<String>,
    },
    /// The forge does not answer before this time, in Unix milliseconds.
    #[error("the forge answers no more requests for now, because a limit is reached")]
    Limited {
        /// The time from which the forge answers again.
        until: i64,
    },
    /// The object does not exist, or the account may not see it.
    #[error("the forge does not know {0}, or the account may not see it")]
    Missing(String),
    /// The forge rejects the request.
    #[error("the forge rejected the request with status {status}{}", words(said.as_deref()))]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The forge's own words.
        said: Option<String>,
    },
    /// The forge could not be reached, or its answer cannot be used.
    #[error("the forge could not be asked: {0}")]
    Unavailable(String),
    /// A value of the request cannot be sent.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field of the request.
        field: &'static str,
        /// The reason.
        reason: String,
    },
    /// The daemon's own error, such as one of its database.
    #[error("{}", .0.message())]
    Own(ApiError),
}

fn words(said: Option<&str>) -> String {
    said.map(|said| format!(" ({said})")).unwrap_or_default()
}

impl From<HttpFailure> for ForgeError {
    fn from(failure: HttpFailure) -> Self {
        Self::Unavailable(failure.to_string())
    }
}

impl From<ApiError> for ForgeError {
    fn from(error: ApiError) -> Self {
        Self::Own(error)
    }
}

impl From<identity_store::StoreError> for ForgeError {
    fn from(error: identity_store::StoreError) -> Self {
        Self::Own(error.into())
    }
}

impl From<ForgeError> for ApiError {
    fn from(error: ForgeError) -> Self {
        let text = error.to_string();
        match error {
            ForgeError::NoActiveForge => Self::new(Kind::NoActiveForge, text).hint(Step::SignInOrSelect),
            ForgeError::SignIn { account } => {
                Self::new(Kind::NeedsReauth, text).with("accountId", account).hint(Step::SignInOrSelect)
            }
            ForgeError::Forbidden { scope, .. } => {
                let error = Self::new(Kind::ForgeRefused, text).with("status", 403);
                match scope {
                    Some(scope) => error.with("scope", scope).hint(Step::AddScope),
                    None => error,
                }
            }
            ForgeError::Limited { until } => Self::new(Kind::ForgeUnavailable, text).with("retryAt", until),
            ForgeError::Missing(what) => {
                Self::new(Kind::NotFound, text).with("what", "repository").with("id", what)
            }
            ForgeError::Rejected { status, .. } => Self::new(Kind::ForgeRefused, text).with("status", status),
            ForgeError::Unavailable(_) => Self::new(Kind::ForgeUnavailable, text).hint(Step::ForgeLater),
            ForgeError::Invalid { field, reason } => Self::invalid_input(field, reason),
            ForgeError::Own(error) => error,
        }
    }
}
