//! A login that is not kept yet.

use super::authority::{Authority, Endpoint};
use super::set::{Consumer, Received, TokenSet};
use crate::id::FlowId;
use crate::{AccountId, Owner, StoreError};

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

/// A login whose person is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its account, whose tokens are refreshed like any other's.
    pub account: AccountId,
    /// Who issued the tokens.
    pub authority: Authority,
    /// The flow that it came from.
    pub flow: FlowId,
    /// Who holds it.
    pub owner: Owner,
    /// The address that was typed before the login.
    pub hint_email: Option<String>,
    /// When it was parked, in unix milliseconds.
    pub created_at: i64,
}
