//! One refresh: who may ask the issuer, what came of it, and what that meant.

use secrecy::SecretString;

use super::authority::{Authority, Identity};
use super::schedule::Jitter;
use super::set::Received;
use super::state::{RefreshReason, RefreshState, StoredTokens};
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

/// An account whose turn in the queue has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The account.
    pub account: AccountId,
    /// Who issued its tokens, so that one authority is not asked too often at a time.
    pub authority: Authority,
    /// When its turn came, in unix milliseconds.
    pub at: i64,
}

/// What a row says about attempts to refresh it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flight {
    /// Until when somebody may be asking, in unix milliseconds.
    pub(crate) lease_until: Option<i64>,
    /// How many attempts since the last success were cut off.
    pub(crate) cut_off: i64,
    /// Whether the refresh token is known to be refused.
    pub(crate) dead: bool,
}

/// What a request to refresh comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The caller may ask.
    Take {
        /// Whether it takes over from an attempt that was cut off.
        cut_off: bool,
    },
    /// Asking cannot help, which the row does not say yet.
    Lost(RefreshReason),
    /// The caller may not ask, or need not.
    No(Answer),
}

/// Why a caller may not ask the issuer, or need not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The set is good enough.
    Fresh,
    /// Another caller is asking until then.
    Busy(i64),
    /// No attempt before then.
    Waiting(i64),
    /// Asking cannot help.
    Stuck(RefreshReason),
}

/// Decides a request to refresh.
pub(crate) fn verdict(stored: &StoredTokens, flight: Flight, why: RefreshWhy, now: i64) -> Verdict {
    let wanted = match why {
        RefreshWhy::Due => stored.next_refresh_at.is_some_and(|at| at <= now),
        RefreshWhy::Use { min_ttl } => stored.tokens.expiry().is_over(now, min_ttl.max(0)),
        RefreshWhy::Forced { generation } => stored.generation <= generation,
    };
    if !wanted {
        return Verdict::No(Answer::Fresh);
    }
    let stuck = |reason| Verdict::No(Answer::Stuck(reason));
    match stored.state {
        RefreshState::Revoked => return stuck(RefreshReason::GivenUp),
        RefreshState::NeedsReauth => return stuck(stored.reason.unwrap_or(RefreshReason::InvalidGrant)),
        RefreshState::Active | RefreshState::Refreshing => {}
    }
    if stored.unreadable {
        return stuck(RefreshReason::Unreadable);
    }
    let Some(refresh) = &stored.tokens.refresh else { return stuck(RefreshReason::NoRefreshToken) };
    let refreshing = stored.state == RefreshState::Refreshing;
    if let Some(until) = flight.lease_until.filter(|until| refreshing && *until > now) {
        return Verdict::No(Answer::Busy(until));
    }
    if flight.dead {
        return Verdict::Lost(RefreshReason::InvalidGrant);
    }
    if refreshing && flight.cut_off > 0 {
        return Verdict::Lost(RefreshReason::CrashedRotation);
    }
    if refresh.expiry.known().is_some_and(|at| at <= now) {
        return Verdict::Lost(RefreshReason::TokenExpired);
    }
    match stored.next_attempt_at {
        Some(until) if until > now && !refreshing => Verdict::No(Answer::Waiting(until)),
        _ => Verdict::Take { cut_off: refreshing },
    }
}
