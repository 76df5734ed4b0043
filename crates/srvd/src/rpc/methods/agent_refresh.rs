//! The refresh of a user's credential before a choice is made.

use std::time::Duration;

use identity_store::RefreshWhy;
use secrecy::SecretString;

use super::profile;
use crate::base::clock::now;
use crate::launch::resolution::{Candidate, Renewal, Secret};
use crate::refresh::{Grant, Outcome};
use crate::rpc::app::App;
use crate::wire::error::with_causes;

/// Refreshes a candidate's tokens. Returns the candidate in its new state, and the secret with its generation. The
/// secret is read again, because another daemon may have refreshed it or a new login may have replaced it.
pub(super) async fn renew(
    app: &App,
    grant: &Grant,
    (min_ttl, budget): (i64, Duration),
    before: Candidate,
) -> (Candidate, Option<(SecretString, u64)>) {
    let outcome = app.refresher.refresh(grant, RefreshWhy::Use { min_ttl }, budget).await;
    let tokens = match app.store.tokens(&grant.account, now()).await {
        Ok(tokens) => tokens,
        Err(error) => {
            tracing::error!(account = %grant.account, error = with_causes(&error), "tokens could not be read");
            let reason = "its tokens could not be read".to_owned();
            return (Candidate { secret: Secret::Unavailable(reason), ..before }, None);
        }
    };
    let (secret, expires_at, renewal) = profile::of_tokens(&tokens);
    let renewal = after(outcome, renewal);
    let used = tokens.tokens.used().secret.clone();
    (Candidate { secret, expires_at, renewal, ..before }, Some((used, tokens.generation)))
}

/// Returns the renewal state after a refresh. A grant that the row marks as dead stays dead.
fn after(outcome: Outcome, stored: Renewal) -> Renewal {
    let tried = |reason: &str, retry_at| Renewal::Tried { failed: Some(reason.to_owned()), retry_at };
    match (outcome, stored) {
        (_, dead @ Renewal::Dead(_)) => dead,
        (Outcome::Later { reason, at }, _) => {
            tried(reason.map_or("it is tried again later", |reason| reason.as_str()), Some(at))
        }
        (Outcome::Busy { until }, _) => tried("another daemon is refreshing it", Some(until)),
        (Outcome::TooLong, _) => tried("it took too long", None),
        (Outcome::Unavailable, _) => tried("the daemon could not do it", None),
        (Outcome::Unsupported, _) => Renewal::None,
        (Outcome::Unneeded | Outcome::Renewed | Outcome::Stuck(_) | Outcome::Gone, stored) => stored,
    }
}
