//! The state of stored tokens, and their refresh before a choice is made.

use std::time::Duration;

use identity_store::{Life, RefreshState, RefreshWhy, Store, StoredTokens};

use crate::base::clock::now;
use crate::keys::external::{Unavailable, Why};
use crate::launch::candidate::{Candidate, Credential, Renewability, State};
use crate::refresh::{Grant, Outcome, Refresher};
use crate::wire::Status;
use crate::wire::error::with_causes;

/// The state of a credential, the time when it expires, and the possibility of renewing it.
pub(super) struct Standing {
    pub(super) state: State,
    pub(super) expires_at: Option<i64>,
    pub(super) renewal: Renewability,
}

/// Returns the state of a stored set of tokens.
pub(super) fn standing(tokens: &StoredTokens) -> Standing {
    // A set that the service refused or that was given up is dead, regardless of its expiry times.
    let alive = tokens.life(i64::MIN, 0) != Life::Dead;
    let state = if alive { State::Found } else { State::Refused };
    let renewal = match (tokens.is_refreshable(), tokens.next_attempt_at) {
        (true, Some(until)) if tokens.failures > 0 => Renewability::Waiting { until },
        (true, _) => Renewability::Possible,
        (false, _) if matches!(tokens.state, RefreshState::NeedsReauth | RefreshState::Revoked) => {
            let reason = tokens.reason.map_or("needs_reauth", |reason| reason.as_str());
            Renewability::Person(format!("it needs a new login ({reason})"))
        }
        (false, _) => Renewability::None,
    };
    Standing { state, expires_at: tokens.tokens.expiry().at(), renewal }
}

/// The limits of a refresh.
#[derive(Debug, Clone, Copy)]
pub(in crate::launch) struct Needed {
    /// Shortest remaining lifetime of the token, in milliseconds.
    pub(in crate::launch) min_ttl: i64,
    /// Longest wait for the refresh.
    pub(in crate::launch) budget: Duration,
}

/// Refreshes a candidate's tokens and returns the candidate in its new state. The token is read again, because another
/// daemon may have refreshed it or a new login may have replaced it.
pub(in crate::launch) async fn renewed(
    refresher: &Refresher,
    store: &Store,
    grant: &Grant,
    needed: Needed,
    before: Candidate,
) -> Candidate {
    let outcome = refresher.refresh(grant, RefreshWhy::Use { min_ttl: needed.min_ttl }, needed.budget).await;
    let tokens = match store.tokens(&grant.account, now()).await {
        Ok(tokens) => tokens,
        Err(error) => {
            tracing::error!(account = %grant.account, error = with_causes(&error), "tokens cannot be read");
            let unavailable = Unavailable::new(Why::BackendFailed, "its tokens could not be read");
            return Candidate { state: State::Unavailable(unavailable), ..before };
        }
    };
    let Standing { state, expires_at, renewal } = standing(&tokens);
    Candidate {
        state,
        expires_at,
        renewal: after(outcome, renewal),
        status: Status::Valid,
        generation: Some(tokens.generation),
        credential: Credential::AccessToken(tokens.tokens.used().secret.clone()),
        ..before
    }
}

/// Returns the renewal state after a refresh. A grant that the row marks as dead stays dead.
fn after(outcome: Outcome, stored: Renewability) -> Renewability {
    let tried = |reason: &str, retry_at| Renewability::Tried { failed: Some(reason.to_owned()), retry_at };
    match (outcome, stored) {
        (_, dead @ Renewability::Person(_)) => dead,
        (Outcome::Later { reason, at }, _) => {
            tried(reason.map_or("it will be retried later", |reason| reason.as_str()), Some(at))
        }
        (Outcome::Busy { until }, _) => tried("another daemon is refreshing it", Some(until)),
        (Outcome::TooLong, _) => tried("it took too long", None),
        (Outcome::Unavailable, _) => tried("the daemon could not refresh it", None),
        (Outcome::Unsupported, _) => Renewability::None,
        (Outcome::Unneeded | Outcome::Renewed | Outcome::Stuck(_) | Outcome::Gone, stored) => stored,
    }
}
