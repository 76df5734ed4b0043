//! The receiver of a session's reports. The owner of the store implements it.

use std::path::PathBuf;

use futures_util::future::BoxFuture;

use super::snapshot::{FailureKind, Snapshot};
use crate::findings::Token;
use crate::proof::Credential;

/// Receives the reports of login sessions.
pub trait Sink: Send + Sync + 'static {
    /// Records a change of the session. Calls for one session are made in order. Each is awaited, for at most five
    /// seconds, before the new snapshot becomes visible.
    fn moved(&self, snapshot: Snapshot) -> BoxFuture<'static, ()>;

    /// Announces a snapshot that has just become visible. Must not block.
    fn shown(&self, snapshot: &Snapshot);

    /// Reports that no process of the session is left and that the session does nothing more. Called once, after its
    /// last change. Must not block.
    fn gone(&self, session: &str) {
        let _ = session;
    }

    /// Commits a proven login. Only `Ok` makes the session a success. The call is awaited for at most thirty seconds. A
    /// longer one counts as `storage`, so the implementation should return earlier.
    fn save(&self, login: ConfirmedLogin) -> BoxFuture<'static, Result<Saved, SaveError>>;
}

/// A login that the CLI's own files prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmedLogin {
    /// Id of the session.
    pub session: String,
    /// Canonical provider id.
    pub provider: String,
    /// The scope that the session was started with.
    pub scope: String,
    /// The directory that holds the login; the CLI owns its contents.
    pub config_dir: PathBuf,
    /// The facts of the credential file. The email may come from the CLI's output if the file has none.
    pub credential: Credential,
    /// True if a check command confirmed the login as well.
    pub evidence_check: bool,
    /// The credential itself, if the CLI has shown it and stored nothing. The caller seals it. It proves the login
    /// instead of a file.
    pub token: Option<Token>,
}

/// The place where a login was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Bundle id.
    pub bundle: String,
    /// Account id.
    pub account: String,
}

/// The reason why a login was not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveError {
    /// Machine-readable kind, such as [`FailureKind::Storage`] or [`FailureKind::IdentityMismatch`].
    pub kind: FailureKind,
    /// Text for display, without secrets.
    pub message: String,
}
