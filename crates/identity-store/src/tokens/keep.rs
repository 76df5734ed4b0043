//! Storage of the tokens of a login, in a new account or in the account that the same person had before.

use super::row::{open_in, row_in};
use super::set::{Plan, deadline, next_refresh, write_set, write_status};
use crate::accounts::delete::delete_row;
use crate::accounts::links;
use crate::accounts::secrets::new_account;
use crate::authentic::{self, ACCOUNTS, Link, PENDING_LOGINS, census, fields_in};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::{AccountId, FlowId};
use crate::model::account::{AccountKind, Evidence, Owner, Status, status_at};
use crate::model::token::{
    Authority, BaseUrl, Endpoint, Identity, Jitter, RefreshReason, RefreshState, SavedTokens, StoredTokens,
    TokenSet, UnsavedLogin,
};
use crate::names;
use crate::store::Store;
use crate::store::work::Work;

/// The secret reference of an account with tokens, as it is stored. A test pins its words.
pub(crate) const TOKENS: &str = r#"{"backend":"tokens"}"#;

/// Tokens to put into an account: those of a login, or those that were parked.
pub(crate) struct NewTokens<'a> {
    pub(crate) authority: &'a Authority,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) flow: &'a FlowId,
    pub(crate) tokens: &'a TokenSet,
    /// The account that the tokens are parked in, and the state of its refresh.
    pub(crate) parked: Option<(&'a AccountId, RefreshState)>,
}

/// The future owner of the tokens.
pub(crate) struct TokenOwner<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) owner: Owner,
    pub(crate) jitter: Jitter,
}

impl<'a> From<&'a UnsavedLogin> for NewTokens<'a> {
    fn from(login: &'a UnsavedLogin) -> Self {
        let UnsavedLogin { authority, endpoint, flow, tokens } = login;
        Self { authority, endpoint, flow, tokens, parked: None }
    }
}

/// A parked login that was read for its promotion.
pub(crate) struct Parked {
    stored: StoredTokens,
    flow: FlowId,
}

impl<'a> From<&'a Parked> for NewTokens<'a> {
    fn from(Parked { stored, flow }: &'a Parked) -> Self {
        Self {
            authority: &stored.authority,
            endpoint: &stored.endpoint,
            flow,
            tokens: &stored.tokens,
            parked: Some((&stored.account, stored.state)),
        }
    }
}

impl Store {
    /// Stores tokens in `account`, replacing its tokens; or in the account that they are parked in, which is then no
    /// longer pending; or in a new account. The parked login of the same authority and flow is removed, and no other.
    pub(crate) async fn settle(
        &self,
        work: &mut Work,
        account: Option<AccountId>,
        arrival: &NewTokens<'_>,
        holder: &TokenOwner<'_>,
    ) -> Result<SavedTokens, StoreError> {
        match (account, arrival.parked) {
            (None, Some((parked, _))) => promote(work, parked, holder).await,
            // The answer to the refresh would have no owner after the tokens were moved.
            (Some(_), Some((parked, RefreshState::Refreshing))) => {
                Err(StoreError::conflict("pending login", parked, "it is being refreshed"))
            }
            (account, _) => {
                let kept = self.keep(work, account, arrival, holder).await?;
                if let Some(sibling) = parked(work, arrival.authority, arrival.flow).await? {
                    delete_row(work, &sibling).await?;
                }
                Ok(kept)
            }
        }
    }

    /// Stores tokens in an account, replacing its tokens, or in a new account.
    pub(crate) async fn keep(
        &self,
        work: &mut Work,
        account: Option<AccountId>,
        arrival: &NewTokens<'_>,
        holder: &TokenOwner<'_>,
    ) -> Result<SavedTokens, StoreError> {
        let created = account.is_none();
        let account = match account {
            Some(account) => account,
            None => insert(work, arrival.authority, holder).await?,
        };
        identify(work, &account, holder).await?;
        let before = row_in(&mut work.tx, &account).await?;
        let generation = before.as_ref().map_or(0, |row| row.generation) + 1;
        let refresh = arrival.tokens.refresh.as_ref();
        // A refresh token that was refused stays refused, even if a new login brings it again.
        let dead = before.as_ref().zip(refresh).is_some_and(|(row, token)| row.is_dead(&token.secret));
        let plan = Plan {
            state: if dead { RefreshState::NeedsReauth } else { RefreshState::Active },
            reason: dead.then_some(RefreshReason::InvalidGrant),
            failures: 0,
            next_attempt_at: None,
            next_refresh_at: if dead { None } else { next_refresh(arrival.tokens, holder.jitter) },
            last_refreshed_at: None,
        };
        let replaced = before.and_then(|row| row.open(self.keyring()).ok());
        let set = (arrival.tokens, arrival.endpoint);
        census::put(&mut work.tx, authentic::TOKENS, [account.as_str(), ""]).await?;
        write_set(work, self.keyring(), (&account, generation), set, &plan).await?;
        let deadline = deadline(arrival.tokens);
        let known = if dead { Status::NeedsReauth } else { Status::Valid };
        let status = status_at(known, arrival.tokens.expiry().at(), deadline, work.now);
        write_status(work, &account, (status, plan.reason, Evidence::Login), arrival.tokens).await?;
        links::announce(work, &account, true).await?;
        Ok(SavedTokens { account, created, replaced: replaced.map(|opened| Box::new(opened.stored.tokens)) })
    }

