//! `bundle.*`: identity bundles and their bindings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Status, method, words};

/// An identity bundle: a named set of accounts, with at most one account per provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bundle {
    /// The bundle's id, which is safe to use as a path segment.
    pub id: String,
    /// The bundle's name, which is unique ignoring case.
    pub name: String,
    /// A free-text description.
    pub description: String,
    /// True for the `blank` bundle, which has no identity.
    pub is_blank: bool,
    /// The creation time, in Unix milliseconds.
    pub created_at: i64,
    /// The time of the last change, in Unix milliseconds.
    pub updated_at: i64,
    /// The bound accounts, sorted by provider.
    pub bindings: Vec<Binding>,
    /// The treatment of the providers that the bundle does not bind.
    pub unbound: UnboundPolicy,
}

words! {
    /// The rule for the providers that a bundle does not bind.
    UnboundRule {
        /// Each of them is logged out, and none of their variables is passed on.
        Sealed = "sealed",
        /// Agents are sealed. The person's own tools, such as `gh`, stay as they are.
        Tools = "tools",
        /// All of them use the person's own credentials.
        Own = "own",
    }
}

/// The treatment of the providers that a bundle does not bind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnboundPolicy {
    /// The rule for providers that are in neither list.
    pub rule: UnboundRule,
    /// Providers that use the person's own credentials.
    pub own: Vec<String>,
    /// Providers that are sealed.
    pub sealed: Vec<String>,
}

/// The binding of an account in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Binding {
    /// The canonical provider id.
    pub provider_id: String,
    /// The account's id.
    pub account_id: String,
    /// The account's status.
    pub status: Status,
}

impl Default for UnboundPolicy {
    fn default() -> Self {
        Self { rule: UnboundRule::Tools, own: Vec::new(), sealed: Vec::new() }
    }
}

/// Lists all bundles.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List {}
method!(List, "bundle.list", Bundles, "Lists all bundles.");

/// All bundles, sorted by name and including `blank`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bundles {
    /// The bundles.
    pub bundles: Vec<Bundle>,
}

/// Reads one bundle.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Get {
    /// The bundle's id.
    pub bundle_id: String,
}
method!(Get, "bundle.get", Bundle, "Reads one bundle.");

/// Creates an empty bundle.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Create {
    /// The name; 1 to 100 characters.
    pub name: String,
    /// A free-text description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
method!(Create, "bundle.create", Bundle, "Creates an empty bundle.", errors = [Conflict]);

/// Changes the name, the description or the policy of a bundle.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Update {
    /// The bundle's id.
    pub bundle_id: String,
    /// The new name; unchanged if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new description; unchanged if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The new rule for the providers that the bundle does not bind; unchanged when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unbound: Option<UnboundRule>,
    /// Providers, by id or alias, that use the person's own credentials while the bundle does not bind them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own: Vec<String>,
    /// Providers, by id or alias, that are sealed while the bundle does not bind them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seal: Vec<String>,
    /// Providers, by id or alias, to which the rule applies again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_rule: Vec<String>,
}
method!(
    Update,
    "bundle.update",
    Bundle,
    "Changes the name, the description or the policy of a bundle.",
    errors = [Conflict]
);

/// Deletes a bundle and the accounts that are bound only by it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delete {
    /// The bundle's id.
    pub bundle_id: String,
    /// True to keep the conversation history in the CLIs' directories, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_history: Option<bool>,
}
method!(
    Delete,
    "bundle.delete",
    Deleted,
    "Deletes a bundle and the accounts that are bound only by it.",
    errors = [Conflict],
    seconds = 30
);

/// The result of deleting a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deleted {
    /// True if the bundle was deleted.
    pub deleted: bool,
    /// The number of accounts deleted with the bundle.
    pub accounts_deleted: u64,
    /// The number of agent instances that lost their identity.
    pub instances_affected: u64,
    /// The result for each directory or file.
    pub cleanup: Vec<Cleanup>,
}

/// The result of cleaning up one directory or file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cleanup {
    /// The absolute path.
    pub path: String,
    /// `removed`, `kept_history`, `absent`, `not_ours` or `failed: <reason>`.
    #[schemars(with = "String")]
    pub outcome: CleanupOutcome,
}

words! {
    /// The result of cleaning up one directory or file. On the wire it is a string.
    CleanupOutcome {
        /// The directory was removed.
        Removed = "removed",
        /// The directory contains only the conversation history, which was to be kept.
        KeptHistory = "kept_history",
        /// The directory did not exist.
        Absent = "absent",
        /// The directory does not belong to the daemon, or is used by another account. It was not changed.
        NotOurs = "not_ours",
    }
    and {
        /// The directory could not be removed, for this reason.
        Failed = "failed: "
    }
}

/// Binds an account in a bundle, replacing any account of the same provider.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bind {
    /// The bundle's id.
    pub bundle_id: String,
    /// The account's id.
    pub account_id: String,
}
method!(
    Bind,
    "bundle.bind",
    Bundle,
    "Binds an account in a bundle, replacing any account of the same provider.",
    errors = [Conflict],
);

/// Removes a provider's binding.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unbind {
    /// The bundle's id.
    pub bundle_id: String,
    /// The provider's id or an alias.
    pub provider_id: String,
}
method!(
    Unbind,
    "bundle.unbind",
    Bundle,
    "Removes a provider's binding. The account is kept.",
    errors = [Conflict]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleanup_outcome_is_a_string_on_the_wire() {
        for (outcome, text) in [
            (CleanupOutcome::Removed, "removed"),
            (CleanupOutcome::KeptHistory, "kept_history"),
            (CleanupOutcome::Absent, "absent"),
            (CleanupOutcome::NotOurs, "not_ours"),
            (CleanupOutcome::Failed("no space".to_owned()), "failed: no space"),
            (CleanupOutcome::Other("archived".to_owned()), "archived"),
        ] {
            assert_eq!(serde_json::to_value(&outcome).unwrap(), text);
            assert_eq!(serde_json::from_value::<CleanupOutcome>(text.into()).unwrap(), outcome);
        }
    }
}
