//! One use case that writes: its turn at the transaction, and what it leaves beside its rows.

use std::sync::Arc;

use super::group::Turn;
use super::ledger::Ledger;
use crate::{AuditEntry, Change, StoreError};

/// A use case under way. Dropped, it is undone.
pub(crate) struct Work {
    pub(crate) tx: Turn,
    pub(crate) now: i64,
    pub(crate) ledger: Ledger,
    /// Stands in the audit log.
    actor: Arc<str>,
}

impl Work {
    pub(crate) fn new(tx: Turn, now: i64, actor: Arc<str>) -> Self {
        Self { tx, now, ledger: Ledger::default(), actor }
    }

    /// What comes next is done for this actor, at this time: the use case does the work of several.
    pub(crate) fn acting_for(&mut self, actor: &Arc<str>, now: i64) {
        self.actor = Arc::clone(actor);
        self.now = now;
    }

    /// Remembers a change for after the commit.
    pub(crate) fn changed(&mut self, change: Change) {
        self.ledger.changed(change);
    }

    /// Adds a row to the audit log for what this use case does: ids and words, never a secret.
    pub(crate) fn audit(&mut self, action: &str, subject: &str) {
        self.audit_outcome(action, subject, AuditEntry::OK);
    }

    /// The same for something that did not end well: the outcome is a word.
    pub(crate) fn audit_outcome(&mut self, action: &str, subject: &str, outcome: &str) {
        self.ledger.record(AuditEntry {
            at: self.now,
            actor: self.actor.to_string(),
            action: action.into(),
            subject: subject.into(),
            outcome: outcome.into(),
            detail: None,
        });
    }

    /// Commits; everybody was told of the changes when it returns.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.tx.finish(self.ledger, self.now).settled().await
    }

    /// Ends a use case that [joined](super::Store::join) others: commits what went well and undoes what did not.
    ///
    /// A refusal may rest on rows of others that are not committed yet, so it is given only when they are. If they never
    /// are, this is an error like theirs, and the caller may try again.
    pub(crate) async fn end<T, E: From<StoreError>>(self, done: Result<T, E>) -> Result<T, E> {
        if done.is_ok() {
            self.commit().await?;
        } else if let Some(others) = self.tx.others() {
            drop(self);
            others.settled().await?;
        }
        done
    }
}
