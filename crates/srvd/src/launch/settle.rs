//! The loop that decides, does what the decision needs, and decides again.

use std::future::Future;

use tokio::time::{Instant, timeout_at};

use super::candidate::{Candidate, Credential, Renewability};
use super::decide::{Decision, Outcome, Request, decide};

/// An action that a decision needs before it can be final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Refresh the candidate's tokens.
    Refresh,
    /// Run the command that prints the candidate's key.
    ReadKey,
}

/// A request with the limits of the loop.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// The request.
    pub(super) request: Request,
    /// True if credentials may be refreshed. If not, the decision may be [`Outcome::RefreshFirst`].
    pub(super) refresh: bool,
    /// Time at which the refreshes end. A refresh under way continues without the launch.
    pub(super) deadline: Instant,
}

/// Repeats [`decide`] until no action is left. `act` receives the action and its candidate, and returns the candidate in
/// its new state: a refreshed token, or a key in place of its command. No candidate is refreshed twice.
pub(super) async fn settle<F, R>(candidates: &mut [Candidate], attempt: &Attempt, mut act: F) -> Decision
where
    F: FnMut(Action, Candidate) -> R,
    R: Future<Output = Candidate>,
{
    loop {
        let decision = decide(candidates, &attempt.request);
        match decision.outcome {
            Outcome::RefreshFirst(at) if attempt.refresh => {
                let before = candidates[at].clone();
                candidates[at] =
                    match timeout_at(attempt.deadline, act(Action::Refresh, before.clone())).await {
                        Ok(after) => tried(after),
                        Err(_) => Candidate {
                            renewal: Renewability::Tried {
                                failed: Some("it took too long".to_owned()),
                                retry_at: None,
                            },
                            ..before
                        },
                    };
            }
            Outcome::Use { chosen, .. }
                if matches!(candidates[chosen].credential, Credential::Command(_)) =>
            {
                candidates[chosen] = read(act(Action::ReadKey, candidates[chosen].clone()).await);
            }
            _ => return decision,
        }
    }
}

/// Marks a credential as tried. It is not refreshed again, even if it still does not last for the requested time.
fn tried(candidate: Candidate) -> Candidate {
    let renewal = match candidate.renewal {
        Renewability::Possible => Renewability::Tried { failed: None, retry_at: None },
        Renewability::Waiting { until } => {
            Renewability::Tried { failed: Some("it will be retried later".to_owned()), retry_at: Some(until) }
        }
        other => other,
    };
    Candidate { renewal, ..candidate }
}

/// Removes a command that is left after it was run, so that it is not run again.
fn read(candidate: Candidate) -> Candidate {
    match candidate.credential {
        Credential::Command(_) => Candidate { credential: Credential::Absent, ..candidate },
        _ => candidate,
    }
}
