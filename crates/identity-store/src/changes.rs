//! The changes of a committed transaction, for listeners.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;

use crate::{AccountId, BundleId, SessionId, UserId};

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
}

/// A listener for the changes of each transaction. It is called after the commit, in the order of the commits.
///
/// The call comes from one place, on a task of the async runtime, while the next writer waits. The listener must
/// neither block nor wait.
pub type Announce = Arc<dyn Fn(&[Change]) + Send + Sync>;

/// A [`Change`] as stored in the `events` table. The tags are part of the database format.
#[derive(Serialize)]
#[serde(tag = "type")]
enum Stored<'a> {
    #[serde(rename = "bundles")]
    Bundles,
    #[serde(rename = "bindings")]
    Bindings {
        #[serde(rename = "bundle")]
        bundle: &'a str,
    },
    #[serde(rename = "account")]
    Account {
        #[serde(rename = "account")]
        account: &'a str,
    },
    #[serde(rename = "session")]
    Session {
        #[serde(rename = "session")]
        session: &'a str,
    },
    #[serde(rename = "profiles")]
    Profiles {
        #[serde(rename = "user")]
        user: &'a str,
    },
    #[serde(rename = "operator_tokens")]
    OperatorTokens,
}

impl Change {
    /// Returns the change as JSON for the `events` table.
    pub(crate) fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&match self {
            Self::Bundles => Stored::Bundles,
            Self::Bindings(id) => Stored::Bindings { bundle: id.as_str() },
            Self::Account(id) => Stored::Account { account: id.as_str() },
            Self::Session(id) => Stored::Session { session: id.as_str() },
            Self::Profiles(id) => Stored::Profiles { user: id.as_str() },
            Self::OperatorTokens => Stored::OperatorTokens,
        })
    }
}

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
    fn change_serializes_to_fixed_json() {
        let session: SessionId = "auth-67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap();
        for (change, json) in [
            (Change::Bundles, r#"{"type":"bundles"}"#),
            (Change::Bindings(BundleId::blank()), r#"{"type":"bindings","bundle":"blank"}"#),
            (Change::Account("a".parse().unwrap()), r#"{"type":"account","account":"a"}"#),
            (Change::Profiles("u:1".parse().unwrap()), r#"{"type":"profiles","user":"u:1"}"#),
            (Change::OperatorTokens, r#"{"type":"operator_tokens"}"#),
            (
                Change::Session(session),
                r#"{"type":"session","session":"auth-67e55044-10b1-426f-9247-bb680e5fe0c8"}"#,
            ),
        ] {
            assert_eq!(change.to_json().unwrap(), json);
        }
    }

    #[test]
    fn changes_keep_first_occurrence_when_change_repeats() {
        let mut changes = Changes::default();
        for change in [Change::Bundles, Change::Bindings(BundleId::blank()), Change::Bundles] {
            changes.push(change);
        }
        assert_eq!(changes.as_slice(), [Change::Bundles, Change::Bindings(BundleId::blank())]);
    }
}
