//! Identity bundles. A bundle is a named set of accounts with at most one bound account per provider.

use crate::id::{AccountId, BundleId, ProviderId};
use crate::model::account::{Account, Leftover, Status};

/// An identity bundle with its bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The bundle's id, which is one safe path segment.
    pub id: BundleId,
    /// The bundle's name; 1 to 100 characters, unique without regard to case.
    pub name: String,
    /// A free text, possibly empty.
    pub description: String,
    /// True if this is the bundle `blank`, which cannot be changed.
    pub is_blank: bool,
    /// Time when the bundle was created, in unix milliseconds.
    pub created_at: i64,
    /// Time of the last change to the bundle or to one of its bindings, in unix milliseconds.
    pub updated_at: i64,
    /// The bundle's bindings, in order of their providers.
    pub bindings: Vec<Binding>,
}

/// One provider of a bundle, and the account that the bundle uses for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The provider that the binding is for.
    pub provider: ProviderId,
    /// The account that the bundle uses for the provider.
    pub account: AccountId,
    /// The account's status.
    pub status: Status,
}

/// A bundle to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBundle {
    /// The id of the new bundle.
    pub id: BundleId,
    /// The name of the new bundle; 1 to 100 characters, unique without regard to case.
    pub name: String,
    /// A free text, possibly empty.
    pub description: String,
}

/// The changes to a bundle. `None` leaves a field unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BundleEdit {
    /// The new name.
    pub name: Option<String>,
    /// The new description.
    pub description: Option<String>,
}

/// The result of deleting a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedBundle {
    /// The bundle before the deletion.
    pub bundle: Bundle,
    /// The accounts that were deleted with the bundle, as they were before: those owned by bundles that no other bundle
    /// binds.
    pub accounts: Vec<Account>,
    /// The number of running instances that were under the bundle. They are now under no bundle.
    pub instances: u64,
    /// The directories that the accounts left behind. They are recorded until they are reported as removed.
    pub leftovers: Vec<Leftover>,
}
