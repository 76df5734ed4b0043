//! `operator.*`: what the daemon's operator holds at forges, and which of it is in use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Outcome;
use super::method;
use super::profile::Tokens;

/// An account of the operator at a forge; never a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperatorAccount {
    /// The account.
    pub account_id: String,
    /// `github`, `gitlab`, `forgejo` or `gitea`.
    pub forge_type: String,
    /// The forge's address in its one spelling.
    pub base_url: String,
    /// The OAuth client that the tokens were issued to; absent for a token that was brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The person's name at the forge, which may change.
    pub account_login: String,
    /// The forge's own id of the person, which does not.
    pub subject: String,
    /// The person's address, where the forge tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether it is the one in use.
    pub active: bool,
    /// Where the refresh of its tokens stands: `active`, `refreshing`, `needs_reauth` or `revoked`.
    pub state: String,
    /// Why, or why the last refresh failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    /// When the access token runs out, in unix milliseconds; absent for one that does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// When somebody last signed in to it, in unix milliseconds.
    pub updated_at: i64,
}

/// A sign-in whose person the forge has not named yet. Its tokens are kept; the next sign-in at the forge, or the next
/// start of the daemon, asks again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingAccount {
    /// The account.
    pub account_id: String,
    /// As in an operator's account.
    pub forge_type: String,
    /// As in an operator's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// As in an operator's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// A forge that `srvd.toml` configures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfiguredForge {
    /// Its name there, as in `GET /login/<name>`.
    pub name: String,
    /// `github`, `gitlab`, `forgejo` or `gitea`.
    pub forge_type: String,
    /// Its address in its one spelling.
    pub base_url: String,
    /// The OAuth client.
    pub client_id: String,
    /// Which flows it has: `code`, and `device` where the forge has it.
    pub flows: Vec<String>,
}

/// Lists what the operator holds and where one can sign in.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListOperator")]
pub struct List {}
method!(
    List,
    "operator.list",
    Operators,
    "Lists the operator's accounts at forges, and the configured forges."
);

/// What the operator holds and where one can sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operators {
    /// The accounts, in order of forge, address and login.
    pub tokens: Vec<OperatorAccount>,
    /// The sign-ins whose person is not known yet, oldest first.
    pub pending: Vec<PendingAccount>,
    /// The forges, in order of their names.
    pub forges: Vec<ConfiguredForge>,
}

/// Stores a token that the operator brings, in the place of the same person's at the same forge and client.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UpsertOperator")]
pub struct Upsert {
    /// `github`, `gitlab`, `forgejo` or `gitea`.
    pub forge_type: String,
    /// The forge's address; the type's usual one, or that of the only configured forge of the type, without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The configured client that the tokens belong to; needed for tokens that shall be refreshed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The tokens. `subject` and `accountLogin` together spare the forge the question whose they are.
    pub tokens: Tokens,
    /// The person's name at the forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_login: Option<String>,
    /// The person's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether it becomes the one in use; it does not without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activate: Option<bool>,
}
method!(Upsert, "operator.upsert", OperatorAccount, "Stores a forge token that the operator brings.");

/// Forgets an account of the operator.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeleteOperator")]
pub struct Delete {
    /// The account, or a sign-in whose person is not known.
    pub account_id: String,
}
method!(
    Delete,
    "operator.delete",
    Deleted,
    "Forgets an account of the operator with its tokens; when it was in use, none is afterwards."
);

/// What was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeletedOperator")]
pub struct Deleted {
    /// It is gone.
    pub deleted: bool,
    /// Whether it was the one in use.
    pub was_active: bool,
}

/// Begins a sign-in at a configured forge.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartOperator")]
pub struct Start {
    /// `github`, `gitlab`, `forgejo` or `gitea`.
    pub forge_type: String,
    /// Which one of that type, when there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Which client of it, when there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// By the browser on this machine (`code`) unless it says `device`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
}
method!(Start, "operator.start", Started, "Begins a sign-in of the operator at a configured forge.");

/// How somebody signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "OperatorFlow")]
pub enum Flow {
    /// With a browser on this machine.
    Code,
    /// With a code that is typed on any device; GitHub and GitLab have it.
    Device,
}

/// A sign-in that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartedOperator")]
pub struct Started {
    /// `operator-<uuid>`.
    pub session_id: String,
    /// What the browser is to open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_url: Option<String>,
    /// What is to be typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_code: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_url: Option<String>,
}

/// Asks how a sign-in stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PollOperator")]
pub struct Poll {
    /// The sign-in.
    pub session_id: String,
    /// How long to wait for its end, in milliseconds; at most 30000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}
method!(Poll, "operator.poll", SignIn, "Asks how a sign-in stands; with waitMs it waits for its end.");

/// A sign-in of the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignIn {
    /// `operator-<uuid>`.
    pub session_id: String,
    /// Where it stands.
    pub status: SignInStatus,
    /// On success the account that holds the tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// On success the person's name at the forge; absent while the forge has not told it, and the account is then not the
    /// one in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_login: Option<String>,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The same as a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<String>,
}

/// Where a sign-in of the operator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignInStatus {
    /// A person is awaited.
    Pending,
    /// The tokens are being fetched or saved.
    Saving,
    /// The tokens are committed.
    Success,
    /// It ended without a result; `errorKind` says why.
    Failed,
}

/// Cancels a sign-in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CancelOperator")]
pub struct Cancel {
    /// The sign-in.
    pub session_id: String,
}
method!(Cancel, "operator.cancel", Outcome, "Cancels a sign-in before its tokens are saved.");

/// Asks for the account in use.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GetActiveForge")]
pub struct GetActive {}
method!(
    GetActive,
    "operator.active",
    Active,
    "Says which account of the operator is in use; error 1010 if none is."
);

/// The account in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ActiveForge")]
pub struct Active {
    /// The account.
    pub account_id: String,
    /// `github`, `gitlab`, `forgejo` or `gitea`.
    pub forge_type: String,
    /// The person's name at the forge.
    pub account_login: String,
    /// The forge's address.
    pub base_url: String,
    /// Since when it is in use, in unix milliseconds.
    pub since: i64,
}

/// Makes an account the one in use.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SetActiveForge")]
pub struct SetActive {
    /// The account.
    pub account_id: String,
}
method!(SetActive, "operator.setactive", Active, "Makes an account of the operator the one in use.");

/// Leaves no account in use.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClearActiveForge")]
pub struct ClearActive {}
method!(ClearActive, "operator.clearactive", Cleared, "Leaves no account of the operator in use.");

/// Whether one was in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClearedActiveForge")]
pub struct Cleared {
    /// One was.
    pub cleared: bool,
}
