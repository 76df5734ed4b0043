//! A login that is not saved yet. It cannot be cloned, so it has one outcome: it is committed, parked or discarded.

use super::authority::{Authority, Endpoint};
use super::schedule::Jitter;
use super::set::{Consumer, ReceivedTokens, TokenSet};
use crate::error::StoreError;
use crate::id::{AccountId, FlowId, UserId};
use crate::names;

/// The tokens of a login that are not stored yet.
///
/// There are three ways to continue, and each consumes the value. A login is committed with the person it belongs to
/// ([`crate::Store::commit_operator`], [`crate::Store::commit_profile`]), parked while the person is unknown
/// ([`crate::Store::park`]), or discarded, which returns the tokens to revoke.
#[derive(Debug)]
#[must_use = "tokens that are neither committed, parked nor revoked stay valid and have no owner"]
pub struct UnsavedLogin {
    pub(crate) authority: Authority,
    pub(crate) endpoint: Endpoint,
    pub(crate) flow: FlowId,
    pub(crate) tokens: TokenSet,
}

/// A login that could not be saved. It is returned, so that the caller can retry or revoke it.
#[derive(Debug, thiserror::Error)]
#[error("the login could not be saved")]
pub struct LoginNotSaved {
    /// The reason why it could not be saved.
    #[source]
    pub error: StoreError,
    /// The login, unchanged.
    pub login: Box<UnsavedLogin>,
}

impl UnsavedLogin {
    /// Creates a login from the answer that a flow received. `flow` distinguishes the logins that may be in progress at
    /// one authority, such as those of different users.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if a token or a text is not valid.
    pub fn new(
        authority: Authority,
        endpoint: Endpoint,
        flow: FlowId,
        received: ReceivedTokens,
        consumer: Consumer,
    ) -> Result<Self, StoreError> {
        received.check()?;
        names::optional("client_id", authority.client_id.as_deref())?;
        names::optional("issuer", endpoint.issuer.as_deref())?;
        names::optional("token_url", endpoint.token_url.as_deref())?;
        names::text("token_auth_method", &endpoint.auth_method)?;
        Ok(Self { authority, endpoint, flow, tokens: TokenSet::login(received, consumer) })
    }

    /// Returns the issuer of the tokens.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns the tokens, for a request to the provider about the person they belong to.
    pub fn tokens(&self) -> &TokenSet {
        &self.tokens
    }

    /// Discards the login. The caller should revoke the returned tokens where possible.
    pub fn discard(self) -> TokenSet {
        self.tokens
    }
}

/// A login that was saved.
#[derive(Debug)]
pub struct SavedTokens {
    /// The account that holds the tokens.
    pub account: AccountId,
    /// True if this call created the account.
    pub created: bool,
    /// The tokens that the login replaced. The caller should revoke them where that does not harm the new ones.
    pub replaced: Option<Box<TokenSet>>,
}

/// The parameters for parking a login whose person is not known.
#[derive(Debug, Clone)]
pub struct ParkLogin {
    /// The user that the login is for; `None` for the operator.
    pub user: Option<UserId>,
    /// The e-mail address that was typed before the login.
    pub hint_email: Option<String>,
    /// The random share of the time until the first refresh.
    pub jitter: Jitter,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// A parked login, whose person is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedLogin {
    /// The account of the login. Its tokens are refreshed like those of other accounts.
    pub account: AccountId,
    /// The issuer of the tokens.
    pub authority: Authority,
    /// The flow that obtained the login.
    pub flow: FlowId,
    /// The user that the login is for; `None` for the operator.
    pub user: Option<UserId>,
    /// The e-mail address that was typed before the login.
    pub hint_email: Option<String>,
    /// Time when the login was parked, in unix milliseconds.
    pub created_at: i64,
}
