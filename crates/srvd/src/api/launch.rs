//! `launch.*`: the environment that makes an agent be an identity.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::profile::Degraded;
use super::{Names, SecretOutput, Status, method};

/// Says which variables to set and to remove, so that an agent runs as this identity and as nobody else.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ResolveLaunch")]
pub struct Resolve {
    /// The bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// In place of the bundle: the instance whose bundle is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// In place of the bundle: the agent whose credentials are meant, with those of `userId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// With `agentId`: the user whose own credentials come first. Nobody without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Only this provider's account; without it all that the bundle binds or the agent has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// With `agentId`: the model. Its prefix names the provider where `providerId` does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How long a credential that cannot renew itself has to last, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ttl_ms: Option<u32>,
    /// Whether to say what was found of each account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<bool>,
    /// Whether to leave the credentials themselves out; their variables are then empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}
method!(
    Resolve,
    "launch.resolve",
    Launch,
    "Says which variables make an agent this identity: the one method that returns credentials."
);

/// The change of an environment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Launch {
    /// Variables to set.
    pub set: BTreeMap<String, SecretOutput>,
    /// Variables to remove; none of them is set.
    pub unset: Names,
    /// The accounts, one a provider.
    pub accounts: Vec<Used>,
    /// What was found of each account, with `explain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Vec<Trace>>,
}

/// An account of a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LaunchAccount")]
pub struct Used {
    /// Canonical provider id.
    pub provider_id: String,
    /// The account; `declared:<agent>:<provider>` or `ephemeral:<agent>:<provider>` where there is none.
    pub account_id: String,
    /// What named it: `bundle`, or the layer of an agent's credentials: `user`, `ephemeral` or `declared`.
    pub source: String,
    /// What is known of its credential now.
    pub status: Status,
    /// Which set of the account's tokens it is, for `account.refused`; absent for what is no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Why a key was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The credential in whose place this one is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded_from: Option<Degraded>,
}

/// One candidate of a launch and why it won or lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LaunchTrace")]
pub struct Trace {
    /// Canonical provider id.
    pub provider_id: String,
    /// The account; `declared:<agent>:<provider>` or `ephemeral:<agent>:<provider>` where there is none.
    pub account_id: String,
    /// What named it: `bundle`, or the layer of an agent's credentials: `user`, `ephemeral` or `declared`.
    pub source: String,
    /// Whether the agent gets it.
    pub chosen: bool,
    /// Why not, or what it sets.
    pub reason: String,
}

/// Says whether an agent could be launched, without returning a credential.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LaunchReady")]
pub struct Ready {
    /// The bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// In place of the bundle: the instance whose bundle is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// In place of the bundle: the agent whose credentials are meant, with those of `userId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// With `agentId`: the user whose own credentials come first. Nobody without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Only this provider's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// With `agentId`: the model. Its prefix names the provider where `providerId` does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How long a credential that cannot renew itself has to last, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ttl_ms: Option<u32>,
}
method!(
    Ready,
    "launch.ready",
    Readiness,
    "Says whether a launch would succeed, and what to do where it would not."
);

/// Whether a launch would succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    /// Whether every login of the launch is fit.
    pub ready: bool,
    /// Each provider by itself.
    pub providers: Vec<ProviderReadiness>,
}

/// Whether one provider is fit to launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderReadiness {
    /// Canonical provider id.
    pub provider_id: String,
    /// Whether its account is fit.
    pub ready: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a person can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
}
