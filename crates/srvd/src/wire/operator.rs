//! `operator.*`: the operator's accounts at forges, and the active one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Outcome;
use super::error::ErrorKind;
use super::profile::Tokens;
use super::{method, words};

words! {
    /// The type of a forge.
    ForgeType {
        /// github.com or GitHub Enterprise.
        GitHub = "github",
        /// gitlab.com or another GitLab server.
        GitLab = "gitlab",
        /// Codeberg or another Forgejo server.
        Forgejo = "forgejo",
        /// A Gitea server.
        Gitea = "gitea",
    }
}

words! {
    /// The state of the operator's tokens.
    #[schemars(rename = "OperatorTokenState")]
    TokenState {
        /// The tokens are usable, and are refreshed when they expire.
        Active = "active",
        /// A refresh is in progress.
        Refreshing = "refreshing",
        /// The operator has to sign in again.
        NeedsReauth = "needs_reauth",
        /// The tokens were revoked and are never used again.
        Revoked = "revoked",
    }
}

/// An account of the operator at a forge. It never contains a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperatorAccount {
    /// The account's id.
    pub account_id: String,
    /// The type of the forge.
    pub forge_type: ForgeType,
    /// The base URL of the forge, in canonical form.
    pub base_url: String,
    /// The id of the OAuth client to which the tokens were issued; absent for a token supplied by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The user's login name at the forge. It can change.
    pub account_login: String,
    /// The forge's own id for the user. It does not change.
    pub subject: String,
    /// The user's email address, if the forge returns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// True if the account is the active one.
    pub active: bool,
    /// The state of the tokens.
    pub state: TokenState,
    /// The reason for the state, or the reason why the last refresh failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    /// The expiry time of the access token, in Unix milliseconds; absent if it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// The creation time, in Unix milliseconds.
    pub created_at: i64,
    /// The time of the last sign-in, in Unix milliseconds.
    pub updated_at: i64,
}

/// A sign-in whose user is not known yet, because the forge could not be asked. Its tokens are stored, and the forge is
/// asked again every few minutes. The sign-in ends when the forge refuses the answer for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PendingAccount {
    /// The account's id.
    pub account_id: String,
    /// The type of the forge.
    pub forge_type: ForgeType,
    /// The base URL of the forge, in canonical form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The id of the OAuth client to which the tokens were issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The reason why the forge cannot be asked, with the next step; absent if it only did not answer yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The creation time, in Unix milliseconds.
    pub created_at: i64,
}

/// A forge configured in `srvd.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfiguredForge {
    /// The name of the forge in `srvd.toml`, as in `GET /login/<name>`.
    pub name: String,
    /// The type of the forge.
    pub forge_type: ForgeType,
    /// The base URL of the forge, in canonical form.
    pub base_url: String,
    /// The id of the OAuth client.
    pub client_id: String,
    /// The flows supported by the forge.
    pub flows: Vec<Flow>,
    /// The reason why the last sign-in at the forge ended without an account, with the next step. It is forgotten at the
    /// next success, and when the daemon stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

/// Lists the operator's accounts, and the forges at which the operator can sign in.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListOperator")]
pub(crate) struct List {}
method!(List, "operator.list", Operators, "Lists the operator's forge accounts and the configured forges.");

/// The operator's accounts and the forges at which the operator can sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operators {
    /// The accounts, sorted by forge, URL and login.
    #[serde(default)]
    pub accounts: Vec<OperatorAccount>,
    /// The same accounts, under the member's former name.
    pub tokens: Vec<OperatorAccount>,
    /// The sign-ins whose user is not known yet, oldest first.
    pub pending: Vec<PendingAccount>,
    /// The configured forges, sorted by name.
    pub forges: Vec<ConfiguredForge>,
}

/// Stores a token supplied by the operator, replacing any token for the same user, forge and client.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UpsertOperator")]
pub(crate) struct Upsert {
    /// The type of the forge.
    pub(crate) forge_type: ForgeType,
    /// The forge's URL. If absent, it is the URL of the only configured forge of this type, or the default URL for the
    /// type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The id of the configured client to which the tokens belong. Required if the tokens are to be refreshed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The tokens. If both `subject` and `accountLogin` are given, the forge is not asked for the owner of the tokens.
    pub tokens: Tokens,
    /// The user's login name at the forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_login: Option<String>,
    /// The user's email address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// True to make it the active account. The default is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activate: Option<bool>,
}
method!(
    Upsert,
    "operator.upsert",
    OperatorAccount,
    "Stores a forge token supplied by the operator.",
    errors = [NotFound, UnknownProvider, Conflict, IdentityMismatch, RefreshFailed, SecretUnavailable],
    seconds = 30
);

