//! `account.*`: accounts, one credential each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bundle::Cleanup;
use super::{Evidence, Status, method};

/// One credential of one provider; never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The account's id.
    pub id: String,
    /// Canonical provider id.
    pub provider_id: String,
    /// `oauth` or `api_key`.
    pub kind: String,
    /// `bundle`, `user` or `operator`.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// What a person calls it, or `null`: then the name.
    pub display_name: Option<String>,
    /// As the provider's files give it, or `null`.
    pub email: Option<String>,
    /// The provider's own account id, or `null`.
    pub subject: Option<String>,
    /// Where the credential is kept.
    pub secret_ref: SecretRef,
    /// The address of the service, when it is not the provider's usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The last characters of an API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_tail: Option<String>,
    /// What is known of it.
    pub status: Status,
    /// Why the status is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// What the status rests on.
    pub evidence: Evidence,
    /// When that was looked at, or `null`.
    pub checked_at: Option<i64>,
    /// When the credential expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// When the login dies, whatever is refreshed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_deadline_at: Option<i64>,
    /// What the person can do about the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// The bundles that bind it.
    pub bound_to: Vec<String>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
}

/// Where a credential is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// `config_dir`, `sealed`, `tokens`, `env` or `command`.
    pub backend: String,
    /// The CLI's own directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// The environment variable's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub var: Option<String>,
    /// Whether the directory is the user's own, adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<bool>,
}

/// Lists accounts.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct List {
    /// Only this provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Only those bound in this bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
}
method!(List, "account.list", Accounts, "Lists accounts; rows that cannot be read are named beside them.");

/// Accounts, and the rows that could not be read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accounts {
    /// The accounts.
    pub accounts: Vec<Account>,
    /// Rows that could not be read; the others are not hidden by them.
    pub corrupt: Vec<Corrupt>,
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Corrupt {
    /// The row's id.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads one account.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Get {
    /// The account.
    pub account_id: String,
}
method!(Get, "account.get", Account, "Reads one account.");

/// Renames an account.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// The account.
    pub account_id: String,
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}
method!(Update, "account.update", Account, "Renames an account.");

/// Deletes an account with its bindings and its credential on this machine.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delete {
    /// The account.
    pub account_id: String,
}
method!(
    Delete,
    "account.delete",
    Deleted,
    "Deletes an account with its bindings and its credential on this machine; the provider is not told."
);

/// What deleting an account did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeletedAccount")]
pub struct Deleted {
    /// The account is gone.
    pub deleted: bool,
    /// The bundles that bound it; each is without this provider now.
    #[serde(default)]
    pub unbound_from: Vec<String>,
    /// How many running agent instances are under those bundles.
    #[serde(default)]
    pub instances_affected: u64,
    /// What became of its directory.
    pub cleanup: Vec<Cleanup>,
}

/// Looks at an account's credential now.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefreshStatus {
    /// The account.
    pub account_id: String,
}
method!(
    RefreshStatus,
    "account.refreshstatus",
    Account,
    "Looks at an account's credential now: reads its file, or asks the provider about a key, and answers with what was found."
);

/// Ends a login with its CLI's own logout, and then deletes the account as `account.delete` does.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revoke {
    /// The account.
    pub account_id: String,
}
method!(
    Revoke,
    "account.revoke",
    Revoked,
    "Ends a login with its CLI's own logout, for every copy of it where the CLI tells its provider, and then deletes the account."
);

/// What became of a login that was to be ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RevokedAccount")]
pub struct Revoked {
    /// The CLI's logout ended well, its files hold no login any more, and the account is deleted. Else the account is as
    /// it was.
    pub revoked: bool,
    /// What is known.
    pub outcome: Outcome,
    /// The exit code of a logout that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What became of the account's directory; empty unless it was deleted.
    pub cleanup: Vec<Cleanup>,
}

/// What is known after a CLI's logout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RevokeOutcome")]
pub enum Outcome {
    /// The CLI has logged out, and is known to withdraw the login at its provider when it does.
    Revoked,
    /// The CLI has logged out; whether it tells its provider is not known.
    LoggedOut,
    /// The logout failed, or took too long.
    CliFailed,
    /// The logout ended well, and the login is still there.
    StillLoggedIn,
    /// The logout ended well, and what it left cannot be read.
    Unknown,
}

/// Says that a provider's service refused an account's token although it has not run out.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// The account, as a launch or `profile.best` named it.
    pub account_id: String,
    /// Which set of its tokens was refused, as it was given with the account.
    pub generation: u64,
    /// The HTTP status of the service's answer.
    pub status: u16,
    /// Whether the token was fetched after an earlier report of the same call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<bool>,
}
method!(
    Refused,
    "account.refused",
    AfterRefusal,
    "Says that a provider's service refused an account's token: 401 has it refreshed once, whatever its time; 403 never does."
);

/// What to do after a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AfterRefusal {
    /// What to do.
    pub next: NextStep,
}

/// What to do after a service has refused a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    /// There is a newer token: resolve again, and repeat the call once, with `retried` if it is refused again.
    Retry,
    /// Only a person can log in again.
    SignIn,
    /// The token is good and does not reach so far: no refresh helps.
    MissingScope,
    /// The answer says nothing about the token.
    Nothing,
}
