//! `instance.*`: agents running under a bundle.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// An agent running under a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instance {
    /// The instance's id.
    pub id: String,
    /// The id of the definition from which the instance was created, chosen by its creator.
    pub definition_id: String,
    /// The display name.
    pub name: String,
    /// The id of the instance's bundle; `null` for none.
    pub bundle_id: Option<String>,
    /// The creation time, in Unix milliseconds.
    pub created_at: i64,
    /// The time of the last change, in Unix milliseconds.
    pub updated_at: i64,
    /// The end time, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
}

/// Creates an instance.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CreateInstance")]
pub(crate) struct Create {
    /// The id of the definition from which the instance is created, chosen by the caller; 1 to 100 characters.
    pub definition_id: String,
    /// The display name; the definition's id if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The id of the bundle to run under. Absent or empty means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
}
method!(
    Create,
    "instance.create",
    Instance,
    "Creates an agent instance, with or without a bundle.",
    errors = [Conflict]
);

/// Lists instances.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListInstances")]
pub(crate) struct List {
    /// The bundle whose instances are listed; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// True to include instances that have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_ended: Option<bool>,
}
method!(List, "instance.list", Instances, "Lists the running agent instances, oldest first.");

/// A list of instances.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instances {
    /// The instances, oldest first.
    pub instances: Vec<Instance>,
}

/// Moves an instance to another bundle.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UpdateInstance")]
pub(crate) struct Update {
    /// The instance's id.
    pub instance_id: String,
    /// The id of the new bundle. Empty means none.
    pub bundle_id: String,
}
method!(
    Update,
    "instance.update",
    Instance,
    "Moves an agent instance to another bundle. The change takes effect at its next launch.",
    errors = [Conflict],
);

/// Ends an instance.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EndInstance")]
pub(crate) struct End {
    /// The instance's id.
    pub instance_id: String,
}
method!(
    End,
    "instance.end",
    Ended,
    "Ends an agent instance. Its process is ended by the creator of the instance, not by the daemon.",
    errors = [Conflict],
);

/// The result of ending an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EndedInstance")]
pub(crate) struct Ended {
    /// True if the instance was running.
    pub ended: bool,
}
