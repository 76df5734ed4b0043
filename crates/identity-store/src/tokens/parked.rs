//! Parked logins: logins whose person is not known yet.

use super::keep::{NewTokens, TokenOwner, base_url, client_id, parked};
use super::row::authority;
use crate::accounts::delete::delete_row;
use crate::accounts::links;
use crate::db::sql;
use crate::error::StoreError;
use crate::id::{AccountId, UserId};
use crate::model::account::Owner;
use crate::model::token::{Authority, Identity, LoginNotSaved, ParkLogin, ParkedLogin, UnsavedLogin};
use crate::names;
use crate::store::Store;
use crate::store::work::Work;

impl Store {
    /// Saves a login whose person cannot be determined at the moment, so that it is refreshed and can be completed
    /// later. It replaces a login that is parked for the same authority and flow.
    ///
    /// # Errors
    /// [`LoginNotSaved`] with the login and the reason: `InvalidName` if the address is not valid, `Secret` if a
    /// token cannot be sealed, or an error of the database.
    pub async fn park(&self, login: UnsavedLogin, park: ParkLogin) -> Result<AccountId, LoginNotSaved> {
        match self.try_park(&login, &park).await {
            Ok(account) => Ok(account),
            Err(error) => Err(LoginNotSaved { error, login: Box::new(login) }),
        }
    }

    async fn try_park(&self, login: &UnsavedLogin, park: &ParkLogin) -> Result<AccountId, StoreError> {
        let hint = names::optional("hint_email", park.hint_email.as_deref())?;
        let mut work = self.write(park.now).await?;
        let sibling = parked(&mut work, &login.authority, &login.flow).await?;
        let owner = if park.user.is_some() { Owner::User } else { Owner::Operator };
        let nobody = Identity::default();
        let holder = TokenOwner { identity: &nobody, owner, jitter: park.jitter };
        let account = self.keep(&mut work, sibling, &NewTokens::from(login), &holder).await?.account;
        sql!(
            run,
            &mut work.tx,
            "INSERT INTO pending_logins (account_id, provider, base_url, client_id, flow, user_id, hint_email,
                 created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (account_id) DO UPDATE SET user_id = excluded.user_id, hint_email = excluded.hint_email",
            account.as_str(),
            login.authority.provider.as_str(),
            base_url(&login.authority),
            client_id(&login.authority),
            login.flow.as_str(),
            park.user.as_ref().map(UserId::as_str),
            hint.as_deref(),
            park.now,
        )?;
        work.audit("tokens.park", &format!("{} {account}", login.authority.provider));
        work.commit().await?;
        Ok(account)
    }

    /// Returns the logins that are parked for a user, or for the operator, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if one of the rows cannot be read; [`StoreError::Busy`], [`StoreError::Unavailable`]
    /// or another error of the database.
    pub async fn pending_logins(&self, user: Option<&UserId>) -> Result<Vec<ParkedLogin>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            all,
            PendingRow,
            &mut tx,
            "SELECT account_id, provider, base_url, client_id, flow, user_id, hint_email, created_at
             FROM pending_logins WHERE (user_id = $1 OR (user_id IS NULL AND $1 IS NULL))
             ORDER BY created_at, account_id",
            user.map(UserId::as_str),
        )?;
        rows.into_iter().map(PendingRow::parse).collect()
    }

    /// Deletes a parked login and its tokens.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the parked login does not exist; [`StoreError::Busy`], [`StoreError::Full`] or
    /// another error of the database.
    pub async fn discard_pending(&self, account: &AccountId, now: i64) -> Result<(), StoreError> {
        let mut work = self.write(now).await?;
        expect_pending(&mut work, account).await?;
        delete_row(&mut work, account).await?;
        work.commit().await
    }

    /// Returns the operator's account at an authority: the one of `subject`, or the only one. A login without a known
    /// person counts only if no person is known at this authority. Several matching accounts are a conflict, because
    /// none of them takes precedence.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if several accounts match; [`StoreError::Corrupt`] if the row cannot be read;
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn operator_account(
        &self,
        authority: &Authority,
        subject: Option<&str>,
    ) -> Result<Option<AccountId>, StoreError> {
        let mut tx = self.snapshot().await?;
        let known = sql!(
            all,
            (String, String),
            &mut tx,
            "SELECT account_id, subject FROM operator_tokens
             WHERE forge_type = $1 AND base_url = $2 AND client_id = $3 ORDER BY subject",
            authority.provider.as_str(),
            base_url(authority),
            client_id(authority),
        )?;
        let pending = sql!(
            all,
            (String,),
            &mut tx,
            "SELECT account_id FROM pending_logins
             WHERE provider = $1 AND base_url = $2 AND client_id = $3 AND user_id IS NULL ORDER BY created_at",
            authority.provider.as_str(),
            base_url(authority),
            client_id(authority),
        )?;
        tx.commit().await?;
        let none_known = known.is_empty();
        let mut found: Vec<String> = known
            .into_iter()
            .filter(|(_, known)| subject.is_none_or(|subject| subject == known))
            .map(|(account, _)| account)
            .collect();
        if none_known && subject.is_none() {
            found = pending.into_iter().map(|(account,)| account).collect();
        }
        match found.as_slice() {
            [] => Ok(None),
            [one] => links::parse("operator token", one).map(Some),
            _ => Err(StoreError::conflict("operator account", &authority.provider, "several accounts match")),
        }
    }
}

/// Fails unless the account is a parked login.
async fn expect_pending(work: &mut Work, account: &AccountId) -> Result<(), StoreError> {
    let row = sql!(
        optional,
        (String,),
        &mut work.tx,
        "SELECT account_id FROM pending_logins WHERE account_id = $1",
        account.as_str(),
    )?;
    row.map(|_| ()).ok_or_else(|| StoreError::not_found("pending login", account))
}

#[derive(sqlx::FromRow)]
struct PendingRow {
    account_id: String,
    provider: String,
    base_url: String,
    client_id: String,
    flow: String,
    user_id: Option<String>,
    hint_email: Option<String>,
    created_at: i64,
}

impl PendingRow {
    fn parse(self) -> Result<ParkedLogin, StoreError> {
        let authority = authority(&self.provider, Some(&self.base_url), Some(&self.client_id))
            .map_err(|reason| StoreError::corrupt("pending login", &self.account_id, reason))?;
        Ok(ParkedLogin {
            account: links::parse("pending login", &self.account_id)?,
            authority,
            flow: links::parse("pending login", &self.flow)?,
            user: self.user_id.as_deref().map(|user| links::parse("pending login", user)).transpose()?,
            hint_email: self.hint_email,
            created_at: self.created_at,
        })
    }
}
