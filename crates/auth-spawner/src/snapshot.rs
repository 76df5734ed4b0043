//! What can be seen of a session from outside.

use std::fmt;

use crate::recipe::PasteShape;
use crate::sink::Saved;

/// A session as it stands. `Debug` shows neither addresses nor codes.
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
    /// Grows by one with every change.
    pub revision: u64,
    /// Where the session stands.
    pub state: State,
    /// Address that a person opens to log in.
    pub auth_url: Option<String>,
    /// Whether the address (either one) may be opened without asking: https and on the provider's host list.
    pub url_openable: bool,
    /// Code to enter at the verification address.
    pub device_code: Option<String>,
    /// Address at which the device code is entered.
    pub verification_url: Option<String>,
    /// A pasted answer would be taken now.
    pub prompt: bool,
    /// The CLI has asked for an answer in the words of the recipe's `prompt` pattern.
    pub prompted: bool,
    /// The shapes of a pasted answer that this login takes; empty when it takes none.
    pub paste_shapes: Vec<PasteShape>,
    /// Unix milliseconds.
    pub started_at: i64,
    /// Unix milliseconds at which the session ends by itself.
    pub expires_at: i64,
    /// Unix milliseconds, once ended.
    pub ended_at: Option<i64>,
    /// Process id, which is also the process group's id, once spawned.
    pub pid: Option<u32>,
    /// The process's start time as the kernel counts it; with `pid` it names one process for good.
    pub process_start: Option<String>,
    /// Where the login was committed; present exactly on success.
    pub saved: Option<Saved>,
    /// Email address of the account, where known; only on success.
    pub email: Option<String>,
    /// Why it did not succeed; present exactly on failure, cancellation and expiry.
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

/// Where a session stands.
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
    /// The CLI was answered, says it is logged in, or ended; the proof is being looked for.
    Confirming,
    /// The proof is there and is being committed.
    Saving,
    /// Committed.
    Success,
    /// Ended without a login.
    Failed,
    /// Ended on request.
    Cancelled,
    /// Ended at its deadline.
    Expired,
}

impl State {
    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled | Self::Expired)
    }

    /// A stable word: `pending`, `url-available`, `code-emitted`, `confirming`, `saving`, `success`, `failed`,
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

/// Why a session did not succeed. Texts hold neither addresses nor pasted answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Word for programs.
    pub kind: FailureKind,
    /// Text for people.
    pub message: String,
    /// What a person can do.
    pub hint: Option<String>,
    /// Exit code of the CLI, with [`FailureKind::CliExited`] and where one is known.
    pub exit_code: Option<i32>,
}

/// Why a session did not succeed, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The CLI could not be started.
    SpawnFailed,
    /// No pseudo-terminal could be had.
    TtyUnavailable,
    /// The CLI ended with an error.
    CliExited,
    /// The CLI ended without an error and without a login.
    NotAuthenticated,
    /// The provider or the person refused.
    Denied,
    /// The CLI reported a failure that is not a refusal, such as one of the network.
    LoginFailed,
    /// The program says that it is no longer the provider's CLI.
    CliRetired,
    /// The deadline passed.
    Expired,
    /// Ended on request.
    Cancelled,
    /// The login could not be committed.
    Storage,
    /// A callback port is in use.
    PortInUse,
    /// The login came back as another person.
    IdentityMismatch,
    /// The bundle or account that it was meant for is gone.
    NotFound,
    /// It collides with something that exists.
    Conflict,
    /// The directory belongs to the user's own CLI.
    AmbientDirectory,
    /// The daemon was restarted meanwhile.
    DaemonRestarted,
    /// The store cannot be reached.
    StoreUnavailable,
    /// A fault of the daemon.
    Internal,
}

impl FailureKind {
    /// The word used in rows and on the wire.
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
