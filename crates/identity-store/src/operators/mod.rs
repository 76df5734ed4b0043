//! Operator tokens: accounts of the operator at forges, and the active one.
//!
//! The active account is a setting whose `updated_at` is the time of its activation. A setting that names a deleted
//! account counts as none.

mod active;

use active::activate;

use crate::accounts::delete::delete_row;
use crate::accounts::links;
use crate::authentic::{ACCOUNTS, Fields, Link, OPERATOR_TOKENS, Page, SERVICE_SETTINGS, Seal, census};
use crate::db::{Tx, Undecoded, row, sql};
use crate::error::StoreError;
use crate::id::AccountId;
use crate::model::account::Owner;
use crate::model::changes::Change;
use crate::model::operator::{ActiveForge, CommitOperator, OperatorToken, Promotion};
use crate::model::token::{LoginNotSaved, SavedTokens, UnsavedLogin};
use crate::secret::Keyring;
use crate::store::Store;
use crate::store::work::Work;
use crate::tokens::keep::{NewTokens, TokenOwner, base_url, checked, client_id};

/// The kind of row, for errors.
const WHAT: &str = "operator token";

/// The setting that names the active account.
const ACTIVE: &str = "active_forge";

/// The columns of [`OperatorRow`] and the tables that they are from.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT operator_tokens.account_id AS id, forge_type, operator_tokens.base_url AS base_url,
                 operator_tokens.client_id AS client_id, operator_tokens.subject AS subject, login, email,
                 expires_at, state, state_reason, operator_tokens.created_at AS created_at,
                 operator_tokens.updated_at AS updated_at, service_settings.value AS active,
                 service_settings.updated_at AS since, ",
            signed!(operator_tokens),
            ", ",
            signed!(accounts),
            ", ",
            signed!(service_settings),
            " FROM operator_tokens
             JOIN accounts ON accounts.id = operator_tokens.account_id
             JOIN account_tokens ON account_tokens.account_id = operator_tokens.account_id
             LEFT JOIN service_settings
                 ON service_settings.key = 'active_forge' AND service_settings.value = operator_tokens.account_id ",
            $rest
        )
    };
}

row! {
    struct OperatorRow {
        id: String,
        forge_type: String,
        base_url: String,
        client_id: String,
        subject: String,
        login: String,
        email: Option<String>,
        expires_at: Option<i64>,
        state: String,
        state_reason: Option<String>,
        created_at: i64,
        updated_at: i64,
        active: Option<String>,
        since: Option<i64>,
    } with {
        seal: Seal<OPERATOR_TOKENS>,
        account: Seal<ACCOUNTS>,
        /// The authentication of the setting that names the active account, if it names this one.
        setting: Seal<SERVICE_SETTINGS>,
    }
}

impl Store {
    /// Saves a forge login of the operator, and makes it the active one if requested, in one transaction. It replaces
    /// all earlier tokens of the same person at the same forge, address and client. No other row is changed.
    ///
    /// # Errors
    /// [`LoginNotSaved`] with the login and the reason: `InvalidName` if the identity has no subject or login or the
    /// authority no address, `Secret` if a token cannot be sealed, or an error of the database.
    pub async fn commit_operator(
        &self,
        login: UnsavedLogin,
        commit: CommitOperator,
    ) -> Result<SavedTokens, LoginNotSaved> {
        match self.try_operator(&login, &commit).await {
            Ok(kept) => Ok(kept),
            Err(error) => Err(LoginNotSaved { error, login: Box::new(login) }),
        }
    }

    async fn try_operator(
        &self,
        login: &UnsavedLogin,
        commit: &CommitOperator,
    ) -> Result<SavedTokens, StoreError> {
        let mut work = self.write(commit.now).await?;
        let kept = self.settle_operator(&mut work, &NewTokens::from(login), commit).await?;
        work.commit().await?;
        Ok(kept)
    }

