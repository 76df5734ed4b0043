//! The public state of a session.

use std::fmt;

use super::sink::Saved;
use crate::registry::PasteShape;

/// The current state of a session. `Debug` shows neither addresses nor codes.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Session id, as given to `start`.
    pub id: String,
    /// Canonical provider id.
    pub provider: String,
    /// Recipe id.
    pub recipe: String,
    /// Scope, as given to `start`.
    pub scope: String,
    /// Revision of the snapshot; it grows by one with every change.
    pub revision: u64,
    /// State of the login.
    pub state: State,
    /// Address that a person opens to log in.
    pub auth_url: Option<String>,
    /// True if the address (either one) may be opened without asking: https and on the provider's host list.
    pub url_openable: bool,
    /// Code to enter at the verification address.
    pub device_code: Option<String>,
    /// Address at which the device code is entered.
    pub verification_url: Option<String>,
    /// True if a pasted answer would be taken now.
    pub prompt: bool,
    /// True if the CLI has asked for an answer in the words of the recipe's `prompt` pattern.
    pub prompted: bool,
    /// The shapes of a pasted answer that this login takes; empty if it takes none.
    pub paste_shapes: Vec<PasteShape>,
    /// Start of the session, in unix milliseconds.
    pub started_at: i64,
    /// Deadline of the session, in unix milliseconds.
    pub expires_at: i64,
    /// End of the session, in unix milliseconds, once it has ended.
    pub ended_at: Option<i64>,
    /// Process id, which is also the process group's id, once spawned.
    pub pid: Option<u32>,
    /// The process's start time in the kernel's count. Together with `pid` it identifies one process for good.
    pub process_start: Option<String>,
    /// The place where the login was committed; present exactly on success.
    pub saved: Option<Saved>,
    /// Email address of the account, if known; only on success.
    pub email: Option<String>,
    /// The reason why the session did not succeed; present exactly on failure, cancellation and expiry.
    pub failure: Option<Failure>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Snapshot")
            .field("id", &self.id)
            .field("provider", &self.provider)
            .field("recipe", &self.recipe)
            .field("scope", &self.scope)
            .field("revision", &self.revision)
            .field("state", &self.state)
            .field("has_auth_url", &self.auth_url.is_some())
            .field("has_device_code", &self.device_code.is_some())
            .field("url_openable", &self.url_openable)
            .field("prompt", &self.prompt)
            .field("pid", &self.pid)
            .field("saved", &self.saved)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// The state of a session.
///
/// ```text
/// Pending -> UrlAvailable | CodeEmitted -> Confirming -> Saving -> Success
///    any live state -> Failed | Cancelled | Expired
/// ```
/// A refused paste leads from `Confirming` back to `UrlAvailable` or `CodeEmitted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Started; nothing to show yet.
    Pending,
    /// There is an address to open.
    UrlAvailable,
    /// There is a code to enter.
    CodeEmitted,
    /// The CLI got an answer, says that it is logged in, or ended; the proof is being looked for.
    Confirming,
    /// The login is proven and is being committed.
    Saving,
    /// The login was committed.
    Success,
    /// Ended without a login.
    Failed,
    /// Ended on request.
    Cancelled,
    /// Ended at its deadline.
    Expired,
}

impl State {
    /// Returns whether the state is final.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled | Self::Expired)
    }

    /// Returns a stable word: `pending`, `url-available`, `code-emitted`, `confirming`, `saving`, `success`, `failed`,
    /// `cancelled` or `expired`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::UrlAvailable => "url-available",
            Self::CodeEmitted => "code-emitted",
            Self::Confirming => "confirming",
            Self::Saving => "saving",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// The reason why a session did not succeed. Texts hold neither addresses nor pasted answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Machine-readable kind.
    pub kind: FailureKind,
    /// Text for display.
    pub message: String,
    /// The next step for the user.
    pub hint: Option<String>,
    /// Exit code of the CLI, if it is known; only with [`FailureKind::CliExited`].
    pub exit_code: Option<i32>,
}

/// The machine-readable reason why a session did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The CLI could not be started.
    SpawnFailed,
    /// No pseudo-terminal was available.
    TtyUnavailable,
    /// The CLI ended with an error.
    CliExited,
    /// The CLI ended without an error and without a login.
    NotAuthenticated,
    /// The provider or the person refused the login.
    Denied,
    /// The CLI reported a failure that is not a refusal, such as a network error.
    LoginFailed,
    /// The program says that it is no longer the provider's CLI.
    CliRetired,
    /// The deadline passed.
    Expired,
    /// The login was cancelled.
    Cancelled,
    /// The login could not be committed.
    Storage,
    /// A callback port is in use.
    PortInUse,
    /// The login belongs to another person than expected.
    IdentityMismatch,
    /// The bundle or account of the login is gone.
    NotFound,
    /// The login conflicts with existing data.
    Conflict,
    /// The directory belongs to the user's own CLI.
    AmbientDirectory,
    /// The daemon was restarted during the login.
    DaemonRestarted,
    /// The store cannot be reached.
    StoreUnavailable,
    /// An internal error of the daemon.
    Internal,
}

impl FailureKind {
    /// Returns the word used in rows and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SpawnFailed => "spawn_failed",
            Self::TtyUnavailable => "tty_unavailable",
            Self::CliExited => "cli_exited",
            Self::NotAuthenticated => "not_authenticated",
            Self::Denied => "denied",
            Self::LoginFailed => "login_failed",
            Self::CliRetired => "cli_retired",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Storage => "storage",
            Self::PortInUse => "port_in_use",
            Self::IdentityMismatch => "identity_mismatch",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::AmbientDirectory => "ambient_directory",
            Self::DaemonRestarted => "daemon_restarted",
            Self::StoreUnavailable => "store_unavailable",
            Self::Internal => "internal",
        }
    }
}
