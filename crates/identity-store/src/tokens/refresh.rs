//! The handling of the issuer's answer to a refresh.
//!
//! An answer is kept if the row still has the generation that was asked for, even if the lease has expired, because
//! losing new tokens would be worse. A failure counts only while its lease is still current.

use super::row::{TokenRow, fingerprint, row_in};
use super::set::{Plan, next_refresh, write_set, write_status};
use crate::accounts::links;
use crate::back_off;
use crate::db::sql;
use crate::error::StoreError;
use crate::id::AccountId;
use crate::model::account::{Evidence, Status};
use crate::model::token::{
    CompletedRefresh, FailedRefresh, Jitter, LEAD, RefreshFailure, RefreshLease, RefreshReason,
    RefreshResponse, RefreshState, StoredTokens,
};
use crate::store::Store;
use crate::store::work::Work;

impl Store {
    /// Saves an issuer's answer: the whole set in one transaction, if the row still has the generation that was asked
    /// for. It may be called again after an error that does not concern the answer itself.
    ///
    /// # Errors
    /// `IdentityMismatch` if the answer belongs to another person. Then no token is written, and only a new login
    /// helps.
    pub async fn complete_refresh(
        &self,
        refreshed: &RefreshResponse,
        jitter: Jitter,
        now: i64,
    ) -> Result<CompletedRefresh, StoreError> {
        refreshed.received.check()?;
        let mut work = self.join(now).await?;
        let done = self.complete(&mut work, refreshed, jitter).await;
        work.end(done).await?
    }

    /// Saves an answer. An answer that belongs to another person is an error that is recorded.
    async fn complete(
        &self,
        work: &mut Work,
        refreshed: &RefreshResponse,
        jitter: Jitter,
    ) -> Result<Result<CompletedRefresh, StoreError>, StoreError> {
        let (lease, now) = (&refreshed.lease, work.now);
        let account = &lease.stored.account;
        let Some(row) = live_row(work, account).await? else { return Ok(Ok(CompletedRefresh::Gone)) };
        let (own, recovered) = (row.lease_fence == lease.fence, row.cut_off > 0);
        let stored = row.open(self.keyring())?.stored;
        if stored.generation != lease.stored.generation {
            return Ok(Ok(CompletedRefresh::Adopted(Box::new(stored))));
        }
        let found = refreshed.identity.as_ref();
        if let Some((expected, found)) = found.and_then(|found| stored.identity.stranger(found)) {
            if own {
                lose(work, stored, RefreshReason::IdentityMismatch).await?;
            }
            return Ok(Err(StoreError::IdentityMismatch { expected, found, account: account.clone() }));
        }
        let troubled = recovered || stored.failures > 0 || stored.state == RefreshState::NeedsReauth;
        let (generation, stored) = merged(stored, refreshed, jitter, now);
        let place = (account, generation);
        let plan = plan(&stored);
        write_set(work, self.keyring(), place, (&stored.tokens, &stored.endpoint), &plan).await?;
        let status = (Status::Valid, None, Evidence::Live);
        let moved = write_status(work, account, status, &stored.tokens).await?;
        work.audit("tokens.refresh", account.as_str());
        // The operator's list shows the expiry of each token. Only the operator's tokens have the address of a forge.
        let listed = stored.authority.base_url.is_some();
        links::announce(work, account, moved || troubled || listed).await?;
        Ok(Ok(CompletedRefresh::Committed(Box::new(stored))))
    }