/// Deletes one of the operator's accounts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeleteOperator")]
pub(crate) struct Delete {
    /// The id of the account, or of a sign-in whose user is not known.
    pub account_id: String,
}
method!(
    Delete,
    "operator.delete",
    Deleted,
    "Deletes one of the operator's accounts and its tokens. If it was the active account, no account is active afterwards.",
    errors = [Conflict],
    seconds = 30
);

/// The result of deleting an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeletedOperator")]
pub(crate) struct Deleted {
    /// True if the account was deleted.
    pub deleted: bool,
    /// True if the account was the active one.
    pub was_active: bool,
}

/// Starts a sign-in at a configured forge.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartOperator")]
pub(crate) struct Start {
    /// The type of the forge.
    pub(crate) forge_type: ForgeType,
    /// The URL of the forge, if several of this type are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The id of the client, if several are configured for the forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The flow; `code` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
}
method!(
    Start,
    "operator.start",
    Started,
    "Starts an operator sign-in at a configured forge.",
    errors = [NotFound, UnknownProvider, Conflict, Capacity, RefreshFailed],
    seconds = 30
);

words! {
    /// A sign-in flow.
    #[schemars(rename = "OperatorFlow")]
    Flow {
        /// The operator uses a browser on this machine.
        Code = "code",
        /// The operator types a code on any device. Supported by GitHub and GitLab.
        Device = "device",
    }
}

/// A sign-in that has been started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartedOperator")]
pub(crate) struct Started {
    /// `operator-<uuid>`.
    pub session_id: String,
    /// The URL to open in the browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_url: Option<String>,
    /// The code to type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_code: Option<String>,
    /// The URL at which to type the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_url: Option<String>,
}

/// Returns the state of a sign-in.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PollOperator")]
pub(crate) struct Poll {
    /// The sign-in's session id.
    pub session_id: String,
    /// The maximum time to wait for the sign-in to end, in milliseconds; at most 30000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}
method!(
    Poll,
    "operator.poll",
    SignIn,
    "Returns the state of a sign-in. With waitMs, waits for the sign-in to end.",
    seconds = 35
);

/// An operator sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignIn {
    /// `operator-<uuid>`.
    pub session_id: String,
    /// The state of the sign-in.
    pub status: SignInStatus,
    /// The id of the account that holds the tokens, on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The user's login name at the forge, on success. Absent as long as the forge has not returned it; the account is
    /// then not the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_login: Option<String>,
    /// The human-readable error text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The kind of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
    /// The scopes that were requested and that the forge did not grant, if it listed those that it granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_scopes: Vec<String>,
}

words! {
    /// The state of an operator sign-in.
    SignInStatus {
        /// The sign-in is waiting for the operator.
        Pending = "pending",
        /// The tokens are being fetched or saved.
        Saving = "saving",
        /// The tokens were stored.
        Success = "success",
        /// The sign-in failed; `errorKind` says why.
        Failed = "failed",
    }
}

/// Cancels a sign-in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CancelOperator")]
pub(crate) struct Cancel {
    /// The sign-in's session id.
    pub session_id: String,
}
method!(Cancel, "operator.cancel", Outcome, "Cancels a sign-in before its tokens are saved.", seconds = 30);

/// Returns the active account.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GetActiveForge")]
pub(crate) struct GetActive {}
method!(
    GetActive,
    "operator.active",
    Active,
    "Returns the operator's active account; error 1010 if there is none.",
    errors = [NoActiveForge]
);

/// The active account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ActiveForge")]
pub(crate) struct Active {
    /// The account's id.
    pub account_id: String,
    /// The type of the forge.
    pub forge_type: ForgeType,
    /// The user's login name at the forge.
    pub account_login: String,
    /// The forge's base URL.
    pub base_url: String,
    /// The time at which the account became the active one, in Unix milliseconds.
    pub since: i64,
}

/// Makes an account the active one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SetActiveForge")]
pub(crate) struct SetActive {
    /// The account's id.
    pub account_id: String,
}
method!(
    SetActive,
    "operator.setactive",
    Active,
    "Makes one of the operator's accounts the active one.",
    alias = "operator.setActive",
    errors = [Conflict, NeedsReauth],
);

/// Clears the active account.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClearActiveForge")]
pub(crate) struct ClearActive {}
method!(
    ClearActive,
    "operator.clearactive",
    Cleared,
    "Clears the operator's active account, so that no account is active.",
    alias = "operator.clearActive",
    errors = [Conflict],
);

/// The result of clearing the active account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClearedActiveForge")]
pub(crate) struct Cleared {
    /// True if an account was active.
    pub cleared: bool,
}