    /// Completes a parked login whose person is now known, or deletes it if that person has signed in again since.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the parked login does not exist; [`StoreError::InvalidName`] if the identity is
    /// not valid; [`StoreError::Conflict`] if the login is being refreshed; [`StoreError::Corrupt`] if the row cannot
    /// be read; [`StoreError::Secret`] if its tokens cannot be opened; [`StoreError::Busy`], [`StoreError::Full`] or
    /// another error of the database.
    pub async fn promote_operator(
        &self,
        pending: &AccountId,
        commit: CommitOperator,
    ) -> Result<Promotion, StoreError> {
        let mut work = self.write(commit.now).await?;
        let parked = self.parked_login(&mut work, pending).await?;
        let (since,) = sql!(
            one,
            (i64,),
            &mut work.tx,
            "SELECT created_at FROM pending_logins WHERE account_id = $1",
            pending.as_str(),
        )?;
        let arrival = NewTokens::from(&parked);
        if let Some(newer) = self.newer_login(&mut work, &arrival, &commit, since).await? {
            delete_row(&mut work, pending).await?;
            work.audit("operator.superseded", &format!("{pending} {newer}"));
            work.commit().await?;
            return Ok(Promotion::Superseded(newer));
        }
        let chosen = sql!(
            optional,
            (i64,),
            &mut work.tx,
            "SELECT updated_at FROM service_settings WHERE key = $1",
            ACTIVE,
        )?;
        let commit =
            CommitOperator { activate: commit.activate && chosen.is_none_or(|(at,)| at < since), ..commit };
        let kept = self.settle_operator(&mut work, &arrival, &commit).await?;
        work.commit().await?;
        Ok(Promotion::Completed(kept))
    }

    /// Returns the account of the person, if its last login is not older than `since`.
    async fn newer_login(
        &self,
        work: &mut Work,
        arrival: &NewTokens<'_>,
        commit: &CommitOperator,
        since: i64,
    ) -> Result<Option<AccountId>, StoreError> {
        let Some(subject) = checked(&commit.identity)?.subject else { return Ok(None) };
        let row = sql!(
            optional,
            Link<OPERATOR_TOKENS>,
            &mut work.tx,
            concat!(
                "SELECT account_id, ",
                signed!(operator_tokens),
                " FROM operator_tokens WHERE forge_type = $1 AND base_url = $2 AND client_id = $3 AND subject = $4
                   AND updated_at >= $5"
            ),
            arrival.authority.provider.as_str(),
            base_url(arrival.authority),
            client_id(arrival.authority),
            subject.as_str(),
            since,
        )?;
        row.map(|link| link.account(self.keyring())).transpose()
    }

