//! The rows that a transaction writes besides its own: rows of the audit log, and events.
//!
//! They are collected in memory and written in bulk just before the commit. So an additional row costs little, however
//! many a use case has.

use super::chain::{self, ChainKey, End, Link};
use crate::changes::Changes;
use crate::db::{BULK, NO_ROWS, Tx, bulk, rows, sql};
use crate::{AuditEntry, Change, StoreError};

/// The number of rows that the `events` table keeps. Older ones are deleted.
const EVENTS_KEPT: i64 = 10_000;

/// The number of events after which old ones are deleted.
const PRUNE_EVERY: i64 = 256;

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

    /// Writes all rows and changes. `now` is the time of the events.
    pub(crate) async fn write(&self, tx: &mut Tx, key: &ChainKey, now: i64) -> Result<(), StoreError> {
        let mut head = match self.entries.first() {
            Some(first) => Some(signed_head(tx, key, first).await?),
            None => None,
        };
        let (mut entries, mut changes) = (self.entries.chunks(BULK), self.changes().chunks(BULK));
        loop {
            let (entries, changes) = (entries.next(), changes.next());
            if entries.is_none() && changes.is_none() {
                return Ok(());
            }
            let linked = match entries.zip(head.as_mut()) {
                Some((entries, place)) => chain::linked(key, place, entries)?,
                None => NO_ROWS.to_owned(),
            };
            let end = head.as_ref().filter(|_| entries.is_some());
            let signed = end.map(|end| (end, key.proof(End::Head, end)));
            write_page(tx, (linked, signed), changes.unwrap_or_default(), now).await?;
        }
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
        detail: Some(format!("the end was not signed; it claimed {} rows", head.count)),
    };
    chain::append(tx, key, head, broken).await
}

/// Writes rows of the audit log and signs the last of them, and writes changes into the `events` table, which numbers
/// them for readers in other processes.
async fn write_page(
    tx: &mut Tx,
    (linked, signed): (String, Option<(&Link, Vec<u8>)>),
    changes: &[Change],
    now: i64,
) -> Result<(), StoreError> {
    let texts: Result<Vec<_>, _> = changes.iter().map(|change| Ok([change.to_json()?])).collect();
    let texts = texts.map_err(|error: serde_json::Error| StoreError::Database(error.into()))?;
    macro_rules! insert {
        ($end:literal) => {
            bulk!(
                tx,
                first (chain::insert_linked!(), bytes "value ->> 6", ""),
                then chain::sign_head!(),
                last ("INSERT INTO events (at, change) SELECT $3, value ->> 0", $end)
            )
        };
    }
    // A returned row costs about as much as a written one, and the last number is sufficient.
    let text = match tx {
        Tx::Sqlite(_) => insert!("; SELECT max(seq) FROM events"),
        Tx::Postgres(_) => insert!("RETURNING seq"),
    };
    let written = i64::try_from(changes.len()).unwrap_or(i64::MAX);
    let (end, proof) = signed.unzip();
    let (count, hash) = (end.map(|end| end.count), end.map(|end| end.hash.as_slice()));
    let numbers = sql!(all, (Option<i64>,), &mut *tx, text, rows(&texts)?, linked, now, count, hash, proof)?;
    if let Some(last) = numbers.into_iter().filter_map(|(number,)| number).max()
        && (last - written) / PRUNE_EVERY != last / PRUNE_EVERY
    {
        sql!(run, tx, "DELETE FROM events WHERE seq <= $1", last - EVENTS_KEPT)?;
    }
    Ok(())
}
