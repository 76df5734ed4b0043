//! Identity bundles: a named set of accounts, at most one bound account per provider.

use crate::account::Leftover;
use crate::{Account, AccountId, BundleId, ProviderId, Status};

/// An identity bundle with its bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The bundle's id, one safe path segment.
    pub id: BundleId,
    /// Its name; 1 to 100 characters, unique without regard to case.
    pub name: String,
    /// A free text, possibly empty.
    pub description: String,
    /// Whether this is the bundle `blank`, which cannot be changed.
    pub is_blank: bool,
    /// When it was made, in unix milliseconds.
    pub created_at: i64,
    /// When it or one of its bindings last changed, in unix milliseconds.
    pub updated_at: i64,
    /// Its bindings in order of their providers.
    pub bindings: Vec<Binding>,
}

/// One provider of a bundle and the account that stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The provider.
    pub provider: ProviderId,
    /// The account.
    pub account: AccountId,
    /// The account's status.
    pub status: Status,
}

/// A bundle that shall be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBundle {
    /// Its id.
    pub id: BundleId,
    /// Its name; 1 to 100 characters, unique without regard to case.
    pub name: String,
    /// A free text, possibly empty.
    pub description: String,
}

/// What to change in a bundle; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BundleEdit {
    /// The new name.
    pub name: Option<String>,
    /// The new description.
    pub description: Option<String>,
}

/// What went with a deleted bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedBundle {
    /// The bundle as it was.
    pub bundle: Bundle,
    /// The accounts that were deleted with it, as they were: those that bundles hold and no other bundle binds.
    pub accounts: Vec<Account>,
    /// How many running instances were under it; they are under none now.
    pub instances: u64,
    /// The directories that the accounts have left, noted until they are said to be gone.
    pub leftovers: Vec<Leftover>,
}
