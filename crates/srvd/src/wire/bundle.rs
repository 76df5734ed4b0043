//! `bundle.*`: identity bundles and their bindings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Status, method, words};

/// An identity bundle: a named set of accounts, at most one for each provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bundle {
    /// The bundle's id, a safe path segment.
    pub id: String,
    /// The bundle's name, unique without regard to case.
    pub name: String,
    /// A description in free text.
    pub description: String,
    /// True for the `blank` bundle, which has no identity.
    pub is_blank: bool,
    /// Time of creation, in unix milliseconds.
    pub created_at: i64,
    /// Time of the last change, in unix milliseconds.
    pub updated_at: i64,
    /// The bound accounts, by provider.
    pub bindings: Vec<Binding>,
}

/// The binding of an account in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Binding {
    /// Canonical provider id.
    pub provider_id: String,
    /// The account's id.
    pub account_id: String,
    /// The account's status.
    pub status: Status,
}

/// Lists all bundles.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List {}
method!(List, "bundle.list", Bundles, "Lists all bundles.");

/// All bundles, ordered by name. The list includes `blank`.
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
    /// A description in free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
method!(Create, "bundle.create", Bundle, "Creates an empty bundle.");

/// Changes the name or the description of a bundle.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Update {
    /// The bundle's id.
    pub bundle_id: String,
    /// The new name; unchanged when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new description; unchanged when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
method!(Update, "bundle.update", Bundle, "Changes the name or the description of a bundle.");

/// Deletes a bundle and the accounts that only it binds.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delete {
    /// The bundle's id.
    pub bundle_id: String,
    /// True keeps the conversation history in the CLIs' directories. The default is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_history: Option<bool>,
}
method!(
    Delete,
    "bundle.delete",
    Deleted,
    "Deletes a bundle and the accounts that only it binds.",
    seconds = 30
);

/// The result of deleting a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deleted {
    /// True when the bundle was deleted.
    pub deleted: bool,
    /// The number of accounts that were deleted with it.
    pub accounts_deleted: u64,
    /// The number of agent instances that lost their identity.
    pub instances_affected: u64,
    /// The result for each directory or file.
    pub cleanup: Vec<Cleanup>,
}

/// The result of the clean-up of one directory or file.
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
    /// The outcome of the clean-up of one directory or file. It is a text on the wire.
    CleanupOutcome {
        /// The directory was removed.
        Removed = "removed",
        /// The directory holds only the conversation history, which was to be kept.
        KeptHistory = "kept_history",
        /// The directory did not exist.
        Absent = "absent",
        /// The directory does not belong to the daemon, or another account uses it. It was not changed.
        NotOurs = "not_ours",
    }
    and {
        /// The directory could not be removed, for this reason.
        Failed = "failed: "
    }
}

/// Binds an account in a bundle. It replaces the provider's account that was bound before.
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
    "Binds an account in a bundle. It replaces the provider's account that was bound before."
);

/// Removes the binding of a provider.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unbind {
    /// The bundle's id.
    pub bundle_id: String,
    /// Provider id or alias.
    pub provider_id: String,
}
method!(Unbind, "bundle.unbind", Bundle, "Removes the binding of a provider; the account is kept.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleanup_outcome_is_a_word_on_the_wire() {
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
