//! The right to ask the issuer: the queue of accounts that are due, and the lease on one of them.
//!
//! A lease is a mark in the row, written before the issuer is asked. Its holder asks once.

use super::refresh::lose;
use super::row::{Opened, authority, open_in, row_in};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::AccountId;
use crate::model::token::{
    DueRefresh, NoRefresh, RefreshDecision, RefreshLease, RefreshRequest, RefreshStart, RefreshState,
    RefreshWhy, StoredTokens, verdict,
};
use crate::names;
use crate::store::Store;
use crate::store::work::Work;

/// The time that the queue skips a row that cannot be read, in milliseconds.
const QUARANTINE: i64 = 15 * 60 * 1000;

impl Store {
    /// Returns the accounts that are due at `now`, the longest overdue first, at most `limit`. An account that is being
    /// refreshed is due again when its lease is over.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn due_refreshes(&self, now: i64, limit: u32) -> Result<Vec<DueRefresh>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            all,
            (String, String, Option<String>, Option<String>, i64),
            &mut tx,
            "SELECT due.account_id, provider, base_url, client_id, due.next_refresh_at
             FROM (SELECT account_id, next_refresh_at FROM account_tokens WHERE next_refresh_at <= $1
                   ORDER BY next_refresh_at, account_id LIMIT $2) AS due
             JOIN accounts ON accounts.id = due.account_id
             ORDER BY due.next_refresh_at, due.account_id",
            now,
            i64::from(limit),
        )?;
        let due = |(id, provider, base_url, client_id, at): (
            String,
            String,
            Option<String>,
            Option<String>,
            i64,
        )| {
            let authority = authority(&provider, base_url.as_deref(), client_id.as_deref());
            let Some((account, authority)) = id.parse().ok().zip(authority.ok()) else {
                // One bad row must not stop the scan. A request for that account by its id is an error.
                tracing::error!(id, "an account whose tokens are due was skipped: its row is corrupt");
                return None;
            };
            Some(DueRefresh { account, authority, at })
        };
        Ok(rows.into_iter().filter_map(due).collect())
    }

    /// Returns the time when the next account is due, in unix milliseconds; `None` if none is queued.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn next_refresh_at(&self) -> Result<Option<i64>, StoreError> {
        let mut tx = self.read().await?;
        let (at,) = sql!(
            one,
            (Option<i64>,),
            &mut tx,
            "SELECT min(next_refresh_at) FROM account_tokens WHERE next_refresh_at IS NOT NULL",
        )?;
        Ok(at)
    }

    /// Moves due accounts that the caller cannot refresh to `until` in the queue. It changes nothing that is announced.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn postpone_refreshes(
        &self,
        accounts: &[AccountId],
        until: i64,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut work = self.join(now).await?;
        for account in accounts {
            sql!(
                run,
                &mut work.tx,
                "UPDATE account_tokens SET next_refresh_at = $2 WHERE account_id = $1 AND next_refresh_at <= $3",
                account.as_str(),
                until,
                now,
            )?;
        }
        work.commit().await
    }

    /// Asks for the right to refresh an account's tokens. Of all callers at a time, in this process and in others, one
    /// receives it. The row then says `refreshing` before the issuer is asked.
    ///
    /// A lease that expired is an attempt that was interrupted. It is taken over once. If the second attempt is
    /// interrupted too, it is unknown whether the refresh token is used up, and only a new login helps.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if the holder or the lease is not valid; [`StoreError::NotFound`] if the set of
    /// tokens does not exist; [`StoreError::Corrupt`] if the row cannot be read; [`StoreError::Secret`] if the token
    /// in use cannot be opened; [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn begin_refresh(&self, request: RefreshRequest) -> Result<RefreshStart, StoreError> {
        let holder = names::name("holder", &request.holder)?;
        if request.lease <= 0 {
            return Err(StoreError::InvalidName { field: "lease", reason: "it is not positive" });
        }
        let (account, now) = (&request.account, request.now);
        // Most callers find that the tokens are good. They need no turn at the gate for that.
        if request.why != RefreshWhy::Due {
            let opened = open_in(&mut self.read().await?, self.keyring(), account).await?;
            if let RefreshDecision::No(answer) = verdict(&opened.stored, opened.flight, request.why, now) {
                return Ok(begun(answer, opened.stored));
            }
        }
        let mut work = self.join(now).await?;
        let done = self.ask(&mut work, &request, &holder).await;
        work.end(done).await?
    }

    /// Answers a request to refresh. A row whose secret cannot be opened is an error that is recorded.
    async fn ask(
        &self,
        work: &mut Work,
        request: &RefreshRequest,
        holder: &str,
    ) -> Result<Result<RefreshStart, StoreError>, StoreError> {
        let (account, now) = (&request.account, request.now);
        let row =
            row_in(&mut work.tx, account).await?.ok_or_else(|| StoreError::not_found("tokens", account))?;
        let Opened { stored, flight, .. } = match row.open(self.keyring()) {
            Ok(opened) => opened,
            Err(error) => {
                postpone(work, account, Some(now + QUARANTINE)).await?;
                return Ok(Err(error));
            }
        };
        Ok(Ok(match verdict(&stored, flight, request.why, now) {
            RefreshDecision::Take { cut_off } => {
                let until = now.saturating_add(request.lease);
                let fence = take(work, account, (holder, until), cut_off).await?;
                if cut_off {
                    work.audit("tokens.takeover", account.as_str());
                }
                let stored = Box::new(StoredTokens { state: RefreshState::Refreshing, ..stored });
                RefreshStart::Lease(RefreshLease { stored, fence, until })
            }
            RefreshDecision::Lost(reason) => {
                let tokens = Box::new(lose(work, stored, reason).await?);
                RefreshStart::Stuck { reason, tokens }
            }
            RefreshDecision::No(answer) => {
                // The queue must not return the account again before something can be done.
                let again = match answer {
                    NoRefresh::Fresh => stored.next_refresh_at,
                    NoRefresh::Busy(until) | NoRefresh::Waiting(until) => Some(until),
                    NoRefresh::Stuck(_) => None,
                };
                if again != stored.next_refresh_at && stored.next_refresh_at.is_some_and(|at| at <= now) {
                    postpone(work, account, again).await?;
                }
                begun(answer, stored)
            }
        }))
    }
}

