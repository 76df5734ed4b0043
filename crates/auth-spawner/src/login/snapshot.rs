//! The public state of a session.

use std::fmt;

use super::sink::Saved;
use crate::registry::PasteShape;

/// The current state of a session. Its `Debug` output shows neither URLs nor codes.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The session id, as passed to `start`.
    pub id: String,
    /// The canonical provider id.
    pub provider: String,
    /// The recipe id.
    pub recipe: String,
    /// The scope, as passed to `start`.
    pub scope: String,
    /// The revision of the snapshot, which increases by one with every change.
    pub revision: u64,
    /// The state of the login.
    pub state: State,
    /// The URL that the user opens to log in.
    pub auth_url: Option<String>,
    /// True if the shown URL may be opened without asking: it uses https and its host is on the provider's list.
    pub url_openable: bool,
    /// The code to enter at the verification URL.
    pub device_code: Option<String>,
    /// The URL at which the device code is entered.
    pub verification_url: Option<String>,
    /// True if a pasted answer would be accepted now.
    pub prompt: bool,
    /// True if the CLI has prompted for an answer, according to the recipe's `prompt` pattern.
    pub prompted: bool,
    /// The shapes of pasted answer that this login accepts; empty if it accepts none.
    pub paste_shapes: Vec<PasteShape>,
    /// The start time of the session, in Unix milliseconds.
    pub started_at: i64,
    /// The deadline of the session, in Unix milliseconds.
    pub expires_at: i64,
    /// The end time of the session, in Unix milliseconds, once it has ended.
    pub ended_at: Option<i64>,
    /// The process id once the CLI has been started. It is also the process group id.
    pub pid: Option<u32>,
    /// The start time of the process, in the kernel's units. Together with `pid`, it uniquely identifies a process.
    pub process_start: Option<String>,
    /// The bundle and account in which the login was committed; set only on success.
    pub saved: Option<Saved>,
    /// The account's email address, if known; set only on success.
    pub email: Option<String>,
    /// The reason why the session did not succeed; set on failure, cancellation and expiry.
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
/// A rejected paste leads from `Confirming` back to `UrlAvailable` or `CodeEmitted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Started, with nothing to show yet.
    Pending,
    /// There is a URL to open.
    UrlAvailable,
    /// There is a code to enter.
    CodeEmitted,
    /// The CLI was given an answer, reports that it is logged in, or has exited; the proof is being checked.
    Confirming,
    /// The login is proven and is being committed.
    Saving,
    /// The login was committed.
    Success,
    /// Ended without a successful login.
    Failed,
    /// Ended by cancellation.
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

/// The reason why a session did not succeed. Its texts contain neither URLs nor pasted answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The machine-readable kind.
    pub kind: FailureKind,
    /// The text to display.
    pub message: String,
    /// The next step for the user.
    pub advice: Option<Advice>,
    /// The CLI's exit code, if known; only with [`FailureKind::CliExited`].
    pub exit_code: Option<i32>,
}

/// The next step after a login that did not succeed. The caller words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// The CLI could not be started.
    CheckInstalled,
    /// No terminal could be opened.
    CheckTerminals,
    /// The CLI failed.
    StartAgain,
    /// The CLI exited without a login.
    FinishInBrowser,
    /// The login was denied.
    Approve,
    /// The login was not completed in time.
    ApproveInTime,
    /// The CLI could not reach the provider.
    CheckNetwork,
    /// The check of the login hung.
    CheckHung,
    /// Another program uses the callback port.
    FreePort,
    /// The CLI says that it logged in, but stored nothing in the login's directory.
    StoredElsewhere,
    /// The CLI's file or its check does not confirm the login.
    Unproven,
    /// The program is no longer the provider's CLI. Holds the command that installs the current one.
    Reinstall(String),
    /// The words of the provider's entry.
    OfEntry(String),
    /// The caller's own words, about the network ([`SpawnerConfig::network_advice`](crate::SpawnerConfig)) or a login that
    /// it did not store ([`SaveError::advice`](crate::SaveError)).
    OfCaller(String),
}

/// The machine-readable reason why a session did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The CLI could not be started.
    SpawnFailed,
    /// No pseudo-terminal was available.
    TtyUnavailable,
    /// The CLI exited with an error.
    CliExited,
    /// The CLI exited successfully but without logging in.
    NotAuthenticated,
    /// The provider or the user denied the login.
    Denied,
    /// The CLI reported a failure other than a denial, such as a network error.
    LoginFailed,
    /// The program reports that it is no longer the provider's CLI.
    CliRetired,
    /// The deadline passed.
    Expired,
    /// The login was cancelled.
    Cancelled,
    /// The login could not be committed.
    Storage,
    /// A callback port is in use.
    PortInUse,
    /// The login belongs to a different account than expected.
    IdentityMismatch,
    /// The login's bundle or account no longer exists.
    NotFound,
    /// The login conflicts with existing data.
    Conflict,
    /// The directory belongs to the user's own CLI.
    AmbientDirectory,
    /// The daemon was restarted during the login.
    DaemonRestarted,
    /// The store is unavailable.
    StoreUnavailable,
    /// An internal error of the daemon.
    Internal,
}

impl FailureKind {
    /// Returns the name used in database rows and on the wire.
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
