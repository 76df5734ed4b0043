//! What an issuer's answer means to the store, and what the store's answer means to whoever needs the token. Pure.

use std::time::Duration;

use identity_store::{Begun, Completed, Failed, Jitter, RefreshFailure, RefreshLease, RefreshReason};

use crate::oauth::http::HttpFailure;
use crate::oauth::{Dead, Failure, Trouble};

/// What became of a refresh. The tokens are in the store, for everybody to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The set was good enough; nobody was asked.
    Unneeded,
    /// There is a new set, from this refresh or from another one.
    Renewed,
    /// Another daemon is asking until then, in unix milliseconds. The set as it is may still be good.
    Busy {
        /// When its lease is over.
        until: i64,
    },
    /// It did not work, for a reason that passes.
    Later {
        /// Why, where that is known.
        reason: Option<RefreshReason>,
        /// When it is tried again, in unix milliseconds.
        at: i64,
    },
    /// It cannot work without a person.
    Stuck(RefreshReason),
    /// Nothing says where the tokens of this authority are refreshed.
    Unsupported,
    /// The account is gone, or its grant was given up.
    Gone,
    /// The store could not be read or written, or the daemon is ending.
    Unavailable,
    /// It takes longer than the caller can wait; it goes on.
    TooLong,
}

/// What to do after the store has answered.
#[derive(Debug)]
pub(super) enum Step {
    /// Ask the issuer, once.
    Ask(RefreshLease),
    /// Nothing.
    Done(Outcome),
}

/// After the request for a lease.
pub(super) fn begun(begun: Begun) -> Step {
    Step::Done(match begun {
        Begun::Lease(lease) => return Step::Ask(lease),
        Begun::Fresh(_) => Outcome::Unneeded,
        Begun::Busy { until, .. } => Outcome::Busy { until },
        Begun::Waiting { until, tokens } => Outcome::Later { reason: tokens.reason, at: until },
        Begun::Stuck { reason, .. } => Outcome::Stuck(reason),
    })
}

/// After new tokens were kept.
pub(super) fn completed(completed: &Completed) -> Outcome {
    match completed {
        Completed::Committed(_) | Completed::Adopted(_) => Outcome::Renewed,
        Completed::Gone => Outcome::Gone,
    }
}

/// After a failure was written down at `now`.
pub(super) fn failed(failed: &Failed, now: i64) -> Outcome {
    match failed {
        Failed::Adopted(_) => Outcome::Renewed,
        Failed::RetryAt { at, tokens } => Outcome::Later { reason: tokens.reason, at: *at },
        Failed::NeedsReauth { reason, .. } => Outcome::Stuck(*reason),
        // Whoever took over is asking at this moment; the store knows until when.
        Failed::Superseded => Outcome::Busy { until: now },
        Failed::Gone => Outcome::Gone,
    }
}

/// An issuer's refusal, as the store takes it. A wrong configuration is the operator's to change: the tokens stay.
pub(super) fn failure(failure: &Failure, jitter: Jitter) -> RefreshFailure {
    let transient = |reason, retry_after: Option<Duration>| RefreshFailure::Transient {
        reason,
        retry_after: retry_after.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)),
        jitter,
    };
    match failure {
        Failure::Dead(dead) => RefreshFailure::Permanent {
            reason: match dead {
                Dead::Reused => RefreshReason::TokenReused,
                Dead::Expired => RefreshReason::TokenExpired,
                Dead::InvalidGrant | Dead::Denied => RefreshReason::InvalidGrant,
            },
        },
        Failure::Transient { reason, retry_after } => transient(trouble(reason), *retry_after),
        Failure::Misconfigured(_) => transient(RefreshReason::InvalidClient, None),
    }
}

/// An answer that cannot be kept.
pub(super) fn malformed(jitter: Jitter) -> RefreshFailure {
    RefreshFailure::Transient { reason: RefreshReason::Malformed, retry_after: None, jitter }
}

fn trouble(trouble: &Trouble) -> RefreshReason {
    match trouble {
        Trouble::Http(HttpFailure::TimedOut) => RefreshReason::Timeout,
        Trouble::Http(HttpFailure::Unreachable(_)) => RefreshReason::Network,
        Trouble::Http(HttpFailure::Unavailable { status: 429, .. }) => RefreshReason::RateLimited,
        Trouble::Http(HttpFailure::Unavailable { .. }) => RefreshReason::Server,
        Trouble::Http(HttpFailure::Insecure) => RefreshReason::InvalidClient,
        Trouble::Answered(code) if matches!(code.as_str(), "temporarily_unavailable" | "server_error") => {
            RefreshReason::Server
        }
        Trouble::Http(HttpFailure::TooLong | HttpFailure::Malformed(_))
        | Trouble::Answered(_)
        | Trouble::NotAGrant => RefreshReason::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::Misconfigured;
    use crate::oauth::failure::classify;

    /// 47, 49, 50 and the bad answers of a token endpoint.
    #[test]
    fn refusals_are_permanent_or_pass() {
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