/// Builds the answer for a caller who may not ask, or need not ask.
fn begun(answer: NoRefresh, stored: StoredTokens) -> RefreshStart {
    let tokens = Box::new(stored);
    match answer {
        NoRefresh::Fresh => RefreshStart::Fresh(tokens),
        NoRefresh::Busy(until) => RefreshStart::Busy { until, tokens },
        NoRefresh::Waiting(until) => RefreshStart::Waiting { until, tokens },
        NoRefresh::Stuck(reason) => RefreshStart::Stuck { reason, tokens },
    }
}

/// Marks a row as being refreshed, and returns the fence of the lease. The queue returns the account again when the
/// lease is over.
async fn take(
    work: &mut Work,
    account: &AccountId,
    (holder, until): (&str, i64),
    cut_off: bool,
) -> Result<i64, StoreError> {
    let (fence,) = sql!(
        one,
        (i64,),
        &mut work.tx,
        "UPDATE account_tokens SET state = $2, state_since = $3, lease_holder = $4, lease_until = $5,
             lease_fence = lease_fence + 1, cut_off = cut_off + $6, next_refresh_at = $5
         WHERE account_id = $1 RETURNING lease_fence",
        account.as_str(),
        RefreshState::Refreshing.as_str(),
        work.now,
        holder,
        until,
        i64::from(cut_off),
    )?;
    Ok(fence)
}

/// Moves a row within the queue, or out of it.
async fn postpone(work: &mut Work, account: &AccountId, until: Option<i64>) -> Result<(), StoreError> {
    sql!(
        run,
        &mut work.tx,
        "UPDATE account_tokens SET next_refresh_at = $2 WHERE account_id = $1",
        account.as_str(),
        until,
    )?;
    Ok(())
}
