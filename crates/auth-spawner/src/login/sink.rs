//! The receiver of session reports, implemented by the owner of the store.

use std::path::PathBuf;

use futures_util::future::BoxFuture;

use super::snapshot::{Advice, FailureKind, Snapshot};
use crate::findings::Token;
use crate::proof::Credential;

/// Receives reports from login sessions.
pub trait Sink: Send + Sync + 'static {
    /// Records a session change. Calls for one session are made in order. Each is awaited, for at most five seconds,
    /// before the new snapshot becomes visible.
    fn moved(&self, snapshot: Snapshot) -> BoxFuture<'static, ()>;

    /// Announces a snapshot that has just become visible. Must not block.
    fn shown(&self, snapshot: &Snapshot);

    /// Reports that no process of the session is left and that the session will do nothing more. Called once, after the
    /// last change. Must not block.
    fn gone(&self, session: &str) {
        let _ = session;
    }

    /// Commits a proven login. Only `Ok` makes the session a success. The call is awaited for at most thirty seconds
    /// and then fails as `storage`, so the implementation should return earlier.
    fn save(&self, login: ConfirmedLogin) -> BoxFuture<'static, Result<Saved, SaveError>>;
}

/// A login proven by the CLI's own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmedLogin {
    /// The session id.
    pub session: String,
    /// The canonical provider id.
    pub provider: String,
    /// The scope that the session was started with.
    pub scope: String,
    /// The directory that contains the login. Its contents belong to the CLI.
    pub config_dir: PathBuf,
    /// The facts from the credential file. The email address may come from the CLI's output if the file has none.
    pub credential: Credential,
    /// True if a check command has confirmed the login as well.
    pub evidence_check: bool,
    /// The credential itself, if the CLI showed it and stored nothing. It proves the login instead of a file, and the
    /// caller seals it.
    pub token: Option<Token>,
}

/// The rows in which a login was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The bundle id, if the login is a bundle's.
    pub bundle: Option<String>,
    /// The profile id, if the login is a user's.
    pub profile: Option<String>,
    /// The account id.
    pub account: String,
    /// The persons, if the login has replaced that of another person.
    pub replaced: Option<ReplacedPerson>,
}

/// The persons of a login that replaced the login of another person, by email address or the provider's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacedPerson {
    /// The person whose login was there before.
    pub former: String,
    /// The person whose login is there now.
    pub present: String,
}

/// The reason why a login was not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveError {
    /// Machine-readable kind, such as [`FailureKind::Storage`] or [`FailureKind::IdentityMismatch`].
    pub kind: FailureKind,
    /// The text to display, without secrets. It stands alone, without the usual text for the kind.
    pub message: String,
    /// The next step for the user.
    pub advice: Option<Advice>,
}
