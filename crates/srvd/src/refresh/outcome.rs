//! Conversion of an issuer's response for the store, and of the store's answer for the caller. It performs no I/O.

use std::time::Duration;

use identity_store::{
    CompletedRefresh, FailedRefresh, Jitter, RefreshFailure, RefreshLease, RefreshReason, RefreshStart,
};

use crate::forge::oauth::http::HttpFailure;
use crate::forge::oauth::{Failure, PermanentFailure, TransientFailure};

/// The result of a refresh. The tokens are in the store, where every caller reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The tokens were good enough, and no issuer was contacted.
    Unneeded,
    /// There are new tokens, from this refresh or from another one.
    Renewed,
    /// Another daemon is refreshing. The current tokens may still be usable.
    Busy {
        /// The end of the other daemon's lease, in Unix milliseconds.
        until: i64,
    },
    /// The refresh failed for a temporary reason.
    Later {
        /// The reason, if known.
        reason: Option<RefreshReason>,
        /// The time of the next attempt, in Unix milliseconds.
        at: i64,
    },
    /// The refresh cannot succeed until the user signs in again.
    Stuck(RefreshReason),
    /// No endpoint is known for refreshing this authority's tokens.
    Unsupported,
    /// The account was deleted, or its grant was revoked.
    Gone,
    /// The store could not be read or written, or the daemon is shutting down.
    Unavailable,
    /// The refresh takes longer than the caller can wait. It continues in the background.
    TooLong,
}

impl Outcome {
    /// Returns a word for the outcome, without its details.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Unneeded => "unneeded",
            Self::Renewed => "renewed",
            Self::Busy { .. } => "busy",
            Self::Later { .. } => "later",
            Self::Stuck(_) => "stuck",
            Self::Unsupported => "unsupported",
            Self::Gone => "gone",
            Self::Unavailable => "unavailable",
            Self::TooLong => "too_long",
        }
    }
}

/// The next step after the store has answered.
#[derive(Debug)]
pub(super) enum Step {
    /// The issuer must be contacted once.
    Ask(RefreshLease),
    /// Nothing is left to do.
    Done(Outcome),
}

/// Converts the answer to the request for a lease.
pub(super) fn begun(begun: RefreshStart) -> Step {
    Step::Done(match begun {
        RefreshStart::Lease(lease) => return Step::Ask(lease),
        RefreshStart::Fresh(_) => Outcome::Unneeded,
        RefreshStart::Busy { until, .. } => Outcome::Busy { until },
        RefreshStart::Waiting { until, tokens } => Outcome::Later { reason: tokens.reason, at: until },
        RefreshStart::Stuck { reason, .. } => Outcome::Stuck(reason),
    })
}

/// Converts the answer to committing new tokens.
pub(super) fn completed(completed: &CompletedRefresh) -> Outcome {
    match completed {
        CompletedRefresh::Committed(_) | CompletedRefresh::Adopted(_) => Outcome::Renewed,
        CompletedRefresh::Gone => Outcome::Gone,
    }
}

/// Converts the answer to recording a failure at `now`.
pub(super) fn failed(failed: &FailedRefresh, now: i64) -> Outcome {
    match failed {
        FailedRefresh::Adopted(_) => Outcome::Renewed,
        FailedRefresh::RetryAt { at, tokens } => Outcome::Later { reason: tokens.reason, at: *at },
        FailedRefresh::NeedsReauth { reason, .. } => Outcome::Stuck(*reason),
        // The process that took over is refreshing right now. The store knows when its lease ends.
        FailedRefresh::Superseded => Outcome::Busy { until: now },
        FailedRefresh::Gone => Outcome::Gone,
    }
}

