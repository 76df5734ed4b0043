//! A login that is not kept yet.

use super::authority::{Authority, Endpoint};
use super::schedule::Jitter;
use super::set::{Consumer, Received, TokenSet};
use crate::id::FlowId;
use crate::{AccountId, StoreError, UserId, names};

/// The tokens of a login that stand nowhere yet.
///
/// There are three ways on, and each takes the value: it is committed with the person it belongs to
/// ([`crate::Store::commit_operator`], [`crate::Store::commit_profile`]), parked while nobody can say who that is
/// ([`crate::Store::park`]), or discarded, which gives back what has to be revoked.
#[derive(Debug)]
#[must_use = "tokens that are neither committed nor parked nor revoked stay good and belong to nobody"]
pub struct UnsavedLogin {
    pub(crate) authority: Authority,
    pub(crate) endpoint: Endpoint,
    pub(crate) flow: FlowId,
    pub(crate) tokens: TokenSet,
}

/// A login that could not be kept. It is given back, so that it can be tried again or revoked.
#[derive(Debug, thiserror::Error)]
#[error("the login could not be kept")]
pub struct Unsaved {
    /// Why.
    #[source]
    pub error: StoreError,
    /// The login.
    pub login: Box<UnsavedLogin>,
}

impl UnsavedLogin {
    /// What a flow received. `flow` tells apart the logins that may be under way at one authority: one user's from
    /// another's.
    pub fn new(
        authority: Authority,
        endpoint: Endpoint,
        flow: FlowId,
        received: Received,
        consumer: Consumer,
    ) -> Result<Self, StoreError> {
        received.check()?;
        names::optional("client_id", authority.client_id.as_deref())?;
        names::optional("issuer", endpoint.issuer.as_deref())?;
        names::optional("token_url", endpoint.token_url.as_deref())?;
        names::text("token_auth_method", &endpoint.auth_method)?;
        Ok(Self { authority, endpoint, flow, tokens: TokenSet::login(received, consumer) })
    }

    /// Who issued the tokens.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The tokens, to ask the provider whom they belong to.
    pub fn tokens(&self) -> &TokenSet {
        &self.tokens
    }

    /// Gives up; the tokens shall be revoked where that is possible.
    pub fn discard(self) -> TokenSet {
        self.tokens
    }
}

/// A login that is kept.
#[derive(Debug)]
pub struct Kept {
    /// The account.
    pub account: AccountId,
    /// Whether the account was made by this call.
    pub created: bool,
    /// The tokens that the login replaced, to be revoked where that does not harm the new ones.
    pub replaced: Option<Box<TokenSet>>,
}

/// A login whose person is not known and that shall be kept all the same.
#[derive(Debug, Clone)]
pub struct Park {
    /// The user it is for; `None` for the operator.
    pub user: Option<UserId>,
    /// The address that was typed before the login.
    pub hint_email: Option<String>,
    /// A share of the time until the first refresh.
    pub jitter: Jitter,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// A login whose person is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its account, whose tokens are refreshed like any other's.
    pub account: AccountId,
    /// Who issued the tokens.
    pub authority: Authority,
    /// The flow that it came from.
    pub flow: FlowId,
    /// The user it is for; `None` for the operator.
    pub user: Option<UserId>,
    /// The address that was typed before the login.
    pub hint_email: Option<String>,
    /// When it was parked, in unix milliseconds.
    pub created_at: i64,
}
