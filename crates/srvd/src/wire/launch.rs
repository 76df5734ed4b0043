//! `launch.*`: the environment that lets an agent run with an identity.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::profile::Degraded;
use super::{Names, SecretOutput, Source, Status, method};

/// Returns the variables to set and to remove so that an agent runs with this identity only.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ResolveLaunch")]
pub(crate) struct Resolve {
    /// The id of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// The id of an instance; its bundle is used. Give it instead of `bundleId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The id of an agent; its credentials are used, with those of `userId`. Give it instead of `bundleId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The user whose own credentials come first; only with `agentId`. No user's credentials are used when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The provider whose account is used. When absent, all accounts of the bundle or the agent are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The model; only with `agentId`. Its prefix selects the provider when `providerId` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Shortest remaining lifetime of a credential that cannot renew itself, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ttl_ms: Option<u32>,
    /// True to include the result for each account as `trace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<bool>,
    /// True to leave out the credentials. Their variables are then empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}
method!(
    Resolve,
    "launch.resolve",
    Launch,
    "Returns the variables that give an agent this identity. It is the only method that returns credentials.",
    seconds = 30
);

/// The changes to make to an environment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Launch {
    /// Variables to set.
    pub set: BTreeMap<String, SecretOutput>,
    /// Variables to remove. None of them is in `set`.
    pub unset: Names,
    /// The accounts, one for each provider.
    pub accounts: Vec<Used>,
    /// The result for each account, if `explain` was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Vec<Trace>>,
}

/// An account that is used in a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LaunchAccount")]
pub(crate) struct Used {
    /// Canonical provider id.
    pub provider_id: String,
    /// The account's id, or `declared:<agent>:<provider>` or `ephemeral:<agent>:<provider>` for a credential without an
    /// account.
    pub account_id: String,
    /// The source of the account: `bundle`, or the layer of an agent's credentials: `user`, `ephemeral` or `declared`.
    pub source: Source,
    /// The present status of its credential.
    pub status: Status,
    /// The generation of the account's tokens, for `account.refused`; absent for a credential that is no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The reason why a key was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The preferred credential, which could not be used and is replaced by this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded_from: Option<Degraded>,
}

/// A candidate of a launch, with the reason why it was chosen or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LaunchTrace")]
pub(crate) struct Trace {
    /// Canonical provider id.
    pub provider_id: String,
    /// The account's id, or `declared:<agent>:<provider>` or `ephemeral:<agent>:<provider>` for a credential without an
    /// account.
    pub account_id: String,
    /// The source of the account: `bundle`, or the layer of an agent's credentials: `user`, `ephemeral` or `declared`.
    pub source: Source,
    /// True if the agent receives this credential.
    pub chosen: bool,
    /// The variables that it sets, or the reason why it was not chosen.
    pub reason: String,
}

/// Returns whether an agent could be launched. It returns no credential.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LaunchReady")]
pub(crate) struct Ready {
    /// The id of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// The id of an instance; its bundle is used. Give it instead of `bundleId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The id of an agent; its credentials are used, with those of `userId`. Give it instead of `bundleId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The user whose own credentials come first; only with `agentId`. No user's credentials are used when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The provider whose account is checked; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The model; only with `agentId`. Its prefix selects the provider when `providerId` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Shortest remaining lifetime of a credential that cannot renew itself, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ttl_ms: Option<u32>,
}
method!(
    Ready,
    "launch.ready",
    Readiness,
    "Returns whether a launch would succeed, and what to do if it would not.",
    seconds = 30
);

/// The readiness of a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Readiness {
    /// True if every login of the launch can be used.
    pub ready: bool,
    /// The readiness of each provider.
    pub providers: Vec<ProviderReadiness>,
}

/// The readiness of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProviderReadiness {
    /// Canonical provider id.
    pub provider_id: String,
    /// True if its account can be used.
    pub ready: bool,
    /// The reason why the account cannot be used, or why another one is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// An action for the person, such as a command to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
}
