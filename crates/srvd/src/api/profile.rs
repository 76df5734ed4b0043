//! `profile.*`, `agent.delete`, `user.delete`: credentials that users bring for agents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::Corrupt;
use super::{SecretInput, Status, method};

/// A credential of an agent; never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The profile's id; `declared:<agent>:<provider>` for what a file declares.
    pub id: String,
    /// The user who brought it; absent for what a file declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The agent.
    pub agent_id: String,
    /// Canonical provider id.
    pub provider_id: String,
    /// The account that holds the credential; absent for what a file declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The model that it is for, without its provider's prefix; `*` for every one.
    pub model: String,
    /// `user` or `declared`.
    pub source: String,
    /// `api_key` or `oauth`.
    pub kind: String,
    /// What a person calls it, or `null`.
    pub label: Option<String>,
    /// Whose it is at the provider, or `null`.
    pub email: Option<String>,
    /// Whether it comes first among its user's of the same provider.
    pub primary: bool,
    /// What is known of it.
    pub status: Status,
    /// Why the status is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// When it expires, in unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Unix milliseconds; absent for what a file declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// Unix milliseconds; absent for what a file declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<i64>,
}

/// Stores a user's credential for an agent, in the place of the one for the same provider, model and person.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UpsertProfile")]
pub struct Upsert {
    /// The user.
    pub user_id: String,
    /// The agent, or `*` for every agent of the user's; one agent's own come before.
    pub agent_id: String,
    /// The provider, by id or alias.
    pub provider_id: String,
    /// The model that it is for; every one without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// An API key; either this or `tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretInput>,
    /// What a login gave; either this or `apiKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// What a person calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whose it is at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether it comes first among the user's of this provider (the default) or last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make_primary: Option<bool>,
}
method!(Upsert, "profile.upsert", Profile, "Stores a user's credential for an agent.");

/// What a login gave, whole: what is absent is absent from now on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// The access token.
    pub access_token: SecretInput,
    /// The refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<SecretInput>,
    /// The id token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<SecretInput>,
    /// When the access token expires, in unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// When the refresh token expires, in unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_expires_at: Option<i64>,
    /// What it may be used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The provider's own id of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// Lists profiles.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListProfiles")]
pub struct List {
    /// Only this user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Only for this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
}
method!(
    List,
    "profile.list",
    Profiles,
    "Lists profiles, the primary of each provider first; then what files declare for the agent."
);

/// Profiles, and the rows that could not be read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profiles {
    /// The profiles.
    pub profiles: Vec<Profile>,
    /// Rows that could not be read; the others are not hidden by them.
    pub corrupt: Vec<Corrupt>,
}

/// Deletes a profile with its secrets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeleteProfile")]
pub struct Delete {
    /// The profile.
    pub profile_id: String,
}
method!(Delete, "profile.delete", Deleted, "Deletes a profile with its secrets.");

/// What a deletion took away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeletedProfiles")]
pub struct Deleted {
    /// How many profiles.
    pub profiles_deleted: u64,
    /// How many sealed secrets: a key is one, an access, refresh and id token one each.
    pub secrets_deleted: u64,
}

/// Says which credential an agent would get.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "BestProfile")]
pub struct Best {
    /// The user; nobody without it, and nobody is ever guessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The agent.
    pub agent_id: String,
    /// The provider, by id or alias.
    pub provider_id: String,
    /// The model, with or without its provider's prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How long the credential has to last, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ttl_ms: Option<u32>,
    /// Whether a credential for another model is better than none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_model: Option<bool>,
    /// Whether to say what was thought of each credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<bool>,
    /// Whether to look only: nothing is refreshed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}
method!(
    Best,
    "profile.best",
    Resolution,
    "Says which credential an agent would get: the user's before an ephemeral before a declared one."
);

/// The credential that an agent would get; never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// A profile's id, or `declared:<agent>:<provider>` or `ephemeral:<agent>:<provider>`.
    pub profile_id: String,
    /// The account that holds the credential; only a user's has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Canonical provider id.
    pub provider_id: String,
    /// `user`, `ephemeral` or `declared`.
    pub source: String,
    /// The declared agent's owner, where it is the owner's credential and not the asking user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    /// Which set of the account's tokens it is, for `account.refused`; absent for what is no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The model that it is for; `*` for every one.
    pub model: String,
    /// What is known of it now.
    pub status: Status,
    /// When it expires, in unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// With `dryRun`: it would be refreshed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_first: Option<bool>,
    /// The credential that should have been used and could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded_from: Option<Degraded>,
    /// What was thought of each credential, with `explain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Vec<Considered>>,
}

/// The credential in whose place another one is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Degraded {
    /// A profile's id, or `declared:...` or `ephemeral:...`.
    pub profile_id: String,
    /// `user`, `ephemeral` or `declared`.
    pub source: String,
    /// Why it could not be used.
    pub reason: String,
}

/// One credential and what was thought of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Considered {
    /// A profile's id, or `declared:...` or `ephemeral:...`.
    pub profile_id: String,
    /// Canonical provider id.
    pub provider_id: String,
    /// `user`, `ephemeral` or `declared`.
    pub source: String,
    /// The model that it is for; `*` for every one.
    pub model: String,
    /// Whether it is the one.
    pub chosen: bool,
    /// Why, or why not.
    pub reason: String,
}

/// Orders a user's profiles of one provider.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ReorderProfiles")]
pub struct Reorder {
    /// The user.
    pub user_id: String,
    /// The agent.
    pub agent_id: String,
    /// The provider, by id or alias.
    pub provider_id: String,
    /// All profiles of these three, the primary first.
    pub profile_ids: Vec<String>,
}
method!(Reorder, "profile.reorder", Profiles, "Orders a user's profiles of one provider, the primary first.");

/// Deletes all profiles and secrets that any user brought for an agent, and what was lent to it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeleteAgent {
    /// The agent.
    pub agent_id: String,
}
method!(
    DeleteAgent,
    "agent.delete",
    Deleted,
    "Deletes all profiles and secrets that any user brought for an agent; an agent that takes the id later finds nothing."
);

/// Deletes all profiles and secrets of a user, and what was lent for the user.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeleteUser {
    /// The user.
    pub user_id: String,
}
method!(DeleteUser, "user.delete", Deleted, "Deletes all profiles and secrets of a user, for every agent.");