    /// Reads a parked login.
    pub(crate) async fn parked_login(
        &self,
        work: &mut Work,
        account: &AccountId,
    ) -> Result<Parked, StoreError> {
        let row = fields_in(&mut work.tx, PENDING_LOGINS, [account.as_str(), ""]).await?;
        let flow = row.get("flow").unwrap_or_default();
        let stored = open_in(&mut work.tx, self.keyring(), account).await?.stored;
        Ok(Parked { stored, flow: links::parse("pending login", flow)? })
    }
}

/// Returns the account that is parked for an authority and a flow.
pub(crate) async fn parked(
    work: &mut Work,
    authority: &Authority,
    flow: &FlowId,
) -> Result<Option<AccountId>, StoreError> {
    let row = sql!(
        optional,
        Link<PENDING_LOGINS>,
        &mut work.tx,
        concat!(
            "SELECT account_id, ",
            signed!(pending_logins),
            " FROM pending_logins WHERE provider = $1 AND base_url = $2 AND client_id = $3 AND flow = $4"
        ),
        authority.provider.as_str(),
        base_url(authority),
        client_id(authority),
        flow.as_str(),
    )?;
    row.map(|link| link.account(&work.tx.keyring)).transpose()
}

/// Returns a base URL as it is stored in a key; empty for the provider's own.
pub(crate) fn base_url(authority: &Authority) -> &str {
    authority.base_url.as_ref().map_or("", BaseUrl::as_str)
}

/// Returns a client as it is stored in a key; empty for the provider's own.
pub(crate) fn client_id(authority: &Authority) -> &str {
    authority.client_id.as_deref().unwrap_or_default()
}

/// Returns the identity with its texts checked. An empty text counts as none.
pub(crate) fn checked(identity: &Identity) -> Result<Identity, StoreError> {
    Ok(Identity {
        subject: names::optional("subject", identity.subject.as_deref())?,
        email: names::optional("email", identity.email.as_deref())?,
        login: identity.login.as_deref().map(|login| names::name("login", login)).transpose()?,
    })
}

/// Makes a person the owner of a parked account. Its tokens stay unchanged, even while they are being refreshed.
async fn promote(
    work: &mut Work,
    parked: &AccountId,
    holder: &TokenOwner<'_>,
) -> Result<SavedTokens, StoreError> {
    census::removed(&mut work.tx, PENDING_LOGINS, [parked.as_str(), ""]).await?;
    sql!(run, &mut work.tx, "DELETE FROM pending_logins WHERE account_id = $1", parked.as_str())?;
    let name = name(holder.identity).unwrap_or(parked.as_str());
    let code = fields_in(&mut work.tx, ACCOUNTS, [parked.as_str(), ""])
        .await?
        .with("name", name)
        .with("owner", holder.owner.as_str())
        .code(&work.tx);
    sql!(
        run,
        &mut work.tx,
        "UPDATE accounts SET name = $2, owner = $3, updated_at = $4, mac = $5 WHERE id = $1",
        parked.as_str(),
        name,
        holder.owner.as_str(),
        work.now,
        code,
    )?;
    identify(work, parked, holder).await?;
    links::announce(work, parked, true).await?;
    Ok(SavedTokens { account: parked.clone(), created: false, replaced: None })
}

/// Returns the name for a person's account.
fn name(identity: &Identity) -> Option<&str> {
    identity.login.as_deref().or(identity.email.as_deref()).or(identity.subject.as_deref())
}

async fn insert(
    work: &mut Work,
    authority: &Authority,
    holder: &TokenOwner<'_>,
) -> Result<AccountId, StoreError> {
    let id = AccountId::generate();
    let name = names::numbered(name(holder.identity).unwrap_or(authority.provider.as_str()), 1);
    let code = new_account(&id, &authority.provider, AccountKind::OAuth, holder.owner)
        .with("name", name.as_str())
        .with("base_url", authority.base_url.as_ref().map(BaseUrl::as_str))
        .with("client_id", authority.client_id.as_deref())
        .with("secret_ref", TOKENS)
        .with("generation", 0)
        .code(&work.tx);
    census::added(&mut work.tx, ACCOUNTS, [id.as_str(), ""]);
    sql!(
        run,
        &mut work.tx,
        "INSERT INTO accounts (id, provider, kind, owner, name, base_url, client_id, secret_ref, status, evidence,
             created_at, updated_at, mac)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12)",
        id.as_str(),
        authority.provider.as_str(),
        AccountKind::OAuth.as_str(),
        holder.owner.as_str(),
        name,
        authority.base_url.as_ref().map(BaseUrl::as_str),
        authority.client_id.as_deref(),
        TOKENS,
        Status::Unknown.as_str(),
        Evidence::None.as_str(),
        work.now,
        code,
    )?;
    Ok(id)
}

/// Writes the identity of the account's owner. Fields that the login does not report keep their values, because the
/// person is the same.
async fn identify(work: &mut Work, account: &AccountId, holder: &TokenOwner<'_>) -> Result<(), StoreError> {
    let identity = holder.identity;
    let code = fields_in(&mut work.tx, ACCOUNTS, [account.as_str(), ""])
        .await?
        .or_keep("subject", identity.subject.as_deref())
        .or_keep("email", identity.email.as_deref())
        .code(&work.tx);
    sql!(
        run,
        &mut work.tx,
        "UPDATE accounts SET subject = COALESCE($2, subject), email = COALESCE($3, email), mac = $4 WHERE id = $1",
        account.as_str(),
        identity.subject.as_deref(),
        identity.email.as_deref(),
        code,
    )?;
    Ok(())
}
