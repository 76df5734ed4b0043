//! `operator.*`: the operator's accounts at forges, and the one that is in use.

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
        /// The tokens can be used, and are refreshed when they expire.
        Active = "active",
        /// A refresh is in progress.
        Refreshing = "refreshing",
        /// The operator has to sign in again.
        NeedsReauth = "needs_reauth",
        /// The tokens were given up and are never used again.
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
    /// The address of the forge, in canonical form.
    pub base_url: String,
    /// The id of the OAuth client to which the tokens were issued; absent for a token that the operator supplied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The person's login name at the forge. It may change.
    pub account_login: String,
    /// The forge's own id of the person. It does not change.
    pub subject: String,
    /// The person's email address, if the forge returns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// True if the account is in use.
    pub active: bool,
    /// The state of the tokens.
    pub state: TokenState,
    /// The reason for the state, or the reason why the last refresh failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    /// Time when the access token expires, in unix milliseconds; absent for one that does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Time of creation, in unix milliseconds.
    pub created_at: i64,
    /// Time of the last sign-in, in unix milliseconds.
    pub updated_at: i64,
}

/// A sign-in whose person is not known yet, because the forge has not returned the name. Its tokens are kept. The next
/// sign-in at the forge, or the next start of the daemon, asks again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PendingAccount {
    /// The account's id.
    pub account_id: String,
    /// The type of the forge.
    pub forge_type: ForgeType,
    /// The address of the forge, in canonical form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The id of the OAuth client to which the tokens were issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Time of creation, in unix milliseconds.
    pub created_at: i64,
}

/// A forge that `srvd.toml` configures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfiguredForge {
    /// The name of the forge in `srvd.toml`, as in `GET /login/<name>`.
    pub name: String,
    /// The type of the forge.
    pub forge_type: ForgeType,
    /// The address of the forge, in canonical form.
    pub base_url: String,
    /// The id of the OAuth client.
    pub client_id: String,
    /// The flows of the forge.
    pub flows: Vec<Flow>,
}

/// Lists the operator's accounts and the forges at which the operator can sign in.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListOperator")]
pub(crate) struct List {}
method!(
    List,
    "operator.list",
    Operators,
    "Lists the operator's accounts at forges, and the configured forges."
);

/// The operator's accounts and the forges at which the operator can sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operators {
    /// The accounts, ordered by forge, address and login.
    pub tokens: Vec<OperatorAccount>,
    /// The sign-ins whose person is not known yet, oldest first.
    pub pending: Vec<PendingAccount>,
    /// The configured forges, ordered by name.
    pub forges: Vec<ConfiguredForge>,
}

/// Stores a token that the operator supplies. It replaces the token of the same person at the same forge and client.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UpsertOperator")]
pub(crate) struct Upsert {
    /// The type of the forge.
    pub(crate) forge_type: ForgeType,
    /// The forge's address. When absent, it is the address of the only configured forge of the type, or the type's
    /// default address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The id of the configured client to which the tokens belong. It is required for tokens that are to be refreshed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The tokens. With both `subject` and `accountLogin`, the forge is not asked for the owner of the tokens.
    pub tokens: Tokens,
    /// The person's login name at the forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_login: Option<String>,
    /// The person's email address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// True to make it the account in use. The default is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activate: Option<bool>,
}
method!(
    Upsert,
    "operator.upsert",
    OperatorAccount,
    "Stores a forge token that the operator supplies.",
    seconds = 30
);

/// Deletes an account of the operator.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeleteOperator")]
pub(crate) struct Delete {
    /// The id of the account, or of a sign-in whose person is not known.
    pub account_id: String,
}
method!(
    Delete,
    "operator.delete",
    Deleted,
    "Deletes an account of the operator and its tokens; if it was in use, no account is in use afterwards.",
    seconds = 30
);

/// The result of deleting an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeletedOperator")]
pub(crate) struct Deleted {
    /// True when the account was deleted.
    pub deleted: bool,
    /// True if the account was in use.
    pub was_active: bool,
}

/// Starts a sign-in at a configured forge.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartOperator")]
pub(crate) struct Start {
    /// The type of the forge.
    pub(crate) forge_type: ForgeType,
    /// The address of the forge, when several of the type are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The id of the client, when several are configured for the forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The flow; `code` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
}
method!(
    Start,
    "operator.start",
    Started,
    "Starts a sign-in of the operator at a configured forge.",
    seconds = 30
);

words! {
    /// A flow of a sign-in.
    #[schemars(rename = "OperatorFlow")]
    Flow {
        /// The person uses a browser on this machine.
        Code = "code",
        /// The person types a code on any device. GitHub and GitLab support it.
        Device = "device",
    }
}

/// A sign-in that was started.
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
    /// The address at which to type the code.
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
    /// Longest time to wait for the end, in milliseconds; at most 30000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}
method!(
    Poll,
    "operator.poll",
    SignIn,
    "Returns the state of a sign-in; with waitMs it waits for the sign-in to end.",
    seconds = 35
);

/// A sign-in of the operator.
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
    /// The person's login name at the forge, on success. It is absent while the forge has not returned it; the account
    /// is then not the one in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_login: Option<String>,
    /// The error text, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The kind of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
}

words! {
    /// The state of a sign-in of the operator.
    SignInStatus {
        /// The sign-in waits for the person.
        Pending = "pending",
        /// The tokens are being fetched or saved.
        Saving = "saving",
        /// The tokens were stored.
        Success = "success",
        /// The sign-in ended without a result; `errorKind` says why.
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

/// Returns the account in use.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GetActiveForge")]
pub(crate) struct GetActive {}
method!(
    GetActive,
    "operator.active",
    Active,
    "Returns the operator's account in use; error 1010 if there is none."
);

/// The account in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ActiveForge")]
pub(crate) struct Active {
    /// The account's id.
    pub account_id: String,
    /// The type of the forge.
    pub forge_type: ForgeType,
    /// The person's login name at the forge.
    pub account_login: String,
    /// The forge's address.
    pub base_url: String,
    /// Time when the account became the one in use, in unix milliseconds.
    pub since: i64,
}

/// Makes an account the one in use.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SetActiveForge")]
pub(crate) struct SetActive {
    /// The account's id.
    pub account_id: String,
}
method!(SetActive, "operator.setactive", Active, "Makes an account of the operator the one in use.");

/// Clears the account in use.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClearActiveForge")]
pub(crate) struct ClearActive {}
method!(
    ClearActive,
    "operator.clearactive",
    Cleared,
    "Clears the operator's account in use; no account is in use afterwards."
);

/// The result of clearing the account in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClearedActiveForge")]
pub(crate) struct Cleared {
    /// True if an account was in use.
    pub cleared: bool,
}
