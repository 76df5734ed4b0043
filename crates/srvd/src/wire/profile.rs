//! `profile.*`, `agent.delete`, `user.delete`: credentials that users supply for agents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::Corrupt;
use super::{CredentialKind, SecretInput, Source, Status, method};

/// An agent's credential. It never contains the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    /// The profile's id, or `declared:<agent>:<provider>` for a declared credential.
    pub id: String,
    /// The user who supplied the credential; absent for a declared credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The agent's id.
    pub agent_id: String,
    /// The canonical provider id.
    pub provider_id: String,
    /// The id of the account that holds the credential; absent for a declared credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The model for which the credential is used, without its provider's prefix; `*` for every model.
    pub model: String,
    /// `user` or `declared`.
    pub source: Source,
    /// The kind of the credential.
    pub kind: CredentialKind,
    /// The label chosen by the user, or `null`.
    pub label: Option<String>,
    /// The email address of the credential's owner at the provider, or `null`.
    pub email: Option<String>,
    /// True if it is the first of the user's credentials for the same provider.
    pub primary: bool,
    /// The status of the credential.
    pub status: Status,
    /// The reason for the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// The expiry time of the credential, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// The reason why the provider's programs cannot be given the credential. It is stored, and launches use another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Time of creation, in unix milliseconds; absent for a declared one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// The time of the last change, in Unix milliseconds; absent for a declared credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<i64>,
}

/// Stores a user's credential for an agent, replacing any credential for the same provider, model and identity.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UpsertProfile")]
pub(crate) struct Upsert {
    /// The user's id.
    pub user_id: String,
    /// The agent's id, or `*` for all of the user's agents. Credentials for a single agent take precedence over those
    /// for `*`.
    pub agent_id: String,
    /// The provider's id or an alias.
    pub provider_id: String,
    /// The model for which the credential is used; every model if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// An API key. Provide either this or `tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretInput>,
    /// The tokens of a login. Provide either this or `apiKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// A display label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The email address of the credential's owner at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// True to put it first among the user's credentials for this provider, false to put it last. The default is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make_primary: Option<bool>,
}
method!(Upsert, "profile.upsert", Profile, "Stores a user's credential for an agent.", errors = [Conflict]);

/// All tokens of a login. An absent field is removed from the stored login.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tokens {
    /// The access token.
    pub access_token: SecretInput,
    /// The refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<SecretInput>,
    /// The id token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<SecretInput>,
    /// The expiry time of the access token, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// The expiry time of the refresh token, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_expires_at: Option<i64>,
    /// The scopes of the access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The provider's own id for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// Lists profiles.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListProfiles")]
pub(crate) struct List {
    /// The user whose profiles are listed; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The agent whose profiles are listed; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
}
method!(
    List,
    "profile.list",
    Profiles,
    "Lists profiles, starting with each provider's primary one, followed by the credentials declared for the agent in files."
);

/// The profiles, and the rows that could not be read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profiles {
    /// The profiles that could be read.
    pub profiles: Vec<Profile>,
    /// The rows that could not be read. The other rows are still listed.
    pub corrupt: Vec<Corrupt>,
}

/// Deletes a profile and its secrets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeleteProfile")]
pub(crate) struct Delete {
    /// The profile's id.
    pub profile_id: String,
}
method!(
    Delete,
    "profile.delete",
    Deleted,
    "Deletes a profile and its secrets.",
    errors = [DeclaredImmutable],
    seconds = 30
);

/// The result of a deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeletedProfiles")]
pub(crate) struct Deleted {
    /// The number of deleted profiles.
    pub profiles_deleted: u64,
    /// The number of deleted secrets. A key counts as one; access, refresh and id tokens count as one each.
    pub secrets_deleted: u64,
}

/// Returns the credential that an agent would receive.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "BestProfile")]
pub(crate) struct Best {
    /// The user's id. If absent, no user's credentials are considered; the user is never guessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The agent's id.
    pub agent_id: String,
    /// The provider's id or an alias.
    pub provider_id: String,
    /// The model, with or without its provider's prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The minimum remaining lifetime of the credential, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ttl_ms: Option<u32>,
    /// True to accept a credential for a different model if there is no better one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_model: Option<bool>,
    /// True to include the result for each credential in `trace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<bool>,
    /// True to avoid refreshing anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}
method!(
    Best,
    "profile.best",
    Resolution,
    "Returns the credential that an agent would receive. The user's own takes precedence over an ephemeral one, which takes precedence over a declared one.",
    errors = [NotFound],
    seconds = 30
);

/// The credential that an agent would receive. It never contains the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resolution {
    /// The profile's id, or `declared:<agent>:<provider>` or `ephemeral:<agent>:<provider>`.
    pub profile_id: String,
    /// The id of the account that holds the credential; present only for `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The canonical provider id.
    pub provider_id: String,
    /// `user`, `ephemeral` or `declared`.
    pub source: Source,
    /// The owner of the declared agent, if the credential belongs to the owner rather than to the requesting user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    /// The generation of the account's tokens, for `account.refused`; absent if the credential is not a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The model for which the credential is used; `*` for every model.
    pub model: String,
    /// The current status of the credential.
    pub status: Status,
    /// The expiry time of the credential, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// True if the credential would be refreshed first; only with `dryRun`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_first: Option<bool>,
    /// The preferred credential that could not be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded_from: Option<Degraded>,
    /// The result for each credential, if `explain` was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Vec<Considered>>,
}

/// A preferred credential that could not be used and was replaced with another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Degraded {
    /// The profile's id, or `declared:...` or `ephemeral:...`.
    pub profile_id: String,
    /// `user`, `ephemeral` or `declared`.
    pub source: Source,
    /// The reason why it could not be used.
    pub reason: String,
}

/// The result for one credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Considered {
    /// The profile's id, or `declared:...` or `ephemeral:...`.
    pub profile_id: String,
    /// The canonical provider id.
    pub provider_id: String,
    /// `user`, `ephemeral` or `declared`.
    pub source: Source,
    /// The model for which the credential is used; `*` for every model.
    pub model: String,
    /// True if it was chosen.
    pub chosen: bool,
    /// The reason why it was or was not chosen.
    pub reason: String,
}

/// Sets the order of a user's profiles for one provider.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ReorderProfiles")]
pub(crate) struct Reorder {
    /// The user's id.
    pub user_id: String,
    /// The agent's id.
    pub agent_id: String,
    /// The provider's id or an alias.
    pub provider_id: String,
    /// The ids of all profiles for this user, agent and provider, starting with the primary one.
    pub profile_ids: Vec<String>,
}
method!(
    Reorder,
    "profile.reorder",
    Profiles,
    "Sets the order of a user's profiles for one provider, starting with the primary one.",
    errors = [Conflict],
);

/// Deletes all profiles and secrets that users supplied for an agent, and the credentials lent to it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeleteAgent {
    /// The agent's id.
    pub agent_id: String,
}
method!(
    DeleteAgent,
    "agent.delete",
    Deleted,
    "Deletes all profiles and secrets that users supplied for an agent, so that a later agent with the same id does not inherit them.",
    seconds = 30
);

/// Deletes all of a user's profiles and secrets, and the credentials lent for the user.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeleteUser {
    /// The user's id.
    pub user_id: String,
}
method!(
    DeleteUser,
    "user.delete",
    Deleted,
    "Deletes all of a user's profiles and secrets, for every agent.",
    seconds = 30
);
