//! The rows of the audit log and the changes to announce, collected in memory until the commit.

use super::chain;
use super::chain::{ChainKey, End, Link};
use crate::db::Tx;
use crate::error::StoreError;
use crate::model::audit::AuditEntry;
use crate::model::changes::{Change, Changes};

/// Rows of the audit log and changes, in order.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<AuditEntry>,
    changes: Changes,
}

impl Ledger {
    /// Adds a row of the audit log.
    pub(crate) fn record(&mut self, mut entry: AuditEntry) {
        // PostgreSQL cannot store a zero byte. A row with one would be refused on every attempt.
        let AuditEntry { at: _, actor, action, subject, outcome, detail } = &mut entry;
        for text in [actor, action, subject, outcome].into_iter().chain(detail) {
            if text.contains('\0') {
                *text = text.replace('\0', "\u{fffd}");
            }
        }
        self.entries.push(entry);
    }

    /// Adds a change.
    pub(crate) fn changed(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Appends the rows and changes of another use case of the same transaction.
    pub(crate) fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.changes.extend(other.changes);
    }

    /// Returns the changes so far.
    pub(crate) fn changes(&self) -> &[Change] {
        self.changes.as_slice()
    }

    /// Writes the rows of the audit log and signs the last of them.
    pub(crate) async fn write(&self, tx: &mut Tx, key: &ChainKey) -> Result<(), StoreError> {
        let Some(first) = self.entries.first() else { return Ok(()) };
        let mut head = signed_head(tx, key, first).await?;
        for entry in &self.entries {
            head = chain::append(tx, key, head, entry).await?;
        }
        chain::sign(tx, key, End::Head, &head).await
    }
}

/// Returns the place for the next row. Signing a new row must not hide a manipulated end of the log, so a row that
/// reports it is written first.
async fn signed_head(tx: &mut Tx, key: &ChainKey, next: &AuditEntry) -> Result<Link, StoreError> {
    let (head, signed) = chain::end(tx, key, End::Head).await?;
    if signed {
        return Ok(head);
    }
    let broken = AuditEntry {
        at: next.at,
        actor: chain::STORE.into(),
        action: chain::BROKEN.into(),
        subject: String::new(),
        outcome: AuditEntry::OK.into(),
        detail: Some(format!("the end had no valid signature; it claimed {} rows", head.count)),
    };
    chain::append(tx, key, head, &broken).await
}