/// Converts an issuer's failure for the store. If the configuration is wrong, the tokens stay, because the operator can
/// fix it.
pub(super) fn failure(failure: &Failure, jitter: Jitter) -> RefreshFailure {
    let transient = |reason, retry_after: Option<Duration>| RefreshFailure::Transient {
        reason,
        retry_after: retry_after.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)),
        jitter,
    };
    match failure {
        Failure::Permanent(dead) => RefreshFailure::Permanent {
            reason: match dead {
                PermanentFailure::Reused => RefreshReason::TokenReused,
                PermanentFailure::Expired => RefreshReason::TokenExpired,
                PermanentFailure::InvalidGrant | PermanentFailure::Denied => RefreshReason::InvalidGrant,
            },
        },
        Failure::Transient { reason, retry_after } => transient(trouble(reason), *retry_after),
        Failure::Misconfigured(_) | Failure::Forbidden(_) => transient(RefreshReason::InvalidClient, None),
    }
}

/// The failure for a response that cannot be stored.
pub(super) fn malformed(jitter: Jitter) -> RefreshFailure {
    RefreshFailure::Transient { reason: RefreshReason::Malformed, retry_after: None, jitter }
}

fn trouble(trouble: &TransientFailure) -> RefreshReason {
    match trouble {
        TransientFailure::Http(HttpFailure::TimedOut) => RefreshReason::Timeout,
        TransientFailure::Http(HttpFailure::Unreachable(_)) => RefreshReason::Network,
        TransientFailure::Http(HttpFailure::Unavailable { status: 429, .. }) => RefreshReason::RateLimited,
        TransientFailure::Http(HttpFailure::Unavailable { .. }) => RefreshReason::Server,
        TransientFailure::Http(HttpFailure::Insecure) => RefreshReason::InvalidClient,
        TransientFailure::Answered(code)
            if matches!(code.as_str(), "temporarily_unavailable" | "server_error") =>
        {
            RefreshReason::Server
        }
        TransientFailure::Http(HttpFailure::TooLong | HttpFailure::Malformed(_))
        | TransientFailure::Answered(_)
        | TransientFailure::NotAGrant => RefreshReason::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::oauth::failure::Misconfigured;
    use crate::forge::oauth::failure::classify;

    /// The error responses of a token endpoint.
    #[test]
    fn refresh_failure_is_classified_as_permanent_or_transient() {
        let check = |given: Failure, expect: RefreshFailure| {
            assert_eq!(failure(&given, Jitter::NONE), expect, "{given:?}");
        };
        let transient =
            |reason, retry_after| RefreshFailure::Transient { reason, retry_after, jitter: Jitter::NONE };
        let permanent = |reason| RefreshFailure::Permanent { reason };
        check(classify("invalid_grant", ""), permanent(RefreshReason::InvalidGrant));
        check(classify("bad_refresh_token", ""), permanent(RefreshReason::InvalidGrant));
        let used = classify("unauthorized_client", "token was already used");
        check(used, permanent(RefreshReason::TokenReused));
        check(classify("token_expired", ""), permanent(RefreshReason::TokenExpired));
        check(classify("access_denied", ""), permanent(RefreshReason::InvalidGrant));
        check(classify("invalid_client", ""), transient(RefreshReason::InvalidClient, None));
        check(classify("server_error", ""), transient(RefreshReason::Server, None));
        check(classify("odd", ""), transient(RefreshReason::Malformed, None));
        check(Failure::Misconfigured(Misconfigured::Insecure), transient(RefreshReason::InvalidClient, None));
        let http = |failure: HttpFailure| Failure::from(failure);
        let busy = HttpFailure::Unavailable { status: 429, retry_after: Some(Duration::from_mins(2)) };
        check(http(busy), transient(RefreshReason::RateLimited, Some(120_000)));
        let down = HttpFailure::Unavailable { status: 500, retry_after: None };
        check(http(down), transient(RefreshReason::Server, None));
        check(http(HttpFailure::TimedOut), transient(RefreshReason::Timeout, None));
        check(http(HttpFailure::TooLong), transient(RefreshReason::Malformed, None));
        check(http(HttpFailure::Malformed(200)), transient(RefreshReason::Malformed, None));
        let refused = HttpFailure::Unreachable("connection refused".to_owned());
        check(http(refused), transient(RefreshReason::Network, None));
    }
}
