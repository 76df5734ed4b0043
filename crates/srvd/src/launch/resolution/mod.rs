//! The choice among several credentials for an agent: user before ephemeral before declared, with the reasons.
//!
//! [`decide`] is total and pure: it uses neither a clock nor the store. The caller looks up every secret first, so that
//! a credential without an available secret does not hide those below it. `profile.best`, `launch.resolve` and
//! `launch.ready` all use this function, so that readiness and launch agree.

mod asked;
mod settle;

use std::fmt;

pub use asked::Asked;
pub use settle::settle;

pub use crate::agents::credential::{Model, Source};

/// A credential that an agent may receive, without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The profile's id, or `declared:{agent}:{provider}` or `ephemeral:{agent}:{provider}`.
    pub id: String,
    /// The layer of the credential.
    pub source: Source,
    /// Canonical provider id.
    pub provider: String,
    /// The models that the credential is for.
    pub model: Model,
    /// The position among the provider's credentials in the same layer. The lowest is the primary.
    pub position: i64,
    /// The result of looking for the secret.
    pub secret: Secret,
    /// Time when the credential expires, in unix milliseconds; `None` if it never expires.
    pub expires_at: Option<i64>,
    /// The possibility of renewing the credential without a person.
    pub renewal: Renewal,
}

/// The result of looking for a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// The secret was found.
    Found,
    /// The secret was found, but its provider has refused it.
    Refused,
    /// The secret cannot be used. The reason is for people and contains no part of the secret.
    Unavailable(String),
}

/// The possibility of renewing a credential without a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// There is no refresh token.
    None,
    /// A refresh may be tried.
    Possible,
    /// The last attempts failed. The next one is due later.
    Waiting {
        /// Time of the next attempt, in unix milliseconds.
        until: i64,
    },
    /// A refresh was tried for this decision and is not repeated.
    Tried {
        /// The reason of the failure, if it failed.
        failed: Option<String>,
        /// Time of the next possible attempt, in unix milliseconds.
        retry_at: Option<i64>,
    },
    /// The refresh token is dead, and a person has to log in again. The reason is for people.
    Dead(String),
}

/// The answer, and the verdict on each candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The answer. Numbers are positions in the list of candidates.
    pub outcome: Outcome,
    /// One verdict for each candidate, in the order of the candidates.
    pub trace: Vec<Verdict>,
}

/// The credential that an agent receives, or the reason why there is none. A number is the position of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A credential can be used.
    Use {
        /// The position of the credential to use.
        chosen: usize,
        /// The strongest credential that was preferred but could not be used.
        degraded_from: Option<usize>,
    },
    /// This credential can be used after a refresh. A caller that may not refresh stops here; others decide again after
    /// the attempt.
    RefreshFirst(usize),
    /// The refresh that was tried failed for a temporary reason, and no other credential can be used.
    RefreshFailed {
        /// The position of the credential whose refresh failed.
        candidate: usize,
        /// Time of the next possible attempt, in unix milliseconds.
        retry_at: Option<i64>,
    },
    /// All credentials have expired.
    AllExpired {
        /// Time when one of them may be refreshed, in unix milliseconds; `None` when none can be.
        retry_at: Option<i64>,
    },
    /// This credential needs a new login by a person, and no other credential can be used.
    NeedsReauth(usize),
    /// The secret of this credential is not available, and no other credential can be used.
    SecretUnavailable(usize),
    /// The provider has credentials, but each is for another model.
    NoProfileForModel,
    /// There is no credential of the provider.
    NoCredential,
}

/// The verdict on one candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The credential is used.
    Chosen,
    /// The credential is used after a refresh.
    RefreshedFirst,
    /// The credential could be used, but a stronger one is used.
    Outranked,
    /// The credential is for another provider.
    OtherProvider,
    /// The credential is for another model.
    OtherModel,
    /// The credential has expired and cannot be renewed.
    Expired,
    /// The credential is valid, but not for the requested time, and it cannot be renewed.
    TooShort,
    /// The credential has expired and may be refreshed later.
    Waiting {
        /// Earliest time of the refresh, in unix milliseconds.
        until: i64,
    },
    /// The credential has expired and its refresh failed.
    RefreshFailed {
        /// The reason of the failure.
        reason: String,
        /// Time of the next possible attempt, in unix milliseconds.
        retry_at: Option<i64>,
    },
    /// A person has to log in again.
    NeedsReauth(String),
    /// The secret of the credential is not available.
    Unavailable(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => f.write_str("is used"),
            Self::RefreshedFirst => f.write_str("has to be refreshed first"),
            Self::Outranked => f.write_str("a stronger one is used"),
            Self::OtherProvider => f.write_str("is another provider's"),
            Self::OtherModel => f.write_str("is for another model"),
            Self::Expired => f.write_str("has expired"),
            Self::TooShort => f.write_str("expires too soon"),
            Self::Waiting { .. } => f.write_str("has expired, and its refresh failed a moment ago"),
            Self::RefreshFailed { reason, .. } => write!(f, "its refresh failed: {reason}"),
            Self::NeedsReauth(reason) | Self::Unavailable(reason) => f.write_str(reason),
        }
    }
}

