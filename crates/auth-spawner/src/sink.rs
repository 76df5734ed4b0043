//! Whom a session reports to. The owner of the store implements this.

use std::path::PathBuf;

use futures_util::future::BoxFuture;

use crate::proof::Credential;
use crate::snapshot::{FailureKind, Snapshot};
use crate::token::Token;

/// Takes what a login session reports.
pub trait Sink: Send + Sync + 'static {
    /// The session moved: record it. Called in order for one session and awaited, at most five seconds, before
    /// anybody can see the new snapshot.
    fn moved(&self, snapshot: Snapshot) -> BoxFuture<'static, ()>;

    /// Whoever asks now sees this snapshot: the moment to announce it. Must not block.
    fn shown(&self, snapshot: &Snapshot);

    /// No process of the session is left and it does nothing more. Comes once, after its last move. Must not block.
    fn gone(&self, session: &str) {
        let _ = session;
    }

    /// The login is proven: commit it. Only `Ok` makes the session a success. Awaited at most thirty seconds;
    /// an answer that takes longer counts as `storage`, so the implementation should end by itself before.
    fn save(&self, login: ConfirmedLogin) -> BoxFuture<'static, Result<Saved, SaveError>>;
}

/// A login that the CLI's own files prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmedLogin {
    /// The session.
    pub session: String,
    /// Canonical provider id.
    pub provider: String,
    /// The scope that the session was started with.
    pub scope: String,
    /// The directory that holds the login; the CLI owns its contents.
    pub config_dir: PathBuf,
    /// What the file says. The email may come from the CLI's words when the file has none.
    pub credential: Credential,
    /// Whether a check command said yes as well.
    pub evidence_check: bool,
    /// The credential itself, where the CLI has shown it and stored nothing. The caller seals it; it proves the login
    /// in place of a file.
    pub token: Option<Token>,
}

/// Where a login was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Bundle id.
    pub bundle: String,
    /// Account id.
    pub account: String,
}

/// Why a login was not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveError {
    /// Word for programs, such as [`FailureKind::Storage`] or [`FailureKind::IdentityMismatch`].
    pub kind: FailureKind,
    /// Text for people, without secrets.
    pub message: String,
}
