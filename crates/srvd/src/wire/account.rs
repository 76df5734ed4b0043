//! `account.*`: accounts, each of which holds one credential.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bundle::Cleanup;
use super::next_step::NextStep;
use super::{CredentialKind, Evidence, Status, method, words};

/// An account with a provider. It holds one credential; the secret itself is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    /// The account's id.
    pub id: String,
    /// The canonical provider id.
    pub provider_id: String,
    /// The kind of credential.
    pub kind: CredentialKind,
    /// The owner of the account.
    pub owner: Owner,
    /// The name of the account; 1 to 100 characters, not unique.
    pub name: String,
    /// The display name, or `null` to show `name`.
    pub display_name: Option<String>,
    /// The email address from the provider's files, or `null`.
    pub email: Option<String>,
    /// The provider's own account id, or `null`.
    pub subject: Option<String>,
    /// The location of the credential.
    pub secret_ref: SecretRef,
    /// The URL of the service, if it is not the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The last characters of an API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_tail: Option<String>,
    /// The status of the credential.
    pub status: Status,
    /// The reason for the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// The source of the status.
    pub evidence: Evidence,
    /// The time of the last check, in Unix milliseconds, or `null`.
    pub checked_at: Option<i64>,
    /// The expiry time of the credential, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// The time at which the login ends even if it is refreshed, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_deadline_at: Option<i64>,
    /// The next step for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<NextStep>,
    /// The ids of the bundles that bind the account.
    pub bound_to: Vec<String>,
    /// The creation time, in Unix milliseconds.
    pub created_at: i64,
    /// The time of the last change, in Unix milliseconds.
    pub updated_at: i64,
}

/// The location of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretRef {
    /// The kind of location.
    pub(crate) backend: Backend,
    /// The CLI's own directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// The environment variable's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub var: Option<String>,
    /// True if the directory is the user's own and has been adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<bool>,
}

words! {
    /// The owner of an account.
    Owner {
        /// The bundles that bind the account. The account is deleted together with the last of them.
        Bundle = "bundle",
        /// A user who supplied the credential for an agent.
        User = "user",
        /// The operator of the daemon.
        Operator = "operator",
    }
}

words! {
    /// The kind of location where a credential is stored.
    #[schemars(rename = "SecretBackend")]
    Backend {
        /// The CLI's own directory.
        ConfigDir = "config_dir",
        /// The database, in encrypted form.
        Sealed = "sealed",
        /// The database, in encrypted form, as login tokens that the daemon refreshes.
        Tokens = "tokens",
        /// An environment variable of the daemon.
        Env = "env",
        /// The output of one of the operator's commands.
        Command = "command",
    }
}

words! {
    /// The order of a list of accounts.
    AccountSort {
        /// By the time of creation.
        CreatedAt = "createdAt",
        /// By name, in lower case.
        Name = "name",
        /// By provider id.
        Provider = "providerId",
        /// By status.
        Status = "status",
    }
}

/// Lists accounts.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List {
    /// The provider whose accounts are listed, by id or alias; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The bundle whose accounts are listed; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// Only accounts with this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Only accounts with this part in their name, display name or email address, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The order; `createdAt` if absent. Accounts that are equal in it follow by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<AccountSort>,
    /// The maximum number of accounts on a page, from 1 to 1000. If absent, all of them are returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `nextCursor` of the page before; with the same filters and the same order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
method!(List, "account.list", Accounts, "Lists accounts; rows that cannot be read are listed separately.");

/// The accounts, and the rows that could not be read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accounts {
    /// The accounts that could be read.
    pub accounts: Vec<Account>,
    /// The rows that could not be read. The other rows are still listed.
    pub corrupt: Vec<Corrupt>,
    /// The cursor of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Corrupt {
    /// The row's id.
    pub id: String,
    /// The error found in the row.
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
    /// The new name; unchanged if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new display name; unchanged if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}
method!(Update, "account.update", Account, "Renames an account.", errors = [Conflict]);

/// Deletes an account with its bindings and its local credential.
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
    "Deletes an account with its bindings and its local credential. The provider is not notified.",
    errors = [Conflict],
    seconds = 30
);

/// The result of deleting an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeletedAccount")]
pub(crate) struct Deleted {
    /// True if the account was deleted.
    pub deleted: bool,
    /// The ids of the bundles that bound the account. They now have no account with this provider.
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
    /// True to accept the person whose login the user's own directory holds now, in place of the account's person. Only
    /// for an account that was adopted; a login with `force` does the same for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_person: Option<bool>,
}
method!(
    RefreshStatus,
    "account.refreshstatus",
    Account,
    "Checks an account's credential now, by reading its file or by asking the provider about a key, and returns the result.",
    alias = "account.refreshStatus",
    errors = [AmbientDirectory, SecretUnavailable, IdentityMismatch, Conflict],
    seconds = 30
);

/// Logs out with the CLI's own logout command, then deletes the account like `account.delete`.
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
    "Logs out with the CLI's own logout command and then deletes the account. If the CLI notifies its provider, every copy of the login ends.",
    errors = [Conflict, NoCredential, SecretUnavailable, AmbientDirectory],
    seconds = 50
);

/// The result of logging out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RevokedAccount")]
pub(crate) struct Revoked {
    /// True if the CLI's logout succeeded, its files no longer contain a login, and the account was deleted. If false,
    /// the account is unchanged.
    pub revoked: bool,
    /// The result of the CLI's logout command.
    pub outcome: Outcome,
    /// The exit code of a failed logout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The result for each directory or file of the account; empty if the account was not deleted.
    pub cleanup: Vec<Cleanup>,
}

words! {
    /// The result of a CLI's logout command.
    #[schemars(rename = "RevokeOutcome")]
    Outcome {
        /// The CLI logged out. It is known to revoke the login at its provider.
        Revoked = "revoked",
        /// The CLI logged out. Whether it revokes the login at its provider is not known.
        LoggedOut = "logged_out",
        /// The logout failed or timed out.
        CliFailed = "cli_failed",
        /// The logout succeeded, but the login is still present.
        StillLoggedIn = "still_logged_in",
        /// The logout succeeded, but the remaining files cannot be read.
        Unknown = "unknown",
    }
}

/// Reports that a provider's service refused an account's token that had not expired.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refused {
    /// The account's id, from the result of a launch or of `profile.best`.
    pub account_id: String,
    /// The generation of the rejected tokens, from the same result as the account. Absent for the login of a CLI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The HTTP status of the service's response; 401 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// True if the token was obtained after an earlier report about the same call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<bool>,
}
method!(
    Refused,
    "account.refused",
    AfterRefusal,
    "Reports that a provider's service rejected an account's token. A 401 causes one refresh, whatever the token's expiry; a 403 never does. The login of a CLI is renewed by that CLI, if it can do so before the end of the token.",
    seconds = 30
);

/// The answer to a report about a rejected token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AfterRefusal {
    /// The next step for the caller.
    pub next: AfterRefusalStep,
}

words! {
    /// The step to take after a service has rejected a token.
    AfterRefusalStep {
        /// A newer token is available. Resolve again and repeat the call once; set `retried` if the new token is
        /// rejected too.
        Retry = "retry",
        /// The user has to log in again.
        SignIn = "sign_in",
        /// The token is valid but lacks the scope for this call. A refresh would not help.
        MissingScope = "missing_scope",
        /// The response says nothing about the token. No step is needed.
        Nothing = "nothing",
    }
}
