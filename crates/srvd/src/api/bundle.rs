//! `bundle.*`: identity bundles and their bindings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Status, method};

/// An identity bundle: a named set of accounts, at most one for each provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// A safe path segment.
    pub id: String,
    /// Unique, whatever its case.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether this is the bundle without any identity.
    pub is_blank: bool,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
    /// What it binds, by provider.
    pub bindings: Vec<Binding>,
}

/// One account in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Canonical provider id.
    pub provider_id: String,
    /// The account.
    pub account_id: String,
    /// The account's status.
    pub status: Status,
}

/// Lists all bundles.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct List {}
method!(List, "bundle.list", Bundles, "Lists all bundles.");

/// All bundles, by name; `blank` is among them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bundles {
    /// The bundles.
    pub bundles: Vec<Bundle>,
}

/// Reads one bundle.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Get {
    /// The bundle.
    pub bundle_id: String,
}
method!(Get, "bundle.get", Bundle, "Reads one bundle.");

/// Makes an empty bundle.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Create {
    /// 1 to 100 characters.
    pub name: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
method!(Create, "bundle.create", Bundle, "Makes an empty bundle.");

/// Renames or describes a bundle.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// The bundle.
    pub bundle_id: String,
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
method!(Update, "bundle.update", Bundle, "Renames or describes a bundle.");

/// Deletes a bundle with the accounts that only it binds.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delete {
    /// The bundle.
    pub bundle_id: String,
    /// Keeps the conversation history inside the CLIs' directories; true unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_history: Option<bool>,
}
method!(Delete, "bundle.delete", Deleted, "Deletes a bundle with the accounts that only it binds.");

/// What deleting a bundle did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// The bundle is gone.
    pub deleted: bool,
    /// How many accounts went with it.
    pub accounts_deleted: u64,
    /// How many agent instances lost their identity.
    pub instances_affected: u64,
    /// What became of each directory.
    pub cleanup: Vec<Cleanup>,
}

/// What became of one directory or file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cleanup {
    /// Absolute path.
    pub path: String,
    /// `removed`, `kept_history`, `absent`, `not_ours` or `failed: <reason>`.
    pub outcome: String,
}

/// Binds an account in a bundle, in place of the provider's account that was there.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bind {
    /// The bundle.
    pub bundle_id: String,
    /// The account.
    pub account_id: String,
}
method!(Bind, "bundle.bind", Bundle, "Binds an account in a bundle, in place of its provider's former one.");

/// Removes the binding of a provider.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unbind {
    /// The bundle.
    pub bundle_id: String,
    /// Provider id or alias.
    pub provider_id: String,
}
method!(Unbind, "bundle.unbind", Bundle, "Removes the binding of a provider; the account stays.");
