//! `instance.*`: agents that run under a bundle.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// An agent that runs under a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// The instance.
    pub id: String,
    /// What it was made from, in its maker's words.
    pub definition_id: String,
    /// For people.
    pub name: String,
    /// The bundle that it runs under; `null` for none.
    pub bundle_id: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
}

/// Makes an instance.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CreateInstance")]
pub struct Create {
    /// What it is made from, in the caller's words; 1 to 100 characters.
    pub definition_id: String,
    /// For people; the definition's id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The bundle to run under; absent or empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
}
method!(Create, "instance.create", Instance, "Makes an agent instance, under a bundle or under none.");

/// Lists instances.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListInstances")]
pub struct List {
    /// Only those that run under this bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// Whether to list those that have ended as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_ended: Option<bool>,
}
method!(List, "instance.list", Instances, "Lists the agent instances that run, oldest first.");

/// Instances.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Instances {
    /// The instances, oldest first.
    pub instances: Vec<Instance>,
}

/// Moves an instance to another bundle.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UpdateInstance")]
pub struct Update {
    /// The instance.
    pub instance_id: String,
    /// The bundle to run under from now on; empty for none.
    pub bundle_id: String,
}
method!(
    Update,
    "instance.update",
    Instance,
    "Moves an agent instance to another bundle; it shows at its next launch."
);

/// Ends an instance.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EndInstance")]
pub struct End {
    /// The instance.
    pub instance_id: String,
}
method!(End, "instance.end", Ended, "Ends an agent instance. Its process is its maker's business.");

/// What ending an instance did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EndedInstance")]
pub struct Ended {
    /// Whether it was running.
    pub ended: bool,
}
