//! Operator tokens: accounts of the daemon's operator at a forge.

use crate::id::{AccountId, ProviderId};
use crate::model::token::{BaseUrl, Identity, Jitter, RefreshReason, RefreshState, SavedTokens};

/// An account of the operator at a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorToken {
    /// The id of the account.
    pub account: AccountId,
    /// The kind of forge, such as `forgejo`.
    pub forge: ProviderId,
    /// The forge's address in its canonical spelling.
    pub base_url: BaseUrl,
    /// The OAuth client that obtained the token.
    pub client_id: Option<String>,
    /// The forge's own id of the person. Together with forge, address and client it identifies the account.
    pub subject: String,
    /// The person's name at the forge, which may change.
    pub login: String,
    /// The person's e-mail address.
    pub email: Option<String>,
    /// True if this account is the active one.
    pub active: bool,
    /// Time when the token in use expires, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// The state of its refresh.
    pub state: RefreshState,
    /// The reason for the state, or for the failure of the last attempt.
    pub reason: Option<RefreshReason>,
    /// Time when the account was created, in unix milliseconds.
    pub created_at: i64,
    /// Time of the last login to the account, in unix milliseconds.
    pub updated_at: i64,
}

/// The active forge account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveForge {
    /// The id of the account.
    pub account: AccountId,
    /// The kind of forge, such as `forgejo`.
    pub forge: ProviderId,
    /// The person's name at the forge.
    pub login: String,
    /// The forge's address.
    pub base_url: BaseUrl,
    /// Time since when the account has been active, in unix milliseconds.
    pub since: i64,
}

/// The end of a parked login whose owner became known.
#[derive(Debug)]
pub enum Promotion {
    /// Its tokens are those of the owner's account now.
    Completed(SavedTokens),
    /// The owner has signed in again since. The parked login was deleted, and the account's own tokens stay.
    Superseded(AccountId),
}

/// The owner of a forge login, and how to commit it.
#[derive(Debug, Clone)]
pub struct CommitOperator {
    /// The identity of the owner; the subject and the login are required.
    pub identity: Identity,
    /// True to make the account the active one, in the same transaction. A parked login does not replace an account that
    /// was made the active one after it was parked.
    pub activate: bool,
    /// The random share of the time until the first refresh.
    pub jitter: Jitter,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}
