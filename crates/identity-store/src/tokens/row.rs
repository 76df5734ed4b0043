//! The database row of a set of tokens, and its opened form.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use blake2::Blake2b256;
use blake2::digest::{FixedOutput as _, Update as _};
use secrecy::{ExposeSecret as _, SecretString};

use crate::authentic::{ACCOUNTS, Seal, TOKENS};
use crate::db::{Tx, row, sql};
use crate::error::StoreError;
use crate::id::AccountId;
use crate::model::token::{
    Authority, Consumer, Endpoint, Expiry, Identity, LeaseColumns, StoredTokens, Token, TokenSet,
};
use crate::secret;
use crate::secret::{Cell, Keyring};

const TABLE: &str = "account_tokens";

/// The columns of [`TokenRow`] from `account_tokens` joined with `accounts`. It leaves out those of the account that
/// every statement selects under their own names: `provider`, `base_url`, `subject` and `email`.
macro_rules! own_columns {
    () => {
        concat!("account_tokens.account_id AS token_account, client_id, account_tokens.generation AS token_generation, \
         sealed_access, access_expires_at, access_expiry_source, sealed_refresh, refresh_expires_at, \
         refresh_expiry_source, sealed_id, id_expires_at, id_expiry_source, consumer, token_type, account_tokens.scopes AS scopes, issuer, token_url, token_auth_method, state, \
         state_since, state_reason, lease_fence, lease_until, cut_off, failures, next_attempt_at, next_refresh_at, \
         dead_refresh, received_at, last_refreshed_at, ",
            signed!(account_tokens))
    };
}
pub(crate) use own_columns;

row! {
    pub(crate) struct TokenRow {
        id as "token_account": String,
        provider: String,
        base_url: Option<String>,
        client_id: Option<String>,
        subject: Option<String>,
        email: Option<String>,
        pub(crate) generation as "token_generation": i64,
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
        pub(crate) state: String,
        state_since: i64,
        state_reason: Option<String>,
        pub(crate) lease_fence: i64,
        lease_until: Option<i64>,
        pub(crate) cut_off: i64,
        failures: i64,
        next_attempt_at: Option<i64>,
        next_refresh_at: Option<i64>,
        dead_refresh: Option<String>,
        received_at: i64,
        last_refreshed_at: Option<i64>,
    } with {
        seal: Seal<TOKENS>,
        account: Seal<ACCOUNTS>,
    }
}

/// A row whose secrets were opened.
pub(crate) struct Opened {
    pub(crate) stored: StoredTokens,
    pub(crate) flight: LeaseColumns,
    /// True if an expiry of the row is invalid and must be rewritten.
    pub(crate) repaired: bool,
}

/// Reads and opens the tokens of an account within an open transaction.
pub(crate) async fn open_in(
    tx: &mut Tx,
    keyring: &Keyring,
    account: &AccountId,
) -> Result<Opened, StoreError> {
    let row = row_in(tx, account).await?.ok_or_else(|| StoreError::not_found("tokens", account))?;
    row.open(keyring)
}

/// Reads the row of an account's tokens.
pub(crate) async fn row_in(tx: &mut Tx, account: &AccountId) -> Result<Option<TokenRow>, StoreError> {
    sql!(
        optional,
        TokenRow,
        tx,
        concat!(
            "SELECT ",
            own_columns!(),
            ", provider, base_url, subject, email, ",
            signed!(accounts),
            " FROM account_tokens JOIN accounts ON accounts.id = account_tokens.account_id
             WHERE account_tokens.account_id = $1"
        ),
        account.as_str(),
    )
}

/// Returns the fingerprint that identifies a refused refresh token. The token has far too many bits to be guessed from
/// it.
pub(crate) fn fingerprint(token: &SecretString) -> String {
    let mut hash = Blake2b256::default();
    hash.update(b"srvd refresh token");
    hash.update(token.expose_secret().as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finalize_fixed())
}

/// Returns the place where a token is sealed.
pub(crate) fn cell<'a>(row: &'a str, column: &'a str, generation: i64) -> Result<Cell<'a>, StoreError> {
    let generation = u64::try_from(generation)
        .map_err(|_| StoreError::corrupt("tokens", row, "its generation is negative"))?;
    Ok(Cell { table: TABLE, column, row, generation })
}

impl TokenRow {
    /// Returns whether this is the refresh token that was refused.
    pub(crate) fn is_dead(&self, refresh: &SecretString) -> bool {
        self.dead_refresh.as_ref().is_some_and(|dead| *dead == fingerprint(refresh))
    }

    /// Opens the boxes and converts text into types. Only the token in use has to open.
    ///
    /// A holder of the key must have written the row and that of its account: they say where the tokens are sent.
    pub(crate) fn open(&self, keyring: &Keyring) -> Result<Opened, StoreError> {
        self.seal.expect(keyring, &self.id)?;
        self.account.expect(keyring, &self.id)?;
        let corrupt = |reason: &str| StoreError::corrupt("tokens", &self.id, reason);
        let word = |error: crate::model::account::UnknownWord| corrupt(&error.to_string());
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
            Consumer::Id => self.sealed_id.as_ref().map(|sealed| open("sealed_id", sealed)).transpose()?,
            Consumer::Access => readable("sealed_id", self.sealed_id.as_ref())?,
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
        let flight = LeaseColumns {
            lease_until: self.lease_until,
            cut_off: self.cut_off,
            dead: tokens.refresh.as_ref().is_some_and(|token| self.is_dead(&token.secret)),
        };
        let number = |_| corrupt("a number is out of range");
        let stored = StoredTokens {
            account: self.id.parse().map_err(|_| corrupt("its account id is not valid"))?,
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

/// Builds an authority from its columns.
pub(crate) fn authority(
    provider: &str,
    base_url: Option<&str>,
    client_id: Option<&str>,
) -> Result<Authority, &'static str> {
    let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(Authority {
        provider: provider.parse().map_err(|_| "its provider id is not valid")?,
        base_url: given(base_url)
            .map(|url| url.parse())
            .transpose()
            .map_err(|_| "its base URL is not valid")?,
        client_id: given(client_id),
    })
}
