//! The loop that decides, refreshes and decides again.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Asked, Candidate, Decision, Outcome, Renewal, decide};

/// Repeats [`decide`] until no refresh is left to do. Every credential that has to be refreshed first is passed to
/// `refresh`, at most once each and all within `budget`. `refresh` returns the candidate in its new state. When the
/// budget ends, the future of `refresh` is dropped; the refresh that it started must continue without it.
///
/// The candidates are changed in place. The answer is never [`Outcome::RefreshFirst`].
pub async fn settle<F, R>(
    candidates: &mut [Candidate],
    asked: &Asked,
    budget: Duration,
    mut refresh: F,
) -> Decision
where
    F: FnMut(usize, Candidate) -> R,
    R: Future<Output = Candidate>,
{
    let deadline = Instant::now() + budget;
    loop {
        let decision = decide(candidates, asked);
        let Outcome::RefreshFirst(at) = decision.outcome else { return decision };
        let before = candidates[at].clone();
        candidates[at] = match timeout_at(deadline, refresh(at, before.clone())).await {
            Ok(after) => tried(after),
            Err(_) => Candidate {
                renewal: Renewal::Tried { failed: Some("it took too long".to_owned()), retry_at: None },
                ..before
            },
        };
    }
}

/// Marks a credential as tried. It is not refreshed again, even if it still does not last for the requested time.
fn tried(candidate: Candidate) -> Candidate {
    let renewal = match candidate.renewal {
        Renewal::Possible => Renewal::Tried { failed: None, retry_at: None },
        Renewal::Waiting { until } => {
            Renewal::Tried { failed: Some("it is tried again later".to_owned()), retry_at: Some(until) }
        }
        other => other,
    };
    Candidate { renewal, ..candidate }
}