    /// Records that the issuer returned no tokens. A transient failure changes only the time of the next attempt. After
    /// a permanent failure this refresh token is never used again.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the row cannot be read; [`StoreError::Secret`] if the token in use cannot be
    /// opened; [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn fail_refresh(
        &self,
        lease: &RefreshLease,
        failure: RefreshFailure,
        now: i64,
    ) -> Result<FailedRefresh, StoreError> {
        let mut work = self.join(now).await?;
        let done = self.fail(&mut work, lease, failure).await;
        work.end(done).await
    }

    async fn fail(
        &self,
        work: &mut Work,
        lease: &RefreshLease,
        failure: RefreshFailure,
    ) -> Result<FailedRefresh, StoreError> {
        let (account, now) = (&lease.stored.account, work.now);
        let Some(row) = live_row(work, account).await? else { return Ok(FailedRefresh::Gone) };
        let (own, recovered) = (row.lease_fence == lease.fence, row.cut_off > 0);
        let stored = row.open(self.keyring())?.stored;
        if stored.generation != lease.stored.generation {
            return Ok(FailedRefresh::Adopted(Box::new(stored)));
        }
        if !own || stored.state != RefreshState::Refreshing {
            return Ok(FailedRefresh::Superseded);
        }
        Ok(match failure {
            RefreshFailure::Transient { reason, retry_after, jitter } => {
                let wait = back_off(stored.failures.saturating_add(1), retry_after, jitter);
                let at = now.saturating_add(wait);
                FailedRefresh::RetryAt { at, tokens: Box::new(wait_until(work, stored, reason, at).await?) }
            }
            RefreshFailure::Permanent { reason } => {
                let reason = if recovered { RefreshReason::CrashedRotation } else { reason };
                let tokens = Box::new(lose(work, stored, reason).await?);
                FailedRefresh::NeedsReauth { reason, tokens }
            }
        })
    }

    /// Records that the provider's service refuses the tokens of this generation although they were just refreshed, so
    /// that only a new login helps. Returns `false` if the set was already replaced.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the set of tokens does not exist; [`StoreError::Corrupt`] if the row cannot be
    /// read; [`StoreError::Secret`] if the token in use cannot be opened; [`StoreError::Busy`], [`StoreError::Full`]
    /// or another error of the database.
    pub async fn refuse_tokens(
        &self,
        account: &AccountId,
        generation: u64,
        now: i64,
    ) -> Result<bool, StoreError> {
        let mut work = self.write(now).await?;
        let row = live_row(&mut work, account).await?;
        let row = row.ok_or_else(|| StoreError::not_found("tokens", account))?;
        let stored = row.open(self.keyring())?.stored;
        if stored.generation != generation || stored.state == RefreshState::NeedsReauth {
            return Ok(false);
        }
        lose(&mut work, stored, RefreshReason::Refused).await?;
        work.commit().await?;
        Ok(true)
    }

    /// Gives up an account's grant for good: its tokens are never used or refreshed again, and a pending answer is not
    /// kept. Only a new login makes the account usable again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the set of tokens does not exist; [`StoreError::Busy`], [`StoreError::Full`] or
    /// another error of the database.
    pub async fn give_up_tokens(&self, account: &AccountId, now: i64) -> Result<(), StoreError> {
        let mut work = self.write(now).await?;
        let done = sql!(
            run,
            &mut work.tx,
            "UPDATE account_tokens SET state = $2, state_since = $3, state_reason = $4, lease_holder = NULL,
                 lease_until = NULL, next_attempt_at = NULL, next_refresh_at = NULL WHERE account_id = $1",
            account.as_str(),
            RefreshState::Revoked.as_str(),
            now,
            RefreshReason::GivenUp.as_str(),
        )?;
        if done == 0 {
            return Err(StoreError::not_found("tokens", account));
        }
        set_status(&mut work, account, Status::NeedsReauth, RefreshReason::GivenUp).await?;
        work.audit("tokens.give_up", account.as_str());
        links::announce(&mut work, account, true).await?;
        work.commit().await
    }
}

/// Returns the row of an account's tokens, unless its grant was given up.
async fn live_row(work: &mut Work, account: &AccountId) -> Result<Option<TokenRow>, StoreError> {
    let row = row_in(&mut work.tx, account).await?;
    Ok(row.filter(|row| row.state != RefreshState::Revoked.as_str()))
}