/// Chooses among the candidates. Their order in the list does not matter.
///
/// A candidate for exactly the requested model comes before one for any model. Candidates of the same rank are ordered
/// by source, then by position. The first candidate is used if it is valid. If it is not valid but can be refreshed, it
/// is refreshed first. Only if neither is possible, the next candidate is considered.
pub fn decide(candidates: &[Candidate], asked: &Asked) -> Decision {
    let mut trace: Vec<Verdict> = candidates
        .iter()
        .map(|one| if one.provider == asked.provider { Verdict::OtherModel } else { Verdict::OtherProvider })
        .collect();
    let of_provider = trace.contains(&Verdict::OtherModel);
    let mut order: Vec<(u8, usize)> =
        (0..candidates.len()).filter_map(|at| Some((asked.rank(&candidates[at])?, at))).collect();
    order.sort_by(|(left_rank, left), (right_rank, right)| {
        let key = |at: usize| (candidates[at].source, candidates[at].position, &candidates[at].id);
        (left_rank, key(*left)).cmp(&(right_rank, key(*right)))
    });
    let mut outcome = None;
    let mut passed_over = None;
    for &(_, at) in &order {
        trace[at] = match (fitness(&candidates[at], asked), &outcome) {
            (Ok(_), Some(_)) => Verdict::Outranked,
            (Ok(Fit::Alive), None) => {
                outcome = Some(Outcome::Use { chosen: at, degraded_from: passed_over });
                Verdict::Chosen
            }
            (Ok(Fit::Refreshable), None) => {
                outcome = Some(Outcome::RefreshFirst(at));
                Verdict::RefreshedFirst
            }
            (Err(fault), _) => {
                passed_over = passed_over.or(Some(at));
                fault
            }
        };
    }
    let outcome = outcome.unwrap_or_else(|| match order.is_empty() {
        true if of_provider => Outcome::NoProfileForModel,
        true => Outcome::NoCredential,
        false => refusal(&order, &trace),
    });
    Decision { outcome, trace }
}

enum Fit {
    Alive,
    Refreshable,
}

/// Returns whether a candidate could be used if it were the only one.
fn fitness(candidate: &Candidate, asked: &Asked) -> Result<Fit, Verdict> {
    match &candidate.secret {
        Secret::Found => {}
        Secret::Refused => return Err(Verdict::NeedsReauth("its provider refused it".to_owned())),
        Secret::Unavailable(reason) => return Err(Verdict::Unavailable(reason.clone())),
    }
    let Some(ends) = candidate.expires_at else { return Ok(Fit::Alive) };
    if ends > asked.now.saturating_add(asked.min_ttl.max(0)) {
        return Ok(Fit::Alive);
    }
    let over = if ends <= asked.now { Verdict::Expired } else { Verdict::TooShort };
    match &candidate.renewal {
        Renewal::Possible => Ok(Fit::Refreshable),
        Renewal::Waiting { until } if *until <= asked.now => Ok(Fit::Refreshable),
        Renewal::Waiting { until } => Err(Verdict::Waiting { until: *until }),
        Renewal::Tried { failed: Some(reason), retry_at } => {
            Err(Verdict::RefreshFailed { reason: reason.clone(), retry_at: *retry_at })
        }
        Renewal::None | Renewal::Tried { failed: None, .. } => Err(over),
        Renewal::Dead(_) if over == Verdict::TooShort => Err(over),
        Renewal::Dead(reason) => Err(Verdict::NeedsReauth(reason.clone())),
    }
}

/// Returns the reason why no candidate can be used: temporary failures first, then those that need a person. `order` is
/// not empty.
fn refusal(order: &[(u8, usize)], trace: &[Verdict]) -> Outcome {
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
    let first = |wanted: fn(&Verdict) -> bool| verdicts().find(|(_, verdict)| wanted(verdict));
    if let Some((at, _)) = first(|verdict| matches!(verdict, Verdict::NeedsReauth(_))) {
        return Outcome::NeedsReauth(at);
    }
    match first(|verdict| matches!(verdict, Verdict::Expired | Verdict::TooShort)) {
        Some(_) => Outcome::AllExpired { retry_at: None },
        None => Outcome::SecretUnavailable(order.first().map_or(0, |&(_, at)| at)),
    }
}

#[cfg(test)]
mod tests;
