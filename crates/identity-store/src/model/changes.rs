//! The changes of a committed transaction, for listeners.

use std::collections::HashSet;
use std::sync::Arc;

use crate::id::{AccountId, BundleId, SessionId, UserId};

/// One change. It tells the listener to fetch again and carries only an id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// A bundle was created, renamed or deleted.
    Bundles,
    /// A binding of this bundle was created, moved or removed, or the status of its account changed.
    Bindings(BundleId),
    /// An account was created, changed or deleted, or its status or its bundles changed.
    Account(AccountId),
    /// The state of a login session changed.
    Session(SessionId),
    /// A profile of this user was created, changed or deleted, or the status of its account changed.
    Profiles(UserId),
    /// An operator token was created, changed or deleted, its status changed, or another token became active.
    OperatorTokens,
    /// The default branch or the open requests of the watched repository with this name moved.
    ForgeRepo(String),
}

/// A listener for the changes of each transaction. It is called after the commit, in the order of the commits.
///
/// The call comes from one place, on a task of the async runtime, while the next writer waits. The listener must
/// neither block nor wait.
pub type Announce = Arc<dyn Fn(&[Change]) + Send + Sync>;

/// The changes of a use case or of one transaction, in order and without duplicates.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    list: Vec<Change>,
    seen: HashSet<Change>,
}

impl Changes {
    /// Adds a change unless it is already in the list.
    pub(crate) fn push(&mut self, change: Change) {
        // A deletion may affect very many users, so the list is not searched.
        if self.seen.insert(change.clone()) {
            self.list.push(change);
        }
    }

    /// Appends the changes of another use case.
    pub(crate) fn extend(&mut self, other: Self) {
        if self.list.is_empty() {
            *self = other;
        } else {
            other.list.into_iter().for_each(|change| self.push(change));
        }
    }

    /// Returns the changes so far.
    pub(crate) fn as_slice(&self) -> &[Change] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_keep_first_occurrence_when_change_repeats() {
        let mut changes = Changes::default();
        for change in [Change::Bundles, Change::Bindings(BundleId::blank()), Change::Bundles] {
            changes.push(change);
        }
        assert_eq!(changes.as_slice(), [Change::Bundles, Change::Bindings(BundleId::blank())]);
    }
}
