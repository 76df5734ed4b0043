//! `provider.*`: the provider registry as seen by clients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CredentialKind, method, words};

/// Lists the registry's providers and their installed CLIs.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List {
    /// The provider to list, by id or alias; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
}
method!(
    List,
    "provider.list",
    Providers,
    "Lists the providers and which of their CLIs are installed.",
    seconds = 50
);

/// The providers, sorted by id.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Providers {
    /// The providers.
    pub providers: Vec<Provider>,
}

/// A provider of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Provider {
    /// The canonical id.
    pub id: String,
    /// Other accepted names for the provider.
    pub aliases: Vec<String>,
    /// The display name.
    pub display_name: String,
    /// The main kind of credential used by the provider.
    pub class: CredentialKind,
    /// The provider's CLI. `found` is false for a service without a CLI.
    pub cli: Cli,
    /// True if the first login recipe needs a terminal.
    pub requires_tty: bool,
    /// The ids of the recipes for `auth.start`, starting with the default, and `api_key` if `auth.submitapikey` accepts
    /// a key.
    pub login_kinds: Vec<String>,
    /// The same recipes, without `api_key`, with details about each.
    #[serde(default)]
    pub logins: Vec<Login>,
    /// The name of an icon: the provider's id, or that of the vendor's main provider. Frontends bring their own images.
    #[serde(default)]
    pub icon: String,
    /// The text that every API key begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_prefix: Option<String>,
    /// The vendor's page on which the user gets an API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_url: Option<String>,
}

/// A way to log in with the installed version of the CLI.
#[expect(clippy::struct_excessive_bools, reason = "they are members of the protocol")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login {
    /// The id of the recipe, for `auth.start`.
    pub id: String,
    /// The user's action during the login.
    pub kind: LoginKind,
    /// True if `auth.submitcallback` accepts an answer during this login.
    pub takes_paste: bool,
    /// A short name of this way to log in, for a person who chooses.
    #[serde(default)]
    pub label: String,
    /// True if the login shows a URL to open in a browser.
    #[serde(default)]
    pub opens_browser: bool,
    /// True if the login shows a code to enter at a URL, on any device.
    #[serde(default)]
    pub shows_code: bool,
    /// True if the user has to paste an answer when the browser runs on another machine than the daemon, or always if
    /// `holdsPorts` is empty.
    #[serde(default)]
    pub needs_paste: bool,
    /// The fixed ports that the CLI listens on. Only one login can hold them at a time.
    #[serde(default)]
    pub holds_ports: Vec<u16>,
}

words! {
    /// The user's action during a login.
    LoginKind {
        /// The user enters a one-time code at a URL, in a browser on any machine.
        DeviceCode = "device_code",
        /// The user opens a URL in a browser, which may have to run on the daemon's machine.
        Browser = "browser",
    }
}

/// A provider's CLI on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cli {
    /// True if the CLI was found.
    pub found: bool,
    /// The path of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The version reported by the CLI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version that the registry's entry was tested with; absent for an entry that was never run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<String>,
    /// True if the entry was not tested with the CLI that was found: its version is newer, or the entry was never run.
    /// Such a CLI is used like the newest tested version.
    #[serde(default)]
    pub untested: bool,
    /// A line that explains how to install the CLI; absent for a service without a CLI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<String>,
}
