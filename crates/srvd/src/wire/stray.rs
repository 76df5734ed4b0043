//! `account.strays` and its siblings: logins that belong to no account.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::bundle::Cleanup;
use super::method;

/// Lists the logins in bundles that belong to no account.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListStrays")]
pub(crate) struct ListStrays {}
method!(
    ListStrays,
    "account.strays",
    Strays,
    "Lists the logins in the homes of bundles that belong to no account. No launch uses one."
);

/// The logins that belong to no account.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Strays {
    /// The logins.
    pub strays: Vec<Stray>,
}

/// A login that belongs to no account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stray {
    /// The bundle's id.
    pub bundle_id: String,
    /// Canonical provider id.
    pub provider_id: String,
    /// The person of the login, if its files name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The directory that holds the login.
    pub dir: String,
}

/// Makes an account of a login that belongs to none.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeepStray {
    /// The bundle's id.
    pub bundle_id: String,
    /// Provider id or alias.
    pub provider_id: String,
}
method!(
    KeepStray,
    "account.keepstray",
    Account,
    "Makes an account of a login that belongs to none, and binds it in its bundle.",
    alias = "account.keepStray",
    errors = [Conflict, AmbientDirectory, IdentityMismatch],
    seconds = 30
);

/// Removes a login that belongs to no account.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiscardStray {
    /// The bundle's id.
    pub bundle_id: String,
    /// Provider id or alias.
    pub provider_id: String,
}
method!(
    DiscardStray,
    "account.discardstray",
    DiscardedStray,
    "Removes a login that belongs to no account from this machine; the provider is not notified.",
    alias = "account.discardStray",
    seconds = 30
);

/// The result of removing a login that belonged to no account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiscardedStray {
    /// The result for each directory or file of the login.
    pub cleanup: Vec<Cleanup>,
}
