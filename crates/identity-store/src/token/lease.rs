//! One refresh: who may ask the issuer, what came of it, and what that meant.

use secrecy::SecretString;

use super::authority::Identity;
use super::schedule::Jitter;
use super::set::Received;
use super::state::{RefreshReason, StoredTokens};
use crate::AccountId;

/// Why a refresh is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshWhy {
    /// The queue says so: only a set within its lead is refreshed.
    Due,
    /// Somebody needs the token this many milliseconds long.
    Use {
        /// The least life that will do, in milliseconds.
        min_ttl: i64,
    },
    /// The set of this generation has to be replaced whatever its expiry says, because the service refused it or a
    /// person asked.
    Forced {
        /// The generation that is not good enough; a newer one is.
        generation: u64,
    },
}

/// A request to refresh one account.
#[derive(Debug, Clone)]
pub struct RefreshRequest {
    /// The account.
    pub account: AccountId,
    /// Who asks: one name a process, different in each.
    pub holder: String,
    /// Why.
    pub why: RefreshWhy,
    /// How long the asker has for the issuer's answer and the commit, in milliseconds.
    pub lease: i64,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// What a request to refresh came to.
#[derive(Debug)]
pub enum Begun {
    /// The issuer has to be asked, by this caller and nobody else.
    Lease(RefreshLease),
    /// The set is good enough; another caller may have refreshed it meanwhile.
    Fresh(Box<StoredTokens>),
    /// Another caller is asking.
    Busy {
        /// When its lease is over, in unix milliseconds.
        until: i64,
        /// The set as it is, which may still be good.
        tokens: Box<StoredTokens>,
    },
    /// The last attempt failed a moment ago.
    Waiting {
        /// When the next attempt may be made, in unix milliseconds.
        until: i64,
        /// The set as it is, which may still be good.
        tokens: Box<StoredTokens>,
    },
    /// Asking the issuer cannot help.
    Stuck {
        /// Why.
        reason: RefreshReason,
        /// The set as it is, which may still be good.
        tokens: Box<StoredTokens>,
    },
}

/// The right to ask the issuer once for new tokens of one account. The row says `refreshing` until it is used up.
#[derive(Debug)]
#[must_use = "a lease that is neither completed nor failed holds the account until it runs out"]
pub struct RefreshLease {
    pub(crate) stored: Box<StoredTokens>,
    pub(crate) fence: i64,
    pub(crate) until: i64,
}

impl RefreshLease {
    /// The set that shall be refreshed, with the endpoint to ask.
    pub fn stored(&self) -> &StoredTokens {
        &self.stored
    }

    /// The refresh token to send.
    pub fn refresh_token(&self) -> Option<&SecretString> {
        self.stored.tokens.refresh.as_ref().map(|token| &token.secret)
    }

    /// When another caller may take over, in unix milliseconds.
    pub fn until(&self) -> i64 {
        self.until
    }

    /// The issuer has answered with tokens. `identity` is whom it says they belong to, if it says so.
    pub fn answered(self, received: Received, identity: Option<Identity>) -> Refreshed {
        Refreshed { lease: self, received, identity }
    }
}

/// An issuer's answer that is not kept yet. [`crate::Store::complete_refresh`] may be called again after a failure: what
/// is kept already is not kept twice.
#[derive(Debug)]
#[must_use = "the old refresh token may be used up, so what is not kept is lost"]
pub struct Refreshed {
    pub(crate) lease: RefreshLease,
    pub(crate) received: Received,
    pub(crate) identity: Option<Identity>,
}

impl Refreshed {
    /// Gives up on the answer, so that the lease can be failed.
    pub fn into_lease(self) -> RefreshLease {
        self.lease
    }
}

/// What became of an issuer's answer.
#[derive(Debug)]
pub enum Completed {
    /// It is kept.
    Committed(Box<StoredTokens>),
    /// The set was replaced meanwhile; this is what it is.
    Adopted(Box<StoredTokens>),
    /// The account is gone, or its grant was given up.
    Gone,
}

/// Why the issuer gave no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshFailure {
    /// It may work later; everything stays as it is.
    Transient {
        /// Why.
        reason: RefreshReason,
        /// The wait that the issuer asked for, in milliseconds.
        retry_after: Option<i64>,
        /// A share of the wait.
        jitter: Jitter,
    },
    /// It will never work with this refresh token.
    Permanent {
        /// Why.
        reason: RefreshReason,
    },
}

/// What became of a failure.
#[derive(Debug)]
pub enum Failed {
    /// The set was replaced meanwhile; this is what it is, and the failure means nothing.
    Adopted(Box<StoredTokens>),
    /// There will be another attempt.
    RetryAt {
        /// When, in unix milliseconds.
        at: i64,
        /// The set as it is, which may still be good.
        tokens: Box<StoredTokens>,
    },
    /// Only a new login by a person helps.
    NeedsReauth {
        /// Why.
        reason: RefreshReason,
        /// The set as it is, which may still be good.
        tokens: Box<StoredTokens>,
    },
    /// Another caller has taken over since the lease ran out; its attempt counts.
    Superseded,
    /// The account is gone, or its grant was given up.
    Gone,
}
