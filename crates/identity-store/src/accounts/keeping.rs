//! The renewals of CLI logins, as reported by the daemon.

use super::rows::account_in;
use crate::authentic::{ACCOUNTS, fields_in};
use crate::db::{row, sql};
use crate::error::StoreError;
use crate::id::AccountId;
use crate::model::account::Account;
use crate::model::changes::Change;
use crate::model::keeping::{DeadlineNotice, Keeping, RefusedLogin};
use crate::names;
use crate::store::Store;
use crate::store::work::Work;

row! {
    /// The columns about the renewals of a login.
    pub(super) struct KeepingRow {
        keep_alive: Option<String>,
        kept_at: Option<i64>,
        keep_tried_at: Option<i64>,
        keep_outcome: Option<String>,
        keep_detail: Option<String>,
        keep_next_at: Option<i64>,
        keep_failures: Option<i64>,
        keep_version: Option<String>,
        refused_mark: Option<String>,
        refused_at: Option<i64>,
        deadline_notice: Option<String>,
    }
}

impl From<KeepingRow> for Keeping {
    fn from(row: KeepingRow) -> Self {
        Self {
            switch: row.keep_alive.map(|word| word == "on"),
            kept_at: row.kept_at,
            tried_at: row.keep_tried_at,
            outcome: row.keep_outcome,
            detail: row.keep_detail,
            next_at: row.keep_next_at,
            failures: row.keep_failures.and_then(|count| count.try_into().ok()).unwrap_or_default(),
            version: row.keep_version,
            refused: row.refused_mark.zip(row.refused_at).map(|(mark, at)| RefusedLogin { mark, at }),
            notice: row.deadline_notice.as_deref().and_then(DeadlineNotice::parse),
        }
    }
}

impl Store {
    /// Switches the renewals of an account's login on or off. `None` restores the rule of the configuration.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the account does not exist; [`StoreError::Corrupt`] if the row cannot be read;
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn switch_keep_alive(
        &self,
        id: &AccountId,
        on: Option<bool>,
        now: i64,
    ) -> Result<Account, StoreError> {
        let switch = on.map(|on| if on { "on" } else { "off" });
        let mut work = self.write(now).await?;
        let fields = fields_in(&mut work.tx, ACCOUNTS, [id.as_str(), ""]).await?;
        sql!(
            run,
            &mut work.tx,
            "UPDATE accounts SET keep_alive = $2, updated_at = $3 WHERE id = $1",
            id.as_str(),
            switch,
            now,
        )?;
        fields.with("keep_alive", switch).sign(&mut work.tx, [id.as_str(), ""]).await?;
        let account = account_in(&mut work.tx, id).await?;
        work.audit("account.keepalive", &format!("{id} {}", switch.unwrap_or("default")));
        work.changed(Change::Account(id.clone()));
        work.commit().await?;
        Ok(self.located(account))
    }

    /// Records the state of the renewals of an account's login, except the switch. It is announced if it differs from the
    /// stored one in more than the time of the next attempt.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if a text is not valid; [`StoreError::NotFound`] if the account does not exist;
    /// [`StoreError::Corrupt`] if the row cannot be read; [`StoreError::Busy`], [`StoreError::Full`] or another error
    /// of the database.
    pub async fn record_keeping(&self, id: &AccountId, keeping: Keeping, now: i64) -> Result<(), StoreError> {
        let mut work = self.join(now).await?;
        let done = match account_in(&mut work.tx, id).await {
            Ok(before) => write_keeping(&mut work, &before, keeping).await,
            Err(error) => Err(error),
        };
        work.end(done).await
    }
}

impl Store {
    /// Stores the figures about the limits of an account's login. No one is told; the caller announces what is new.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn record_quota(&self, id: &AccountId, figures: &str, now: i64) -> Result<(), StoreError> {
        let mut work = self.join(now).await?;
        let done =
            sql!(run, &mut work.tx, "UPDATE accounts SET quota = $2 WHERE id = $1", id.as_str(), figures);
        work.end(done.map(|_| ())).await
    }

    /// Returns the stored figures of all accounts that have some.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn quotas(&self) -> Result<Vec<(AccountId, String)>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            all,
            (String, String),
            &mut tx,
            "SELECT id, quota FROM accounts WHERE quota IS NOT NULL ORDER BY id"
        )?;
        Ok(rows.into_iter().filter_map(|(id, figures)| Some((id.parse().ok()?, figures))).collect())
    }
}

async fn write_keeping(work: &mut Work, before: &Account, keeping: Keeping) -> Result<(), StoreError> {
    let keeping = Keeping { switch: before.keeping.switch, ..keeping };
    if keeping == before.keeping {
        return Ok(());
    }
    let detail = names::optional("keep_detail", keeping.detail.as_deref())?;
    let notice = keeping.notice.map(DeadlineNotice::text);
    sql!(
        run,
        &mut work.tx,
        "UPDATE accounts SET kept_at = $2, keep_tried_at = $3, keep_outcome = $4, keep_detail = $5, keep_next_at = $6,
             keep_failures = $7, keep_version = $8, refused_mark = $9, refused_at = $10, deadline_notice = $11
             WHERE id = $1",
        before.id.as_str(),
        keeping.kept_at,
        keeping.tried_at,
        keeping.outcome.as_deref(),
        detail.as_deref(),
        keeping.next_at,
        i64::from(keeping.failures),
        keeping.version.as_deref(),
        keeping.refused.as_ref().map(|refused| refused.mark.as_str()),
        keeping.refused.as_ref().map(|refused| refused.at),
        notice.as_deref(),
    )?;
    if (Keeping { next_at: keeping.next_at, ..before.keeping.clone() }) != keeping {
        work.changed(Change::Account(before.id.clone()));
    }
    Ok(())
}
