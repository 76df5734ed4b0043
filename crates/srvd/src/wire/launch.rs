//! `launch.*`: the environment that makes an agent run with an identity.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::next_step::NextStep;
use super::profile::Degraded;
use super::share::HomeShare;
use super::{Names, SecretOutput, Source, Status, method, words};

/// Returns the variables to set and to remove so that an agent runs with only this identity.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ResolveLaunch")]
pub(crate) struct Resolve {
    /// The id of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// The id of an instance, whose bundle is used. Provide it instead of `bundleId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The id of an agent, whose credentials are used together with those of `userId`. Provide it instead of
    /// `bundleId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The user whose own credentials take precedence; only with `agentId`. If absent, no user's credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The provider whose account is used. If absent, all accounts of the bundle or agent are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The model; only with `agentId`. Its prefix selects the provider if `providerId` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The minimum remaining lifetime of a credential that cannot renew itself, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ttl_ms: Option<u32>,
    /// True to include the result for each account in `trace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<bool>,
    /// True to leave out the credentials. Their variables are then empty, and no home is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// The names of the variables of the environment that will be changed. `unset` is then exact: it holds those of them
    /// that must be removed. Without it `unset` holds every known name, and `unsetRules` covers the unknown ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_names: Option<Vec<String>>,
    /// The file name of the program that will be started. If it is a provider's CLI, only that provider's login must be
    /// usable, variables of other programs that it reads are removed, and it must have a credential in this launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// True to start a provider's CLI that has no credential in this launch. It is then logged out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_unbound: Option<bool>,
    /// True to launch another program than a provider's CLI although the identity has no credential, because the caller
    /// gives it one, such as the active forge's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_empty: Option<bool>,
}
method!(
    Resolve,
    "launch.resolve",
    Launch,
    "Returns the variables that give an agent this identity. Only this method and forge.credential return credentials.",
    errors = [Conflict, AmbientDirectory, NotFound],
    seconds = 30
);

/// The changes to make to an environment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Launch {
    /// The variables to set.
    pub set: BTreeMap<String, SecretOutput>,
    /// The variables to remove. None of them is in `set`.
    pub unset: Names,
    /// Further variables to remove, if the request named no `environmentNames`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unset_rules: Option<UnsetRules>,
    /// The accounts, one for each provider.
    pub accounts: Vec<Used>,
    /// Facts that the person who starts the launch should know, such as a credential that was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The variables of `unset` with their reasons, if the request named `environmentNames`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Vec<Removed>>,
    /// The home of each provider's CLI, if `explain` was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homes: Option<Vec<LaunchHome>>,
    /// The result for each account, if `explain` was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Vec<Trace>>,
    /// The setup of each home, if `explain` was set. Empty after a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<Vec<HomeShare>>,
}

/// The rules for variables that no list names. A variable is removed if its name begins with one of the prefixes, has
/// one of the words as a whole word between underscores, and is not in `keep`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnsetRules {
    /// The beginnings of names.
    pub prefixes: Vec<String>,
    /// The words.
    pub words: Vec<String>,
    /// Names that are not removed.
    pub keep: Vec<String>,
}

/// A variable that a launch removes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Removed {
    /// The name of the variable.
    pub name: String,
    /// `secret`, `destination` or `location`.
    pub class: String,
    /// The provider whose programs read it; absent for a variable of the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The reason for people.
    pub reason: String,
}

words! {
    /// The state of a provider in a launch.
    HomeState {
        /// The launch has an account of the provider.
        Account = "account",
        /// The provider's CLI runs with an API key.
        Key = "key",
        /// The provider has no account, and its CLI is logged out.
        Unbound = "unbound",
        /// The bundle binds an account of the provider that is not part of the launch. Its CLI is logged out.
        LeftOut = "left_out",
        /// The provider's CLI uses the person's own credentials, by the policy of the bundle.
        Own = "own",
        /// The provider is a tool that keeps the person's own credentials, by the policy of the bundle.
        Tool = "tool",
    }
}

/// The home of a provider's CLI in a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LaunchHome {
    /// Canonical provider id.
    pub provider_id: String,
    /// The state of the provider.
    pub state: HomeState,
    /// The directory of the CLI; absent if it is the person's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// The provider of the key that the CLI runs with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_provider_id: Option<String>,
    /// The directory of a login that belongs to no account. The launch does not use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stray_dir: Option<String>,
}

/// An account that is used in a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LaunchAccount")]
pub(crate) struct Used {
    /// The canonical provider id.
    pub provider_id: String,
    /// The account's id, or `declared:<agent>:<provider>` or `ephemeral:<agent>:<provider>` for a credential without an
    /// account.
    pub account_id: String,
    /// The source of the account: `bundle`, or the layer of an agent's credentials: `user`, `ephemeral` or `declared`.
    pub source: Source,
    /// The current status of its credential.
    pub status: Status,
    /// The person of the account, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The generation of the account's tokens, for `account.refused`; absent for a credential that is no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// True if it is not known whether the login is that of the account's person, because one of the two has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<bool>,
    /// The reason why a key was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The preferred credential, if it could not be used and was replaced with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded_from: Option<Degraded>,
}

/// A candidate for a launch, with the reason why it was or was not chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LaunchTrace")]
pub(crate) struct Trace {
    /// The canonical provider id.
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

/// Returns whether an agent could be launched. Returns no credentials.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LaunchReady")]
pub(crate) struct Ready {
    /// The id of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// The id of an instance, whose bundle is used. Provide it instead of `bundleId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The id of an agent, whose credentials are used together with those of `userId`. Provide it instead of
    /// `bundleId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The user whose own credentials take precedence; only with `agentId`. If absent, no user's credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The provider whose account is checked; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The model; only with `agentId`. Its prefix selects the provider if `providerId` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The minimum remaining lifetime of a credential that cannot renew itself, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ttl_ms: Option<u32>,
}
method!(
    Ready,
    "launch.ready",
    Readiness,
    "Returns whether a launch would succeed, and what to do if not.",
    errors = [Conflict, NoCredential, DeclaredImmutable],
    seconds = 30
);

/// The readiness of a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Readiness {
    /// True if every credential of the launch can be used.
    pub ready: bool,
    /// The readiness of each provider.
    pub providers: Vec<ProviderReadiness>,
}

/// The readiness of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProviderReadiness {
    /// The canonical provider id.
    pub provider_id: String,
    /// True if its account can be used.
    pub ready: bool,
    /// True if it is not known whether the login is that of the account's person, because one of the two has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<bool>,
    /// The reason why the account cannot be used, or why another one is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The next step for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<NextStep>,
}
