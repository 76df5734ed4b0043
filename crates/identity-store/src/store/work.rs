//! One use case that writes: its turn in the transaction, and its audit rows and changes.

use std::sync::Arc;

use super::ledger::Ledger;
use super::write_lock::WriteTurn;
use crate::error::StoreError;
use crate::model::audit::AuditEntry;
use crate::model::changes::Change;

/// A use case in progress. If it is dropped, it is undone.
pub(crate) struct Work {
    pub(crate) tx: WriteTurn,
    pub(crate) now: i64,
    pub(crate) ledger: Ledger,
    /// The actor for the audit log.
    actor: Arc<str>,
}

impl Work {
    pub(crate) fn new(tx: WriteTurn, now: i64, actor: Arc<str>) -> Self {
        Self { tx, now, ledger: Ledger::default(), actor }
    }

    /// Registers a change to announce after the commit.
    pub(crate) fn changed(&mut self, change: Change) {
        self.ledger.changed(change);
    }

    /// Adds a row to the audit log for an action of this use case. It holds ids and words, never a secret.
    pub(crate) fn audit(&mut self, action: &str, subject: &str) {
        self.audit_outcome(action, subject, AuditEntry::OK);
    }

    /// Adds a row for an action that did not succeed. The outcome is a word.
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

    /// Commits. The changes have been announced when it returns.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.tx.finish(self.ledger).settled().await
    }

    /// Ends a use case that [joined](crate::Store::join) others: commits if it succeeded and undoes it otherwise.
    ///
    /// A refusal may rest on uncommitted rows of others, so it is returned only after their commit. If that commit
    /// fails, its error is returned instead, and the caller may try again.
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
