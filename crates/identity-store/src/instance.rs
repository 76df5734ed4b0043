//! Agent instances: agents that run under a bundle.

use crate::{BundleId, InstanceId};

/// An agent that runs under a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The instance's id.
    pub id: InstanceId,
    /// The id of what it was made from, in the words of whoever made it; 1 to 100 characters.
    pub definition: String,
    /// Its name; 1 to 100 characters, not unique.
    pub name: String,
    /// The bundle that it runs under; `None` for none.
    pub bundle: Option<BundleId>,
    /// When it was made, in unix milliseconds.
    pub created_at: i64,
    /// When it last changed, in unix milliseconds.
    pub updated_at: i64,
    /// When it ended, in unix milliseconds.
    pub ended_at: Option<i64>,
}

/// An instance that shall be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInstance {
    /// What it is made from.
    pub definition: String,
    /// Its name; that of its definition when absent.
    pub name: Option<String>,
    /// The bundle that it runs under.
    pub bundle: Option<BundleId>,
}

/// Which instances a list shall hold; an empty filter means all that have not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    /// Only those that run under this bundle.
    pub bundle: Option<BundleId>,
    /// Also those that have ended.
    pub ended: bool,
}
