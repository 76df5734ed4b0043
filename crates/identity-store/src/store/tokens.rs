//! Sets of tokens: one row an account, sealed as a whole and written as a whole.

use blake2::Blake2b256;
use blake2::digest::{FixedOutput as _, Update as _};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Store, Work, links};
use crate::db::{Tx, sql};
use crate::secret::{self, Cell};
use crate::token::{Flight, refresh_at};
use crate::{
    AccountId, Authority, Endpoint, Evidence, Expiry, Identity, Jitter, Keyring, RefreshReason, RefreshState,
    Status, StoreError, StoredTokens, Token, TokenSet,
};

const TABLE: &str = "account_tokens";

/// The columns of [`TokenRow`], from `account_tokens` joined with `accounts`.
macro_rules! columns {
    () => {
        "account_tokens.account_id AS id, accounts.provider AS provider, accounts.base_url AS base_url, \
         accounts.client_id AS client_id, accounts.subject AS subject, accounts.email AS email, \
         account_tokens.generation AS generation, sealed_access, access_expires_at, access_expiry_source, \
         sealed_refresh, refresh_expires_at, refresh_expiry_source, sealed_id, id_expires_at, id_expiry_source, \
         consumer, token_type, account_tokens.scopes AS scopes, issuer, token_url, token_auth_method, state, \
         state_since, state_reason, lease_fence, lease_until, cut_off, failures, next_attempt_at, next_refresh_at, \
         dead_refresh, received_at, last_refreshed_at"
    };
}
pub(super) use columns;

#[derive(sqlx::FromRow)]
pub(super) struct TokenRow {
    pub(super) id: String,
    provider: String,
    base_url: Option<String>,
    client_id: Option<String>,
    subject: Option<String>,
    email: Option<String>,
    pub(super) generation: i64,
    sealed_access: Vec<u8>,
    access_expires_at: Option<i64>,
    access_expiry_source: String,
    sealed_refresh: Option<Vec<u8>>,
    refresh_expires_at: Option<i64>,
    refresh_expiry_source: String,
    sealed_id: Option<Vec<u8>>,
    id_expires_at: Option<i64>,
    id_expiry_source: String,
    consumer: String,
    token_type: Option<String>,
    scopes: Option<String>,
    issuer: Option<String>,
    token_url: Option<String>,
    token_auth_method: String,
    pub(super) state: String,
    state_since: i64,
    state_reason: Option<String>,
    pub(super) lease_fence: i64,
    lease_until: Option<i64>,
    pub(super) cut_off: i64,
    failures: i64,
    next_attempt_at: Option<i64>,
    next_refresh_at: Option<i64>,
    dead_refresh: Option<String>,
    received_at: i64,
    last_refreshed_at: Option<i64>,
}

/// A row that was opened.
pub(super) struct Opened {
    pub(super) stored: StoredTokens,
    pub(super) flight: Flight,
    /// Whether an expiry of the row is bad and shall be written anew.
    pub(super) repaired: bool,
}

/// What is written beside the tokens themselves.
pub(super) struct Plan {
    pub(super) state: RefreshState,
    pub(super) reason: Option<RefreshReason>,
    pub(super) failures: u32,
    pub(super) next_attempt_at: Option<i64>,
    pub(super) next_refresh_at: Option<i64>,
    pub(super) last_refreshed_at: Option<i64>,
}

impl Store {
    /// The tokens of an account, opened. An expiry that makes no sense is repaired first, once and for all.
    pub async fn tokens(&self, account: &AccountId, now: i64) -> Result<StoredTokens, StoreError> {
        let opened = open_in(&mut self.read().await?, self.keyring(), account).await?;
        if opened.repaired { self.repair_tokens(account, now).await } else { Ok(opened.stored) }
    }

    /// Repairs every expiry that makes no sense, so that the queue misses none; gives how many accounts that were.
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

    /// Writes the expiries of one account as they are read.
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
        work.audit("tokens.repair", account.as_str()).await?;
        links::announce(&mut work, account, false).await?;
        work.commit().await?;
        Ok(opened.stored)
    }
}

/// The tokens of an account, in a transaction that is under way.
pub(super) async fn open_in(
    tx: &mut Tx,
    keyring: &Keyring,
    account: &AccountId,
) -> Result<Opened, StoreError> {
    let row = row_in(tx, account).await?.ok_or_else(|| StoreError::not_found("tokens", account))?;
    row.open(keyring)
}

/// The row of an account's tokens.
pub(super) async fn row_in(tx: &mut Tx, account: &AccountId) -> Result<Option<TokenRow>, StoreError> {
    sql!(
        optional,
        TokenRow,
        tx,
        concat!(
            "SELECT ",
            columns!(),
            " FROM account_tokens JOIN accounts ON accounts.id = account_tokens.account_id
             WHERE account_tokens.account_id = $1"
        ),
        account.as_str(),
    )
}

/// Writes a whole set: makes the row, or replaces everything in it but the fence and the fingerprint of a dead token.
pub(super) async fn write_set(
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
    sql!(
        run,
        &mut work.tx,
        "INSERT INTO account_tokens (account_id, generation, sealed_access, access_expires_at, access_expiry_source,
             sealed_refresh, refresh_expires_at, refresh_expiry_source, sealed_id, id_expires_at, id_expiry_source,
             consumer, token_type, scopes, issuer, token_url, token_auth_method, state, state_since, state_reason,
             failures, next_attempt_at, next_refresh_at, received_at, last_refreshed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
             $23, $24, $25)
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
             received_at = excluded.received_at, last_refreshed_at = excluded.last_refreshed_at",
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
    )?;
    Ok(())
}

