//! Sets of tokens. Each account has one row, which is sealed and written as a whole.

use super::row::{cell, open_in};
use crate::accounts::links;
use crate::authentic::{Fields, TOKENS};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::AccountId;
use crate::model::account::{Evidence, Status};
use crate::model::token::{
    Endpoint, Expiry, Jitter, RefreshReason, RefreshState, StoredTokens, Token, TokenSet, refresh_at,
};
use crate::secret;
use crate::secret::Keyring;
use crate::store::Store;
use crate::store::work::Work;

/// The columns that are written together with the tokens.
pub(crate) struct Plan {
    pub(crate) state: RefreshState,
    pub(crate) reason: Option<RefreshReason>,
    pub(crate) failures: u32,
    pub(crate) next_attempt_at: Option<i64>,
    pub(crate) next_refresh_at: Option<i64>,
    pub(crate) last_refreshed_at: Option<i64>,
}

impl Store {
    /// Returns the tokens of an account, opened. An invalid expiry is first repaired in the row.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the set of tokens does not exist; [`StoreError::Corrupt`] if the row cannot be
    /// read; [`StoreError::Secret`] if the token in use cannot be opened; [`StoreError::Busy`], [`StoreError::Full`]
    /// or another error of the database.
    pub async fn tokens(&self, account: &AccountId, now: i64) -> Result<StoredTokens, StoreError> {
        let opened = open_in(&mut self.read().await?, self.keyring(), account).await?;
        if opened.repaired { self.repair_tokens(account, now).await } else { Ok(opened.stored) }
    }

    /// Repairs every invalid expiry, so that the queue misses none. Returns the number of repaired accounts.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn repair_expiries(&self, now: i64) -> Result<u64, StoreError> {
        let mut tx = self.read().await?;
        let bad = sql!(
            all,
            (String,),
            &mut tx,
            "SELECT account_id FROM account_tokens
             WHERE access_expiry_source NOT IN ('issuer', 'jwt', 'assumed', 'none')
                OR refresh_expiry_source NOT IN ('issuer', 'jwt', 'assumed', 'none')
                OR id_expiry_source NOT IN ('issuer', 'jwt', 'assumed', 'none')
                OR (access_expires_at IS NULL) <> (access_expiry_source = 'none')
                OR (refresh_expires_at IS NULL) <> (refresh_expiry_source = 'none')
                OR (id_expires_at IS NULL) <> (id_expiry_source = 'none')
                OR access_expires_at NOT BETWEEN 1 AND 253402300799999
                OR refresh_expires_at NOT BETWEEN 1 AND 253402300799999
                OR id_expires_at NOT BETWEEN 1 AND 253402300799999",
        )?;
        drop(tx);
        let mut repaired = 0;
        for account in bad.into_iter().filter_map(|(id,)| id.parse().ok()) {
            match self.repair_tokens(&account, now).await {
                Ok(_) => repaired += 1,
                Err(error @ (StoreError::Secret(_) | StoreError::Corrupt { .. })) => {
                    tracing::error!(%account, %error, "an expiry could not be repaired");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(repaired)
    }

    /// Rewrites the expiries of one account with the values that are read.
    async fn repair_tokens(&self, account: &AccountId, now: i64) -> Result<StoredTokens, StoreError> {
        let mut work = self.write(now).await?;
        let mut opened = open_in(&mut work.tx, self.keyring(), account).await?;
        if !opened.repaired {
            return Ok(opened.stored);
        }
        let stored = &mut opened.stored;
        if stored.is_refreshable() && stored.state == RefreshState::Active && stored.next_attempt_at.is_none()
        {
            stored.next_refresh_at = next_refresh(&stored.tokens, Jitter::NONE);
        }
        let expiry = |token: Option<&Token>| token.map_or(Expiry::NEVER, |token| token.expiry);
        let [access, refresh, id] = [
            stored.tokens.access.expiry,
            expiry(stored.tokens.refresh.as_ref()),
            expiry(stored.tokens.id.as_ref()),
        ];
        sql!(
            run,
            &mut work.tx,
            "UPDATE account_tokens SET access_expires_at = $2, access_expiry_source = $3, refresh_expires_at = $4,
                 refresh_expiry_source = $5, id_expires_at = $6, id_expiry_source = $7, next_refresh_at = $8
             WHERE account_id = $1",
            account.as_str(),
            access.at(),
            access.source().as_str(),
            refresh.at(),
            refresh.source().as_str(),
            id.at(),
            id.source().as_str(),
            stored.next_refresh_at,
        )?;
        sql!(
            run,
            &mut work.tx,
            "UPDATE accounts SET expires_at = $2 WHERE id = $1",
            account.as_str(),
            stored.tokens.expiry().at(),
        )?;
        work.audit("tokens.repair", account.as_str());
        links::announce(&mut work, account, false).await?;
        work.commit().await?;
        Ok(opened.stored)
    }
}

/// Writes a whole set: creates the row, or replaces everything in it except the fence and the fingerprint of a refused
/// token.
pub(crate) async fn write_set(
    work: &mut Work,
    keyring: &Keyring,
    (account, generation): (&AccountId, i64),
    (set, endpoint): (&TokenSet, &Endpoint),
    plan: &Plan,
) -> Result<(), StoreError> {
    let boxed = |column, token: &Token| -> Result<Vec<u8>, StoreError> {
        Ok(secret::seal(keyring, cell(account.as_str(), column, generation)?, &token.secret)?)
    };
    let refresh = set.refresh.as_ref().map(|token| boxed("sealed_refresh", token)).transpose()?;
    let id = set.id.as_ref().map(|token| boxed("sealed_id", token)).transpose()?;
    let refresh_expiry = set.refresh.as_ref().map_or(Expiry::NEVER, |token| token.expiry);
    let id_expiry = set.id.as_ref().map_or(Expiry::NEVER, |token| token.expiry);
    let code = Fields::new(TOKENS)
        .with("account_id", account.as_str())
        .with("generation", generation)
        .with("consumer", set.consumer.as_str())
        .with("token_type", set.token_type.as_deref())
        .with("scopes", set.scopes.as_deref())
        .with("issuer", endpoint.issuer.as_deref())
        .with("token_url", endpoint.token_url.as_deref())
        .with("token_auth_method", endpoint.auth_method.as_str())
        .code(&work.tx);
    sql!(
        run,
        &mut work.tx,
        "INSERT INTO account_tokens (account_id, generation, sealed_access, access_expires_at, access_expiry_source,
             sealed_refresh, refresh_expires_at, refresh_expiry_source, sealed_id, id_expires_at, id_expiry_source,
             consumer, token_type, scopes, issuer, token_url, token_auth_method, state, state_since, state_reason,
             failures, next_attempt_at, next_refresh_at, received_at, last_refreshed_at, mac)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
             $23, $24, $25, $26)
         ON CONFLICT (account_id) DO UPDATE SET generation = excluded.generation,
             sealed_access = excluded.sealed_access, access_expires_at = excluded.access_expires_at,
             access_expiry_source = excluded.access_expiry_source, sealed_refresh = excluded.sealed_refresh,
             refresh_expires_at = excluded.refresh_expires_at,
             refresh_expiry_source = excluded.refresh_expiry_source, sealed_id = excluded.sealed_id,
             id_expires_at = excluded.id_expires_at, id_expiry_source = excluded.id_expiry_source,
             consumer = excluded.consumer, token_type = excluded.token_type, scopes = excluded.scopes,
             issuer = excluded.issuer, token_url = excluded.token_url,
             token_auth_method = excluded.token_auth_method, state = excluded.state,
             state_since = excluded.state_since, state_reason = excluded.state_reason, lease_holder = NULL,
             lease_until = NULL, cut_off = 0, failures = excluded.failures,
             next_attempt_at = excluded.next_attempt_at, next_refresh_at = excluded.next_refresh_at,
             received_at = excluded.received_at, last_refreshed_at = excluded.last_refreshed_at,
             mac = excluded.mac",
        account.as_str(),
        generation,
        boxed("sealed_access", &set.access)?,
        set.access.expiry.at(),
        set.access.expiry.source().as_str(),
        refresh,
        refresh_expiry.at(),
        refresh_expiry.source().as_str(),
        id,
        id_expiry.at(),
        id_expiry.source().as_str(),
        set.consumer.as_str(),
        set.token_type.as_deref(),
        set.scopes.as_deref(),
        endpoint.issuer.as_deref(),
        endpoint.token_url.as_deref(),
        endpoint.auth_method.as_str(),
        plan.state.as_str(),
        work.now,
        plan.reason.map(RefreshReason::as_str),
        i64::from(plan.failures),
        plan.next_attempt_at,
        plan.next_refresh_at,
        set.received_at,
        plan.last_refreshed_at,
        code,
    )?;
    Ok(())
}

