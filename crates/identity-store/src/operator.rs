//! Operator tokens: accounts that the daemon's operator holds for a forge.

use crate::{AccountId, BaseUrl, Identity, Jitter, ProviderId, RefreshReason, RefreshState};

/// An account that the operator holds for a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorToken {
    /// The account.
    pub account: AccountId,
    /// The kind of forge, such as `forgejo`.
    pub forge: ProviderId,
    /// The forge's address in its one spelling.
    pub base_url: BaseUrl,
    /// The OAuth client.
    pub client_id: Option<String>,
    /// The forge's own id of the person; with forge, address and client it tells the accounts apart.
    pub subject: String,
    /// The person's name at the forge, which may change.
    pub login: String,
    /// The person's e-mail address.
    pub email: Option<String>,
    /// Whether it is the one in use.
    pub active: bool,
    /// When the token in use runs out, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// Where its refresh stands.
    pub state: RefreshState,
    /// Why, or why the last attempt failed.
    pub reason: Option<RefreshReason>,
    /// When it was made, in unix milliseconds.
    pub created_at: i64,
    /// When somebody last logged in to it, in unix milliseconds.
    pub updated_at: i64,
}

/// The forge account in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveForge {
    /// The account.
    pub account: AccountId,
    /// The kind of forge.
    pub forge: ProviderId,
    /// The person's name at the forge.
    pub login: String,
    /// The forge's address.
    pub base_url: BaseUrl,
    /// Since when it is in use, in unix milliseconds.
    pub since: i64,
}

/// Whose forge login it is.
#[derive(Debug, Clone)]
pub struct CommitOperator {
    /// Whom it belongs to; the subject and the login are needed.
    pub identity: Identity,
    /// Whether it becomes the one in use, in the same transaction.
    pub activate: bool,
    /// A share of the time until the first refresh.
    pub jitter: Jitter,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}
