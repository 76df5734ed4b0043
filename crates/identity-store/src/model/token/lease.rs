//! One refresh: the decision who may ask the issuer, the issuer's answer, and its result.

use secrecy::SecretString;

use super::authority::{Authority, Identity};
use super::schedule::Jitter;
use super::set::ReceivedTokens;
use super::state::{RefreshReason, RefreshState, StoredTokens};
use crate::id::AccountId;

/// The reason for a request to refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshWhy {
    /// The account is due in the queue. A set is refreshed only when its expiry is near.
    Due,
    /// A caller needs the token for a certain time.
    Use {
        /// The minimum remaining life, in milliseconds.
        min_ttl: i64,
    },
    /// The set of this generation has to be replaced regardless of its expiry, because the service refused it or a
    /// person asked.
    Forced {
        /// The generation to replace. A newer one is accepted.
        generation: u64,
    },
}

/// A request to refresh one account.
#[derive(Debug, Clone)]
pub struct RefreshRequest {
    /// The account.
    pub account: AccountId,
    /// The process that asks; each process has a different name.
    pub holder: String,
    /// The reason for the request.
    pub why: RefreshWhy,
    /// The longest time for the issuer's answer and the commit, in milliseconds.
    pub lease: i64,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// The result of a request to refresh.
#[derive(Debug)]
pub enum RefreshStart {
    /// The caller has to ask the issuer, and is the only one to do so.
    Lease(RefreshLease),
    /// The set is good enough. Another caller may have refreshed it in the meantime.
    Fresh(Box<StoredTokens>),
    /// Another caller is asking the issuer.
    Busy {
        /// Time when the other caller's lease ends, in unix milliseconds.
        until: i64,
        /// The stored set, which may still be valid.
        tokens: Box<StoredTokens>,
    },
    /// The last attempt failed a short time ago.
    Waiting {
        /// Earliest time of the next attempt, in unix milliseconds.
        until: i64,
        /// The stored set, which may still be valid.
        tokens: Box<StoredTokens>,
    },
    /// A request to the issuer cannot help.
    Stuck {
        /// The reason why it cannot help.
        reason: RefreshReason,
        /// The stored set, which may still be valid.
        tokens: Box<StoredTokens>,
    },
}

/// The right to ask the issuer once for new tokens of one account. The row says `refreshing` until the lease is
/// completed or failed.
#[derive(Debug)]
#[must_use = "a lease that is neither completed nor failed holds the account until it runs out"]
pub struct RefreshLease {
    pub(crate) stored: Box<StoredTokens>,
    pub(crate) fence: i64,
    pub(crate) until: i64,
}

impl RefreshLease {
    /// Returns the set to refresh, with the endpoint to ask.
    pub fn stored(&self) -> &StoredTokens {
        &self.stored
    }

    /// Returns the refresh token to send.
    pub fn refresh_token(&self) -> Option<&SecretString> {
        self.stored.tokens.refresh.as_ref().map(|token| &token.secret)
    }

    /// Returns the time when another caller may take over, in unix milliseconds.
    pub fn until(&self) -> i64 {
        self.until
    }

    /// Records that the issuer has answered with tokens. `identity` is the person they belong to, if the issuer names
    /// one.
    pub fn answered(self, received: ReceivedTokens, identity: Option<Identity>) -> RefreshResponse {
        RefreshResponse { lease: self, received, identity }
    }
}

/// An issuer's answer that is not saved yet. [`crate::Store::complete_refresh`] may be called again after a failure; an
/// answer is never saved twice.
#[derive(Debug)]
#[must_use = "the old refresh token may be used up, so tokens that are not saved are lost"]
pub struct RefreshResponse {
    pub(crate) lease: RefreshLease,
    pub(crate) received: ReceivedTokens,
    pub(crate) identity: Option<Identity>,
}

impl RefreshResponse {
    /// Discards the answer, so that the lease can be failed.
    pub fn into_lease(self) -> RefreshLease {
        self.lease
    }
}

/// The result of saving an issuer's answer.
#[derive(Debug)]
pub enum CompletedRefresh {
    /// The answer was saved.
    Committed(Box<StoredTokens>),
    /// The set was replaced in the meantime; this is the current set.
    Adopted(Box<StoredTokens>),
    /// The account was deleted, or its grant was given up.
    Gone,
}

/// The reason why the issuer returned no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshFailure {
    /// A later attempt may succeed. Everything stays unchanged.
    Transient {
        /// The reason for the failure.
        reason: RefreshReason,
        /// The wait that the issuer asked for, in milliseconds.
        retry_after: Option<i64>,
        /// The random share of the wait.
        jitter: Jitter,
    },
    /// No attempt with this refresh token can succeed.
    Permanent {
        /// The reason for the failure.
        reason: RefreshReason,
    },
}

