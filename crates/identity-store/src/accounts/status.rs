//! The status of accounts, as reported by health checks.

use super::links;
use super::rows::account_in;
use crate::db::sql;
use crate::error::StoreError;
use crate::id::AccountId;
use crate::model::account::{Account, StatusReport};
use crate::model::changes::Change;
use crate::names;
use crate::store::Store;
use crate::store::work::Work;

impl Store {
    /// Records the result of a health check. It is announced if it differs from the stored status.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if the reason is not valid; [`StoreError::NotFound`] if the account does not
    /// exist; [`StoreError::Corrupt`] if the row cannot be read; [`StoreError::Busy`], [`StoreError::Full`] or
    /// another error of the database.
    pub async fn set_status(
        &self,
        id: &AccountId,
        report: StatusReport,
        now: i64,
    ) -> Result<Account, StoreError> {
        let mut work = self.join(now).await?;
        let done = match account_in(&mut work.tx, id).await {
            Ok(before) => write_report(&mut work, before, &report).await,
            Err(error) => Err(error),
        };
        work.end(done).await.map(|account| self.located(account))
    }

    /// Records the result only if the account still equals `seen`, its state when the check began. Returns `None` if
    /// the account was written in the meantime, for example by a login or a refresh, whose data is newer.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if the reason is not valid; [`StoreError::NotFound`] if the account does not
    /// exist; [`StoreError::Corrupt`] if the row cannot be read; [`StoreError::Busy`], [`StoreError::Full`] or
    /// another error of the database.
    pub async fn confirm_status(
        &self,
        seen: &Account,
        report: StatusReport,
        now: i64,
    ) -> Result<Option<Account>, StoreError> {
        let mut work = self.join(now).await?;
        let done = match account_in(&mut work.tx, &seen.id).await {
            Ok(before) if self.located(before.clone()) == *seen => {
                write_report(&mut work, before, &report).await.map(Some)
            }
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        Ok(work.end(done).await?.map(|account| self.located(account)))
    }
}

/// Writes a report about an account, and registers the changes to announce.
async fn write_report(
    work: &mut Work,
    before: Account,
    report: &StatusReport,
) -> Result<Account, StoreError> {
    let id = before.id.clone();
    let reason = names::optional("status_reason", report.reason.as_deref())?;
    sql!(
        run,
        &mut work.tx,
        "UPDATE accounts SET status = $2, status_reason = $3, evidence = $4, checked_at = $5, expires_at = $6,
             login_deadline_at = $7, updated_at = $8 WHERE id = $1",
        id.as_str(),
        report.status.as_str(),
        reason.as_deref(),
        report.evidence.as_str(),
        report.checked_at,
        report.expires_at,
        report.login_deadline_at,
        work.now,
    )?;
    let after = Account {
        status: report.status,
        status_reason: reason,
        evidence: report.evidence,
        checked_at: report.checked_at,
        expires_at: report.expires_at,
        login_deadline_at: report.login_deadline_at,
        updated_at: work.now,
        ..before.clone()
    };
    if before.status != after.status {
        work.audit("account.status", id.as_str());
        links::announce(work, &id, true).await?;
    }
    // A check that only confirms the known status must not wake every client.
    let unchanged = Account { checked_at: after.checked_at, updated_at: after.updated_at, ..before };
    if unchanged != after {
        work.changed(Change::Account(id.clone()));
    }
    Ok(after)
}
