//! The start of a login: its request, and its result.

use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use super::failure::Failure;
use super::forge::Forge;
use super::table::TooManyLogins;

/// A request to start a login.
pub(crate) struct Start {
    /// The owner of the login.
    pub owner: String,
    /// The forge to log in at.
    pub forge: Arc<Forge>,
    /// The browser session that sent the request; `None` for a local client.
    pub session: Option<SecretString>,
}

/// A browser login that has been started.
pub(crate) struct StartedCode {
    /// The id of the login.
    pub session_id: String,
    /// The URL for the browser to open.
    pub auth_url: Url,
}

/// A device login that has been started.
pub(crate) struct StartedDevice {
    /// The id of the login.
    pub session_id: String,
    /// The code for the user to enter.
    pub user_code: String,
    /// The page at which the user enters the code.
    pub verification_url: String,
}

/// The reason why a login did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The TCP listener is off, so the forge could not redirect the browser back.
    #[error("signing in with the browser requires the TCP listener; turn it on or use the device flow")]
    NoRedirect,
    /// Too many logins are in progress.
    #[error(transparent)]
    Full(#[from] TooManyLogins),
    /// The forge did not start a device login.
    #[error(transparent)]
    Forge(#[from] Failure),
}