    async fn settle_operator(
        &self,
        work: &mut Work,
        arrival: &NewTokens<'_>,
        commit: &CommitOperator,
    ) -> Result<SavedTokens, StoreError> {
        let missing = |field| StoreError::InvalidName { field, reason: "it is missing" };
        let identity = checked(&commit.identity)?;
        let (Some(subject), Some(login)) = (&identity.subject, &identity.login) else {
            let field = if identity.subject.is_none() { "subject" } else { "login" };
            return Err(missing(field));
        };
        let authority = arrival.authority;
        if authority.base_url.is_none() {
            return Err(missing("base_url"));
        }
        let key = (authority.provider.as_str(), base_url(authority), client_id(authority));
        let known = sql!(
            optional,
            Link<OPERATOR_TOKENS>,
            &mut work.tx,
            concat!(
                "SELECT account_id, ",
                signed!(operator_tokens),
                " FROM operator_tokens WHERE forge_type = $1 AND base_url = $2 AND client_id = $3 AND subject = $4"
            ),
            key.0,
            key.1,
            key.2,
            subject.as_str(),
        )?;
        let known = known.map(|link| link.account(self.keyring())).transpose()?;
        let holder = TokenOwner { identity: &identity, owner: Owner::Operator, jitter: commit.jitter };
        let kept = self.settle(work, known, arrival, &holder).await?;
        let code = Fields::new(OPERATOR_TOKENS)
            .with("account_id", kept.account.as_str())
            .with("forge_type", key.0)
            .with("base_url", key.1)
            .with("client_id", key.2)
            .with("subject", subject.as_str())
            .with("login", login.as_str())
            .code(&work.tx);
        census::put(&mut work.tx, OPERATOR_TOKENS, [kept.account.as_str(), ""]).await?;
        sql!(
            run,
            &mut work.tx,
            "INSERT INTO operator_tokens (account_id, forge_type, base_url, client_id, subject, login, created_at,
                 updated_at, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)
             ON CONFLICT (account_id) DO UPDATE SET login = excluded.login, updated_at = excluded.updated_at,
                 mac = excluded.mac",
            kept.account.as_str(),
            key.0,
            key.1,
            key.2,
            subject.as_str(),
            login.as_str(),
            work.now,
            code,
        )?;
        work.audit("operator.login", &format!("{} {}", key.0, kept.account));
        work.changed(Change::OperatorTokens);
        if commit.activate {
            activate(work, &kept.account).await?;
        }
        Ok(kept)
    }

    /// Returns the operator's forge accounts, in order of forge, address and login.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn operator_tokens(&self) -> Result<Vec<OperatorToken>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            each,
            OperatorRow,
            &mut tx,
            select!("ORDER BY forge_type, operator_tokens.base_url, login, operator_tokens.account_id"),
        )?;
        let readable = |row: Result<OperatorRow, Undecoded>| {
            let row = row.map_err(|row| row.into_error(WHAT));
            // One bad row must not hide the others. A request for that account by its id is an error.
            row.and_then(|row| row.parse(self.keyring()))
                .inspect_err(
                    |error| tracing::error!(%error, "an operator token was skipped: its row cannot be read"),
                )
                .ok()
        };
        Ok(rows.into_iter().filter_map(readable).collect())
    }

    /// Returns one of the operator's forge accounts.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the account does not exist; [`StoreError::Corrupt`] if the row cannot be read;
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn operator_token(&self, account: &AccountId) -> Result<OperatorToken, StoreError> {
        row_in(&mut self.read().await?, account).await?.parse(self.keyring())
    }

    /// Returns the active forge account; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the active account cannot be read; [`StoreError::Busy`],
    /// [`StoreError::Unavailable`] or another error of the database.
    pub async fn active_forge(&self) -> Result<Option<ActiveForge>, StoreError> {
        let mut tx = self.read().await?;
        let row = sql!(optional, OperatorRow, &mut tx, select!("WHERE service_settings.value IS NOT NULL"))?;
        let Some(row) = row else { return Ok(None) };
        row.setting.expect(self.keyring(), ACTIVE)?;
        let since = row.since.unwrap_or_default();
        let OperatorToken { account, forge, login, base_url, .. } = row.parse(self.keyring())?;
        Ok(Some(ActiveForge { account, forge, login, base_url, since }))
    }

    /// Makes an account of the operator the active one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the account does not exist; [`StoreError::Busy`], [`StoreError::Full`] or another
    /// error of the database.
    pub async fn set_active_forge(&self, account: &AccountId, now: i64) -> Result<(), StoreError> {
        let mut work = self.write(now).await?;
        row_in(&mut work.tx, account).await?.parse(self.keyring())?;
        activate(&mut work, account).await?;
        work.commit().await
    }

    /// Deletes an account of the operator with its tokens, and returns it as it was. If it was the active one, none is
    /// active afterwards.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the account does not exist; [`StoreError::Corrupt`] if the row cannot be read;
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn delete_operator(&self, account: &AccountId, now: i64) -> Result<OperatorToken, StoreError> {
        let mut work = self.write(now).await?;
        let token = row_in(&mut work.tx, account).await?.parse(self.keyring())?;
        links::announce(&mut work, account, true).await?;
        delete_row(&mut work, account).await?;
        let active = sql!(
            all,
            Page,
            &mut work.tx,
            listed!(service_settings, "key = $1 AND value = $2"),
            ACTIVE,
            account.as_str(),
        )?;
        if !active.is_empty() {
            census::gone(&mut work.tx, SERVICE_SETTINGS, active);
            sql!(run, &mut work.tx, "DELETE FROM service_settings WHERE key = $1", ACTIVE)?;
        }
        work.commit().await?;
        Ok(token)
    }
}

async fn row_in(tx: &mut Tx, account: &AccountId) -> Result<OperatorRow, StoreError> {
    let row =
        sql!(optional, OperatorRow, tx, select!("WHERE operator_tokens.account_id = $1"), account.as_str(),)?;
    row.ok_or_else(|| StoreError::not_found(WHAT, account))
}

impl OperatorRow {
    fn parse(self, keyring: &Keyring) -> Result<OperatorToken, StoreError> {
        self.seal.expect(keyring, &self.id)?;
        self.account.expect(keyring, &self.id)?;
        // An account that another program made the active one is not active.
        let active = self.active.is_some() && self.setting.fits(keyring, ACTIVE);
        let corrupt = |reason: &dyn ToString| StoreError::corrupt(WHAT, &self.id, &reason.to_string());
        Ok(OperatorToken {
            account: self.id.parse().map_err(|error: crate::id::InvalidId| corrupt(&error))?,
            forge: self.forge_type.parse().map_err(|error: crate::id::InvalidId| corrupt(&error))?,
            base_url: self
                .base_url
                .parse()
                .map_err(|error: crate::model::token::InvalidBaseUrl| corrupt(&error))?,
            client_id: Some(self.client_id.clone()).filter(|client| !client.is_empty()),
            subject: self.subject.clone(),
            login: self.login.clone(),
            email: self.email.clone(),
            active,
            expires_at: self.expires_at,
            state: self.state.parse().map_err(|error: crate::model::account::UnknownWord| corrupt(&error))?,
            reason: self
                .state_reason
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(|error: crate::model::account::UnknownWord| corrupt(&error))?,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
