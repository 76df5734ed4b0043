//! Decides, refreshes, and decides again.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Asked, Candidate, Decision, Outcome, Renewal, decide};

/// Follows [`decide`] to its end: every credential that has to be refreshed first is given to `refresh`, each at most
/// once and all within `budget`. `refresh` gives back the candidate as it is then; it goes on by itself when it is let go
/// of because the time is over.
///
/// The candidates are changed in place, and [`Outcome::RefreshFirst`] is never the answer.
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

/// A credential that was refreshed is not refreshed once more, even if it still does not last as long as is asked.
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
