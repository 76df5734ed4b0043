//! The audit log: recording events from outside the store, reading, checking the chain and removing old rows.

use crate::db::{Tx, sql};
use crate::error::StoreError;
use crate::model::audit::{AuditCheck, AuditEntry, AuditFault, AuditFilter, AuditQuery, AuditRow};
use crate::store::chain::{End, Link};
use crate::store::{Store, chain};

const ALTERED: &str =
    "it does not follow from the row before it: it was changed, or a row was removed or inserted";

impl Store {
    /// Writes a row of the audit log for an event outside the store.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.audit_all(&[entry]).await
    }

    /// Writes several rows of the audit log in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn audit_all(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let Some(newest) = entries.iter().map(|entry| entry.at).max() else { return Ok(()) };
        let mut work = self.join(newest).await?;
        for entry in entries {
            work.ledger.record(entry.clone());
        }
        work.commit().await
    }

    /// Returns the newest rows of the audit log, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn audit_log(&self, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = self.audit_rows(AuditFilter { since: i64::MIN, limit }).await?;
        Ok(rows.into_iter().rev().map(|row| row.entry).collect())
    }

    /// Returns the newest rows that match the filter, in the order in which they were written.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn audit_rows(&self, filter: AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            all,
            chain::LogRow,
            &mut tx,
            "SELECT seq, at, actor, action, subject, outcome, detail, hash FROM audit_log WHERE at >= $1
             ORDER BY seq DESC LIMIT $2",
            filter.since,
            i64::from(filter.limit),
        )?;
        Ok(rows.into_iter().rev().map(|row| AuditRow { seq: row.0, entry: chain::entry(row).0 }).collect())
    }

    /// Returns a page of the log, newest rows first.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn audit_page(&self, query: AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            all,
            chain::LogRow,
            &mut tx,
            "SELECT seq, at, actor, action, subject, outcome, detail, hash FROM audit_log
             WHERE seq < $1 AND at >= $2 AND ($3 IS NULL OR actor = $3)
               AND ($4 IS NULL OR substr(action, 1, length($4)) = $4)
               AND ($5 IS NULL OR replace(subject, $5, '') <> subject) AND ($6 IS NULL OR outcome = $6)
             ORDER BY seq DESC LIMIT $7",
            query.before.unwrap_or(i64::MAX),
            query.since.unwrap_or(i64::MIN),
            query.actor.as_deref(),
            query.action.as_deref(),
            query.subject.as_deref().filter(|part| !part.is_empty()),
            query.outcome.as_deref(),
            i64::from(query.limit),
        )?;
        Ok(rows.into_iter().map(|row| AuditRow { seq: row.0, entry: chain::entry(row).0 }).collect())
    }

    /// Checks the chain of the audit log from the first kept row to the last.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the chain's row cannot be read; [`StoreError::Busy`], [`StoreError::Unavailable`]
    /// or another error of the database.
    pub async fn check_audit(&self) -> Result<AuditCheck, StoreError> {
        let mut tx = self.snapshot().await?;
        let check = self.follow(&mut tx).await?;
        tx.commit().await?;
        Ok(check)
    }

    /// Removes the oldest rows if there are more than `keep` plus a tenth, so that `keep` rows remain, and signs the
    /// new beginning of the chain. Returns the number of removed rows. A fault in them is recorded in the log as a row.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the chain's row cannot be read; [`StoreError::Busy`], [`StoreError::Full`] or
    /// another error of the database.
    pub async fn prune_audit(&self, keep: u32, now: i64) -> Result<u64, StoreError> {
        let mut tx = self.read().await?;
        let (held,) = sql!(one, (i64,), &mut tx, "SELECT count(*) FROM audit_log")?;
        drop(tx);
        if held <= i64::from(keep) + i64::from(keep / 10) {
            return Ok(0);
        }
        let mut work = self.write(now).await?;
        let (start, signed) = chain::end(&mut work.tx, self.chain(), End::Start).await?;
        let (end, _) = chain::end(&mut work.tx, self.chain(), End::Head).await?;
        let (last, mut link, fitting) = self.walk(&mut work.tx, start, held - i64::from(keep)).await?;
        // Where rows are missing, a count from the old start would report them as missing for ever.
        link.count = end.count - i64::from(keep);
        if !(signed && fitting) {
            let broken = AuditEntry {
                at: now,
                actor: chain::STORE.into(),
                action: chain::BROKEN.into(),
                subject: String::new(),
                outcome: AuditEntry::OK.into(),
                detail: Some(format!("among the rows up to {last}, which were removed")),
            };
            work.ledger.record(broken);
        }
        let gone = sql!(run, &mut work.tx, "DELETE FROM audit_log WHERE seq <= $1", last)?;
        chain::sign(&mut work.tx, self.chain(), End::Start, &link).await?;
        work.audit("audit.prune", &format!("{gone} rows to {last}"));
        work.commit().await?;
        Ok(gone)
    }

    /// Checks the oldest `rows` rows. Returns the number of the last of them, the place after it, and whether all
    /// match.
    async fn walk(&self, tx: &mut Tx, start: Link, rows: i64) -> Result<(i64, Link, bool), StoreError> {
        let (mut last, mut link, mut fitting) = (i64::MIN, start, true);
        let mut left = usize::try_from(rows).unwrap_or_default();
        while left > 0 {
            let page = chain::page(tx, last).await?;
            if page.is_empty() {
                break;
            }
            for row in page.into_iter().take(left) {
                last = row.0;
                left -= 1;
                let (entry, hash) = chain::entry(row);
                link = self.chain().after(&link, &entry);
                if hash.as_ref() != Some(&link.hash) {
                    fitting = false;
                    // The next row was chained to the stored hash, even if that hash is wrong.
                    link.hash = hash.unwrap_or_default();
                }
            }
        }
        Ok((last, link, fitting))
    }

    async fn follow(&self, tx: &mut Tx) -> Result<AuditCheck, StoreError> {
        let mut check = AuditCheck::default();
        let fault = |seq, reason| Some(AuditFault { seq, reason });
        let (start, signed) = chain::end(tx, self.chain(), End::Start).await?;
        let (head, head_signed) = chain::end(tx, self.chain(), End::Head).await?;
        check.let_go = start.count.unsigned_abs();
        if !signed {
            check.fault = fault(None, "the beginning of the log has no valid signature");
            return Ok(check);
        }
        let mut link = start;
        let mut after = i64::MIN;
        loop {
            let rows = chain::page(tx, after).await?;
            let Some((last, ..)) = rows.last() else { break };
            after = *last;
            for row in rows {
                let seq = row.0;
                let (entry, hash) = chain::entry(row);
                link = self.chain().after(&link, &entry);
                if hash.as_ref() != Some(&link.hash) {
                    check.fault = fault(Some(seq), ALTERED);
                    return Ok(check);
                }
                check.rows += 1;
                if entry.action == chain::BEGIN || entry.action == chain::BROKEN {
                    check.marks.push(AuditRow { seq, entry });
                }
            }
        }
        if !head_signed {
            check.fault = fault(None, "the end of the log has no valid signature");
        } else if link != head {
            check.fault = fault(None, "the newest rows are missing");
        }
        Ok(check)
    }
}
