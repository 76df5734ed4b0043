//! The outcome when no candidate can be used.

use super::{Outcome, Verdict};
use crate::launch::candidate::{Candidate, Renewability};

/// Returns the reason why no candidate can be used: temporary failures first, then those that need a person. `order`
/// holds the candidates that match the request, the strongest first, and is not empty.
pub(super) fn outcome(order: &[(u8, usize)], candidates: &[Candidate], trace: &[Verdict]) -> Outcome {
    let verdicts = || order.iter().map(|&(_, at)| (at, &trace[at]));
    for (candidate, verdict) in verdicts() {
        if let Verdict::RefreshFailed { retry_at, .. } = verdict {
            return Outcome::RefreshFailed { candidate, retry_at: *retry_at };
        }
    }
    let waiting = |(_, verdict)| if let &Verdict::Waiting { until } = verdict { Some(until) } else { None };
    if let Some(until) = verdicts().filter_map(waiting).min() {
        return Outcome::AllExpired { retry_at: Some(until) };
    }
    let needs_person = |at: usize, verdict: &Verdict| match verdict {
        Verdict::NeedsReauth(_) | Verdict::Refused => true,
        Verdict::TooShort => matches!(candidates[at].renewal, Renewability::Person(_)),
        _ => false,
    };
    if let Some((at, _)) = verdicts().find(|(at, verdict)| needs_person(*at, verdict)) {
        return Outcome::NeedsReauth(at);
    }
    if verdicts().any(|(_, verdict)| matches!(verdict, Verdict::Expired | Verdict::TooShort)) {
        return Outcome::AllExpired { retry_at: None };
    }
    match order.first() {
        Some(&(_, at)) if trace[at] == Verdict::Ambient => Outcome::Ambient(at),
        Some(&(_, at)) if matches!(trace[at], Verdict::Unfit(_)) => Outcome::Unfit(at),
        Some(&(_, at)) => Outcome::SecretUnavailable(at),
        None => Outcome::NoCredential,
    }
}
