//! Agent instances: agents that run under a bundle.

use crate::id::{BundleId, InstanceId};

/// An agent that runs under a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The instance's id.
    pub id: InstanceId,
    /// The id of the definition that the instance was created from, as given by its creator; 1 to 100 characters.
    pub definition: String,
    /// The instance's name; 1 to 100 characters, not unique.
    pub name: String,
    /// The bundle that the instance runs under; `None` for no bundle.
    pub bundle: Option<BundleId>,
    /// Time when the instance was created, in unix milliseconds.
    pub created_at: i64,
    /// Time of the last change to the instance, in unix milliseconds.
    pub updated_at: i64,
    /// Time when the instance ended, in unix milliseconds.
    pub ended_at: Option<i64>,
}

/// An instance to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInstance {
    /// The id of the definition to create the instance from.
    pub definition: String,
    /// The instance's name; `None` for the name of its definition.
    pub name: Option<String>,
    /// The bundle that the instance runs under.
    pub bundle: Option<BundleId>,
}

/// A filter for a list of instances. An empty filter matches all that have not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    /// Only instances that run under this bundle.
    pub bundle: Option<BundleId>,
    /// True to include instances that have ended.
    pub ended: bool,
}