/// Writes what an account's tokens say about it; `true` when its status is another one than before.
pub(super) async fn write_status(
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
        set.refresh.as_ref().and_then(|token| token.expiry.known()),
        set.scopes.as_deref(),
    )?;
    Ok(before.is_none_or(|(before,)| before != status.as_str()))
}

/// When the refresher looks at a set that was just received: never at one that does not end or cannot be refreshed.
pub(super) fn next_refresh(set: &TokenSet, jitter: Jitter) -> Option<i64> {
    set.refresh.as_ref()?;
    Some(refresh_at(set.received_at, set.expiry().at()?, jitter))
}

/// What a refresh token that is refused is remembered by. The token has far too many bits to be guessed from it.
pub(super) fn fingerprint(token: &SecretString) -> String {
    let mut hash = Blake2b256::default();
    hash.update(b"srvd refresh token");
    hash.update(token.expose_secret().as_bytes());
    hash.finalize_fixed().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a token is sealed.
fn cell<'a>(row: &'a str, column: &'a str, generation: i64) -> Result<Cell<'a>, StoreError> {
    let generation = u64::try_from(generation)
        .map_err(|_| StoreError::corrupt(TABLE, row, "its generation is negative"))?;
    Ok(Cell { table: TABLE, column, row, generation })
}

impl TokenRow {
    /// Whether this is the refresh token that was refused.
    pub(super) fn is_dead(&self, refresh: &SecretString) -> bool {
        self.dead_refresh.as_ref().is_some_and(|dead| *dead == fingerprint(refresh))
    }

    /// Opens the boxes and turns text into types. Only the token in use has to open.
    pub(super) fn open(&self, keyring: &Keyring) -> Result<Opened, StoreError> {
        let corrupt = |reason: &str| StoreError::corrupt(TABLE, &self.id, reason);
        let word = |error: crate::UnknownWord| corrupt(&error.to_string());
        let open = |column, sealed: &[u8]| -> Result<SecretString, StoreError> {
            Ok(secret::open(keyring, cell(&self.id, column, self.generation)?, sealed)?)
        };
        let mut repaired = false;
        let mut expiry = |at, source: &str| {
            let (expiry, bad) = Expiry::stored(at, source, self.received_at);
            repaired |= bad;
            expiry
        };
        let access = Token {
            secret: open("sealed_access", &self.sealed_access)?,
            expiry: expiry(self.access_expires_at, &self.access_expiry_source),
        };
        let refresh_expiry = expiry(self.refresh_expires_at, &self.refresh_expiry_source);
        let id_expiry = expiry(self.id_expires_at, &self.id_expiry_source);
        let consumer = self.consumer.parse().map_err(word)?;
        let mut unreadable = false;
        let mut readable = |column, sealed: Option<&Vec<u8>>| match sealed.map(|sealed| open(column, sealed))
        {
            Some(Err(StoreError::Secret(_))) => {
                unreadable = true;
                Ok(None)
            }
            opened => opened.transpose(),
        };
        let refresh = readable("sealed_refresh", self.sealed_refresh.as_ref())?;
        let id = match consumer {
            crate::Consumer::Id => {
                self.sealed_id.as_ref().map(|sealed| open("sealed_id", sealed)).transpose()?
            }
            crate::Consumer::Access => readable("sealed_id", self.sealed_id.as_ref())?,
        };
        let tokens = TokenSet {
            access,
            refresh: refresh.map(|secret| Token { secret, expiry: refresh_expiry }),
            id: id.map(|secret| Token { secret, expiry: id_expiry }),
            consumer,
            scopes: self.scopes.clone(),
            token_type: self.token_type.clone(),
            received_at: self.received_at,
        };
        let flight = Flight {
            lease_until: self.lease_until,
            cut_off: self.cut_off,
            dead: tokens.refresh.as_ref().is_some_and(|token| self.is_dead(&token.secret)),
        };
        let number = |_| corrupt("a number is out of range");
        let stored = StoredTokens {
            account: self.id.parse().map_err(|_| corrupt("its account's id is not one"))?,
            authority: authority(&self.provider, self.base_url.as_deref(), self.client_id.as_deref())
                .map_err(corrupt)?,
            identity: Identity { subject: self.subject.clone(), email: self.email.clone(), login: None },
            endpoint: Endpoint {
                issuer: self.issuer.clone(),
                token_url: self.token_url.clone(),
                auth_method: self.token_auth_method.clone(),
            },
            tokens,
            unreadable,
            generation: u64::try_from(self.generation).map_err(number)?,
            state: self.state.parse().map_err(word)?,
            state_since: self.state_since,
            reason: self.state_reason.as_deref().map(str::parse).transpose().map_err(word)?,
            failures: u32::try_from(self.failures).map_err(number)?,
            next_attempt_at: self.next_attempt_at,
            next_refresh_at: self.next_refresh_at,
            last_refreshed_at: self.last_refreshed_at,
        };
        Ok(Opened { stored, flight, repaired })
    }
}

/// An authority from its columns.
pub(super) fn authority(
    provider: &str,
    base_url: Option<&str>,
    client_id: Option<&str>,
) -> Result<Authority, &'static str> {
    let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(Authority {
        provider: provider.parse().map_err(|_| "its provider is not one")?,
        base_url: given(base_url)
            .map(|url| url.parse())
            .transpose()
            .map_err(|_| "its base URL is not one")?,
        client_id: given(client_id),
    })
}
