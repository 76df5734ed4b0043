//! Parked logins: logins whose person is not known yet.

use super::keep::{NewTokens, TokenOwner, base_url, client_id, parked};
use super::row::authority;
use crate::accounts::delete::delete_row;
use crate::accounts::links;
use crate::authentic::{Fields, Link, OPERATOR_TOKENS, PENDING_LOGINS, Seal, census};
use crate::db::{readable, row, sql};
use crate::error::StoreError;
use crate::id::{AccountId, UserId};
use crate::model::account::Owner;
use crate::model::token::{Authority, Identity, LoginNotSaved, ParkLogin, ParkedLogin, UnsavedLogin};
use crate::names;
use crate::secret::Keyring;
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
        let code = Fields::new(PENDING_LOGINS)
            .with("account_id", account.as_str())
            .with("provider", login.authority.provider.as_str())
            .with("base_url", base_url(&login.authority))
            .with("client_id", client_id(&login.authority))
            .with("flow", login.flow.as_str())
            .with("user_id", park.user.as_ref().map(UserId::as_str))
            .with("hint_email", hint.as_deref())
            .code(&work.tx);
        census::put(&mut work.tx, PENDING_LOGINS, [account.as_str(), ""]).await?;
        sql!(
            run,
            &mut work.tx,
            "INSERT INTO pending_logins (account_id, provider, base_url, client_id, flow, user_id, hint_email,
                 created_at, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (account_id) DO UPDATE SET user_id = excluded.user_id, hint_email = excluded.hint_email,
                 mac = excluded.mac",
            account.as_str(),
            login.authority.provider.as_str(),
            base_url(&login.authority),
            client_id(&login.authority),
            login.flow.as_str(),
            park.user.as_ref().map(UserId::as_str),
            hint.as_deref(),
            park.now,
            code,
        )?;
        work.audit("tokens.park", &format!("{} {account}", login.authority.provider));
        work.commit().await?;
        Ok(account)
    }

    /// Returns the logins that are parked for a user, or for the operator, oldest first. A row that cannot be read is
    /// logged and left out.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn pending_logins(&self, user: Option<&UserId>) -> Result<Vec<ParkedLogin>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            each,
            PendingRow,
            &mut tx,
            concat!(
                "SELECT account_id, provider, base_url, client_id, flow, user_id, hint_email, created_at, ",
                signed!(pending_logins),
                " FROM pending_logins WHERE (user_id = $1 OR (user_id IS NULL AND $1 IS NULL))
                 ORDER BY created_at, account_id"
            ),
            user.map(UserId::as_str),
        )?;
        let fitting = |row: PendingRow| {
            row.parse(self.keyring())
                .inspect_err(
                    |error| tracing::error!(%error, "a parked login was skipped: its row cannot be read"),
                )
                .ok()
        };
        Ok(readable(rows, "pending login").filter_map(fitting).collect())
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
            Link<OPERATOR_TOKENS>,
            &mut tx,
            concat!(
                "SELECT account_id, ",
                signed!(operator_tokens),
                " FROM operator_tokens WHERE forge_type = $1 AND base_url = $2 AND client_id = $3
                    AND ($4 IS NULL OR subject = $4) ORDER BY subject"
            ),
            authority.provider.as_str(),
            base_url(authority),
            client_id(authority),
            subject,
        )?;
        let pending = sql!(
            all,
            Link<PENDING_LOGINS>,
            &mut tx,
            concat!(
                "SELECT account_id, ",
                signed!(pending_logins),
                " FROM pending_logins WHERE provider = $1 AND base_url = $2 AND client_id = $3 AND user_id IS NULL
                 ORDER BY created_at"
            ),
            authority.provider.as_str(),
            base_url(authority),
            client_id(authority),
        )?;
        tx.commit().await?;
        let keyring = self.keyring();
        let mut found: Vec<AccountId> =
            known.into_iter().map(|link| link.account(keyring)).collect::<Result<_, _>>()?;
        if found.is_empty() && subject.is_none() {
            found = pending.into_iter().map(|link| link.account(keyring)).collect::<Result<_, _>>()?;
        }
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
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

row! {
    struct PendingRow {
        account_id: String,
        provider: String,
        base_url: String,
        client_id: String,
        flow: String,
        user_id: Option<String>,
        hint_email: Option<String>,
        created_at: i64,
    } with {
        seal: Seal<PENDING_LOGINS>,
    }
}

impl PendingRow {
    fn parse(self, keyring: &Keyring) -> Result<ParkedLogin, StoreError> {
        self.seal.expect(keyring, &self.account_id)?;
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
