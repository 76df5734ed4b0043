//! `account.keepalive`: the renewal of CLI logins by their own CLIs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{method, words};
use crate::hint::Hint;

/// The reason for a login without a known end.
pub(crate) const UNKNOWN_END: &str = "its files do not tell when it ends";

/// Reads the state of the renewals, changes the switch of an account, or renews logins now.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeepAlive {
    /// The account's id; all accounts with a login of a CLI if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The new switch of the account; unchanged if absent. Requires `accountId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<KeepSwitch>,
    /// True to renew the login now, as far as its CLI can. Without `accountId`, all logins that are kept alive are
    /// renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew: Option<bool>,
}
method!(
    KeepAlive,
    "account.keepalive",
    KeptLogins,
    "Returns how CLI logins are kept alive. It also switches this for an account, or renews logins now with their own CLIs.",
    seconds = 120
);

words! {
    /// The switch of an account.
    KeepSwitch {
        /// The login is kept alive.
        On = "on",
        /// The login is left alone.
        Off = "off",
        /// The rule of `srvd.toml`. A login in the user's own directory is left alone.
        Default = "default",
    }
}

/// The logins that CLIs keep in directories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeptLogins {
    /// The logins, in the order of their accounts.
    pub logins: Vec<KeptLogin>,
}

/// The state of the renewals of a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeptLogin {
    /// The account's id.
    pub account_id: String,
    /// Canonical provider id.
    pub provider_id: String,
    /// The switch of the account.
    pub switch: KeepSwitch,
    /// The state.
    pub state: KeepState,
    /// The reason for the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The kind of command that makes the CLI renew the login: `app_server`, `command`, `start` or `none`.
    pub by: String,
    /// The end of the access token, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// The time of the last renewal by srvd, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_at: Option<i64>,
    /// The time of the last attempt, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<i64>,
    /// The outcome of the last attempt, judged by the login's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<KeepOutcome>,
    /// The explanation of the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The time of the next attempt, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<i64>,
    /// The number of failed attempts since the last renewal.
    pub failures: u32,
    /// The number of reports, since the daemon started, that a service refused the access token before its end.
    pub refusals: u32,
    /// The time of the refusal by the provider, in Unix milliseconds, for a login that is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_at: Option<i64>,
    /// The other accounts whose directories hold the same refresh token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<String>,
    /// The next step for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<Hint>,
}

words! {
    /// The state of the renewals of a login.
    KeepState {
        /// The login is renewed at `nextAt`.
        Waiting = "waiting",
        /// The CLI runs to renew the login.
        Running = "running",
        /// The renewal waits, for a login by the user or after a new version of the CLI.
        Held = "held",
        /// The last attempts failed. The next one is due at `nextAt`.
        Failing = "failing",
        /// The CLI renews the login when it is used. A launch renews it first if it has ended.
        Idle = "idle",
        /// The provider refused to renew the login. The user has to log in again.
        Dead = "dead",
        /// Another directory holds a copy of the login, and a renewal of one ends the other.
        Copied = "copied",
        /// The renewals are switched off.
        Off = "off",
        /// The login is the user's own, and is left alone.
        Own = "own",
        /// The login is in the system's keychain.
        Keychain = "keychain",
        /// There is no login to renew.
        NoLogin = "no_login",
        /// No way is known to make the CLI renew the login.
        None = "none",
    }
}

words! {
    /// The outcome of an attempt to renew a login.
    KeepOutcome {
        /// The file holds a newer login.
        Moved = "moved",
        /// The file is unchanged.
        Unchanged = "unchanged",
        /// The provider refused, and the CLI emptied the tokens.
        Wiped = "wiped",
        /// The provider refused, and the CLI left a tombstone.
        Tombstone = "tombstone",
        /// The provider refused, and the file is unchanged.
        Refused = "refused",
        /// The file is gone.
        Gone = "gone",
        /// The file holds a login of another person.
        AnotherPerson = "another_person",
        /// The file cannot be read.
        Unreadable = "unreadable",
        /// The CLI showed the address of a new login.
        LoginShown = "login_shown",
        /// The CLI failed.
        CliFailed = "cli_failed",
        /// The CLI ran too long.
        TimedOut = "timed_out",
        /// The CLI printed too much.
        Flooded = "flooded",
        /// The CLI could not be started.
        NotStarted = "not_started",
        /// The CLI is not installed.
        NotInstalled = "not_installed",
        /// The version of the CLI is older than the first one that is known to have the command.
        OldVersion = "old_version",
        /// The directory is on a disk that is full or cannot be written.
        DiskFull = "disk_full",
    }
}