/// The result of recording a failure.
#[derive(Debug)]
pub enum FailedRefresh {
    /// The set was replaced in the meantime; this is the current set. The failure is ignored.
    Adopted(Box<StoredTokens>),
    /// The refresh will be retried.
    RetryAt {
        /// Time of the next attempt, in unix milliseconds.
        at: i64,
        /// The stored set, which may still be valid.
        tokens: Box<StoredTokens>,
    },
    /// Only a new login by a person helps.
    NeedsReauth {
        /// The reason for the failure.
        reason: RefreshReason,
        /// The stored set, which may still be valid.
        tokens: Box<StoredTokens>,
    },
    /// Another caller took over after the lease expired. The result of its attempt counts.
    Superseded,
    /// The account was deleted, or its grant was given up.
    Gone,
}

/// An account that is due in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRefresh {
    /// The account.
    pub account: AccountId,
    /// The issuer of its tokens, so that requests to one authority can be limited.
    pub authority: Authority,
    /// Time when the account became due, in unix milliseconds.
    pub at: i64,
}

/// The columns of a row about attempts to refresh it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseColumns {
    /// Time until which a caller may be asking the issuer, in unix milliseconds.
    pub(crate) lease_until: Option<i64>,
    /// The number of interrupted attempts since the last success.
    pub(crate) cut_off: i64,
    /// True if the refresh token is known to be refused.
    pub(crate) dead: bool,
}

/// The decision about a request to refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshDecision {
    /// The caller may ask the issuer.
    Take {
        /// True if the caller takes over from an attempt that was interrupted.
        cut_off: bool,
    },
    /// A request to the issuer cannot help, which is not recorded in the row yet.
    Lost(RefreshReason),
    /// The caller may not ask, or need not ask.
    No(NoRefresh),
}

/// The reason why a caller may not ask the issuer, or need not ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRefresh {
    /// The set is good enough.
    Fresh,
    /// Another caller is asking until this time, in unix milliseconds.
    Busy(i64),
    /// No attempt is allowed before this time, in unix milliseconds.
    Waiting(i64),
    /// A request to the issuer cannot help.
    Stuck(RefreshReason),
}

/// Decides a request to refresh.
pub(crate) fn verdict(
    stored: &StoredTokens,
    flight: LeaseColumns,
    why: RefreshWhy,
    now: i64,
) -> RefreshDecision {
    let wanted = match why {
        RefreshWhy::Due => stored.next_refresh_at.is_some_and(|at| at <= now),
        RefreshWhy::Use { min_ttl } => stored.tokens.expiry().is_over(now, min_ttl.max(0)),
        RefreshWhy::Forced { generation } => stored.generation <= generation,
    };
    if !wanted {
        return RefreshDecision::No(NoRefresh::Fresh);
    }
    let stuck = |reason| RefreshDecision::No(NoRefresh::Stuck(reason));
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
        return RefreshDecision::No(NoRefresh::Busy(until));
    }
    if flight.dead {
        return RefreshDecision::Lost(RefreshReason::InvalidGrant);
    }
    if refreshing && flight.cut_off > 0 {
        return RefreshDecision::Lost(RefreshReason::CrashedRotation);
    }
    if refresh.expiry.known().is_some_and(|at| at <= now) {
        return RefreshDecision::Lost(RefreshReason::TokenExpired);
    }
    match stored.next_attempt_at {
        Some(until) if until > now && !refreshing => RefreshDecision::No(NoRefresh::Waiting(until)),
        _ => RefreshDecision::Take { cut_off: refreshing },
    }
}
