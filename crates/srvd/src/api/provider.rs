//! `provider.*`: the registry as clients see it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// Lists the providers of the registry and which of their CLIs are installed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct List {
    /// Only this provider, by id or alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
}
method!(List, "provider.list", Providers, "Lists the providers and which of their CLIs are installed.");

/// The providers, by id.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Providers {
    /// The providers.
    pub providers: Vec<Provider>,
}

/// One provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Canonical id.
    pub id: String,
    /// Other names that mean the same.
    pub aliases: Vec<String>,
    /// For people.
    pub display_name: String,
    /// `oauth` or `api_key`.
    pub class: String,
    /// Its CLI; never found for a service that has none.
    pub cli: Cli,
    /// Whether its first login recipe needs a terminal.
    pub requires_tty: bool,
    /// The recipes that `auth.start` takes, first one first; `api_key` for `auth.submitapikey`.
    pub login_kinds: Vec<String>,
    /// The same recipes, without `api_key`, with what each of them asks of the person.
    #[serde(default)]
    pub logins: Vec<Login>,
}

/// One way to log in, as it is for the installed version of the CLI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// The recipe's id, for `auth.start`.
    pub id: String,
    /// The way in which the person logs in.
    pub kind: LoginKind,
    /// Whether `auth.submitcallback` takes an answer during this login.
    pub takes_paste: bool,
}

/// The way in which a person logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginKind {
    /// Enters a one-time code at an address, in a browser on any machine.
    DeviceCode,
    /// Opens an address in a browser, which may have to be on the daemon's machine.
    Browser,
}

/// A provider's CLI on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cli {
    /// Whether it was found.
    pub found: bool,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What it says its version is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How to install it; absent for a service that has no CLI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<String>,
}
