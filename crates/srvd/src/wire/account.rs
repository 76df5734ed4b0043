//! `account.*`: accounts, which hold one credential each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bundle::Cleanup;
use super::{CredentialKind, Evidence, Status, method, words};

/// An account of a provider. It holds one credential; the secret itself is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    /// The account's id.
    pub id: String,
    /// Canonical provider id.
    pub provider_id: String,
    /// The kind of its credential.
    pub kind: CredentialKind,
    /// The owner of the account.
    pub owner: Owner,
    /// The name that people see; 1 to 100 characters, not unique.
    pub name: String,
    /// The name to show to people, or `null` to show `name`.
    pub display_name: Option<String>,
    /// The email address from the provider's files, or `null`.
    pub email: Option<String>,
    /// The provider's own account id, or `null`.
    pub subject: Option<String>,
    /// The place where the credential is kept.
    pub secret_ref: SecretRef,
    /// The address of the service, when it is not the provider's usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The last characters of an API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_tail: Option<String>,
    /// The state of the credential.
    pub status: Status,
    /// The reason for the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// The source of the status.
    pub evidence: Evidence,
    /// Time of the last check in unix milliseconds, or `null`.
    pub checked_at: Option<i64>,
    /// Time when the credential expires, in unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Time when the login ends even if it is refreshed, in unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_deadline_at: Option<i64>,
    /// An action for the person, such as a command to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// The ids of the bundles that bind the account.
    pub bound_to: Vec<String>,
    /// Time of creation, in unix milliseconds.
    pub created_at: i64,
    /// Time of the last change, in unix milliseconds.
    pub updated_at: i64,
}

/// The place where a credential is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretRef {
    /// The kind of the place.
    pub(crate) backend: Backend,
    /// The CLI's own directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// The environment variable's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub var: Option<String>,
    /// True if the directory is the user's own and was adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<bool>,
}

words! {
    /// The owner of an account.
    Owner {
        /// The bundles that bind the account. It is deleted with the last of them.
        Bundle = "bundle",
        /// A user, who supplied the credential for an agent.
        User = "user",
        /// The operator of the daemon.
        Operator = "operator",
    }
}

words! {
    /// The kind of the place where a credential is kept.
    #[schemars(rename = "SecretBackend")]
    Backend {
        /// The CLI's own directory.
        ConfigDir = "config_dir",
        /// The database, encrypted.
        Sealed = "sealed",
        /// The database, encrypted, as the tokens of a login that the daemon refreshes.
        Tokens = "tokens",
        /// An environment variable of the daemon.
        Env = "env",
        /// The output of a command of the operator.
        Command = "command",
    }
}

/// Lists accounts.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List {
    /// The provider whose accounts are listed, by id or alias; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The bundle whose accounts are listed; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
}
method!(List, "account.list", Accounts, "Lists accounts; rows that cannot be read are listed separately.");

/// The accounts, and the rows that could not be read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accounts {
    /// The accounts that could be read.
    pub accounts: Vec<Account>,
    /// The rows that could not be read. They do not hide the others.
    pub corrupt: Vec<Corrupt>,
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Corrupt {
    /// The row's id.
    pub id: String,
    /// The error that was found in the row.
    pub reason: String,
}

/// Reads one account.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Get {
    /// The account's id.
    pub account_id: String,
}
method!(Get, "account.get", Account, "Reads one account.");

/// Renames an account.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Update {
    /// The account's id.
    pub account_id: String,
    /// The new name; unchanged when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new display name; unchanged when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}
method!(Update, "account.update", Account, "Renames an account.");

/// Deletes an account with its bindings and its credential on this machine.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delete {
    /// The account's id.
    pub account_id: String,
}
method!(
    Delete,
    "account.delete",
    Deleted,
    "Deletes an account, its bindings and its credential on this machine; the provider is not notified.",
    seconds = 30
);

/// The result of deleting an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeletedAccount")]
pub(crate) struct Deleted {
    /// True when the account was deleted.
    pub deleted: bool,
    /// The ids of the bundles that bound it. They now have no account of this provider.
    #[serde(default)]
    pub unbound_from: Vec<String>,
    /// The number of running agent instances under those bundles.
    #[serde(default)]
    pub instances_affected: u64,
    /// The result for each directory or file of the account.
    pub cleanup: Vec<Cleanup>,
}

/// Checks an account's credential now.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefreshStatus {
    /// The account's id.
    pub account_id: String,
}
method!(
    RefreshStatus,
    "account.refreshstatus",
    Account,
    "Checks an account's credential now: reads its file, or asks the provider about a key, and returns the result.",
    seconds = 30
);

/// Ends a login with the CLI's own logout, then deletes the account as `account.delete` does.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Revoke {
    /// The account's id.
    pub account_id: String,
}
method!(
    Revoke,
    "account.revoke",
    Revoked,
    "Ends a login with its CLI's own logout and then deletes the account. If the CLI notifies its provider, every copy of the login ends.",
    seconds = 50
);

/// The result of ending a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RevokedAccount")]
pub(crate) struct Revoked {
    /// True if the CLI's logout succeeded, its files hold no login any more and the account was deleted. When false,
    /// the account is unchanged.
    pub revoked: bool,
    /// The result of the CLI's logout.
    pub outcome: Outcome,
    /// The exit code of a logout that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The result for each directory or file of the account; empty unless it was deleted.
    pub cleanup: Vec<Cleanup>,
}

words! {
    /// The result of a CLI's logout.
    #[schemars(rename = "RevokeOutcome")]
    Outcome {
        /// The CLI logged out. This CLI is known to withdraw the login at its provider.
        Revoked = "revoked",
        /// The CLI logged out. It is not known whether it withdraws the login at its provider.
        LoggedOut = "logged_out",
        /// The logout failed or timed out.
        CliFailed = "cli_failed",
        /// The logout succeeded, but the login is still present.
        StillLoggedIn = "still_logged_in",
        /// The logout succeeded, but the files that it left cannot be read.
        Unknown = "unknown",
    }
}

/// Reports that a provider's service refused an account's token that had not expired.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refused {
    /// The account's id from the answer to a launch or to `profile.best`.
    pub account_id: String,
    /// The generation of the refused tokens, from the same answer as the account.
    pub generation: u64,
    /// The HTTP status of the service's answer.
    pub status: u16,
    /// True if the token was fetched after an earlier report for the same call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<bool>,
}
method!(
    Refused,
    "account.refused",
    AfterRefusal,
    "Reports that a provider's service refused an account's token. A 401 causes one refresh, regardless of the token's expiry; a 403 never does."
);

/// The answer to a report of a refused token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AfterRefusal {
    /// The next step for the caller.
    pub next: NextStep,
}

words! {
    /// A step to take after a service refused a token.
    NextStep {
        /// A newer token is available. Resolve again and repeat the call once; set `retried` if it is refused again.
        Retry = "retry",
        /// A person has to log in again.
        SignIn = "sign_in",
        /// The token is valid but lacks the scope for this call. A refresh does not help.
        MissingScope = "missing_scope",
        /// The answer says nothing about the token. No step is needed.
        Nothing = "nothing",
    }
}