/// Writes the account's status as derived from its tokens. Returns `true` if the status changed.
pub(crate) async fn write_status(
    work: &mut Work,
    account: &AccountId,
    (status, reason, evidence): (Status, Option<RefreshReason>, Evidence),
    set: &TokenSet,
) -> Result<bool, StoreError> {
    let before = sql!(
        optional,
        (String,),
        &mut work.tx,
        "SELECT status FROM accounts WHERE id = $1",
        account.as_str(),
    )?;
    sql!(
        run,
        &mut work.tx,
        "UPDATE accounts SET status = $2, status_reason = $3, evidence = $4, checked_at = $5, expires_at = $6,
             login_deadline_at = $7, scopes = $8, updated_at = $5 WHERE id = $1",
        account.as_str(),
        status.as_str(),
        reason.map(RefreshReason::as_str),
        evidence.as_str(),
        work.now,
        set.expiry().at(),
        deadline(set),
        set.scopes.as_deref(),
    )?;
    Ok(before.is_none_or(|(before,)| before != status.as_str()))
}

/// Returns the time from which only a new login helps: the end of the refresh token, or of the token in use if there is
/// none.
pub(crate) fn deadline(set: &TokenSet) -> Option<i64> {
    match &set.refresh {
        Some(refresh) => refresh.expiry.known(),
        None => set.expiry().at(),
    }
}

/// Returns the time of the next refresh for a set that was just received; `None` if the set does not expire or cannot
/// be refreshed.
pub(crate) fn next_refresh(set: &TokenSet, jitter: Jitter) -> Option<i64> {
    set.refresh.as_ref()?;
    Some(refresh_at(set.received_at, set.expiry().at()?, jitter))
}