/// Records that only a new login helps, and the fingerprint of the refresh token.
pub(crate) async fn lose(
    work: &mut Work,
    stored: StoredTokens,
    reason: RefreshReason,
) -> Result<StoredTokens, StoreError> {
    let account = &stored.account;
    sql!(
        run,
        &mut work.tx,
        "UPDATE account_tokens SET state = $2, state_since = $3, state_reason = $4, lease_holder = NULL,
             lease_until = NULL, failures = failures + 1, next_attempt_at = NULL, next_refresh_at = NULL,
             dead_refresh = COALESCE($5, dead_refresh) WHERE account_id = $1",
        account.as_str(),
        RefreshState::NeedsReauth.as_str(),
        work.now,
        reason.as_str(),
        stored.tokens.refresh.as_ref().map(|token| fingerprint(&token.secret)),
    )?;
    set_status(work, account, Status::NeedsReauth, reason).await?;
    work.audit("tokens.needs_reauth", &format!("{account} {reason}"));
    links::announce(work, account, true).await?;
    Ok(StoredTokens {
        state: RefreshState::NeedsReauth,
        state_since: work.now,
        reason: Some(reason),
        failures: stored.failures.saturating_add(1),
        next_attempt_at: None,
        next_refresh_at: None,
        ..stored
    })
}

/// Records a transient failure.
async fn wait_until(
    work: &mut Work,
    stored: StoredTokens,
    reason: RefreshReason,
    at: i64,
) -> Result<StoredTokens, StoreError> {
    let account = &stored.account;
    let failures = stored.failures.saturating_add(1);
    sql!(
        run,
        &mut work.tx,
        "UPDATE account_tokens SET state = $2, state_since = $3, state_reason = $4, lease_holder = NULL,
             lease_until = NULL, failures = $5, next_attempt_at = $6, next_refresh_at = $6 WHERE account_id = $1",
        account.as_str(),
        RefreshState::Active.as_str(),
        work.now,
        reason.as_str(),
        i64::from(failures),
        at,
    )?;
    let over = stored.tokens.expiry().is_over(work.now, 0);
    if over {
        set_status(work, account, Status::Expired, reason).await?;
    }
    work.audit("tokens.refresh_failed", &format!("{account} {reason}"));
    // The first failure is announced, and so is a change of the reason. Further attempts are not.
    if stored.failures == 0 || stored.reason != Some(reason) {
        links::announce(work, account, true).await?;
    }
    Ok(StoredTokens {
        state: RefreshState::Active,
        state_since: work.now,
        reason: Some(reason),
        failures,
        next_attempt_at: Some(at),
        next_refresh_at: Some(at),
        ..stored
    })
}

/// Updates only an account's status.
async fn set_status(
    work: &mut Work,
    account: &AccountId,
    status: Status,
    reason: RefreshReason,
) -> Result<(), StoreError> {
    sql!(
        run,
        &mut work.tx,
        "UPDATE accounts SET status = $2, status_reason = $3, evidence = $4, checked_at = $5, updated_at = $5
         WHERE id = $1",
        account.as_str(),
        status.as_str(),
        reason.as_str(),
        Evidence::Live.as_str(),
        work.now,
    )?;
    Ok(())
}

/// Returns the set after an answer, and its generation.
fn merged(
    stored: StoredTokens,
    refreshed: &RefreshResponse,
    jitter: Jitter,
    now: i64,
) -> (i64, StoredTokens) {
    let before = stored.tokens.expiry().at();
    let tokens = stored.tokens.refreshed(refreshed.received.clone());
    let after = tokens.expiry().at();
    // Without a delay, an issuer that does not renew the token in use would be asked again at once, without end.
    let stalled = before.zip(after).is_some_and(|(before, after)| after <= before)
        && tokens.expiry().is_over(now, LEAD);
    let failures = if stalled { stored.failures.saturating_add(1) } else { 0 };
    let wait = stalled.then(|| now.saturating_add(back_off(failures, None, jitter)));
    let generation = stored.generation.saturating_add(1);
    let next_refresh_at = wait.or_else(|| next_refresh(&tokens, jitter));
    let stored = StoredTokens {
        tokens,
        generation,
        state: RefreshState::Active,
        state_since: now,
        reason: stalled.then_some(RefreshReason::NoProgress),
        failures,
        next_attempt_at: wait,
        next_refresh_at,
        last_refreshed_at: Some(now),
        ..stored
    };
    (i64::try_from(generation).unwrap_or(i64::MAX), stored)
}

fn plan(stored: &StoredTokens) -> Plan {
    Plan {
        state: stored.state,
        reason: stored.reason,
        failures: stored.failures,
        next_attempt_at: stored.next_attempt_at,
        next_refresh_at: stored.next_refresh_at,
        last_refreshed_at: stored.last_refreshed_at,
    }
}
