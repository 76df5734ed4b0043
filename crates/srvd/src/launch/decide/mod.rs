//! The choice among the candidates of one provider, with the reason for each.
//!
//! [`decide`] is total and pure: it uses neither a clock nor the store. A candidate without an available secret does not
//! hide those below it.

mod refuse;

use std::fmt;

use super::candidate::{Candidate, Renewability, State, Unfit};
use crate::agents::model::Model;
use crate::keys::external::Unavailable;

/// The request for a credential of one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// The model, without its provider's prefix. When absent, a credential for any model can be used.
    pub model: Option<String>,
    /// True if a credential for another model may be used when there is no better one.
    pub any_model: bool,
    /// Shortest remaining lifetime of the credential, in milliseconds.
    pub min_ttl: i64,
    /// The present time, in unix milliseconds.
    pub now: i64,
}

impl Request {
    /// Returns the rank of a candidate; smaller is better. `None` means that it does not match.
    fn rank(&self, candidate: &Candidate) -> Option<u8> {
        match (&self.model, &candidate.model) {
            (None, _) => Some(0),
            (Some(wanted), Model::Only(model)) if wanted == model => Some(0),
            (Some(_), Model::Any) => Some(1),
            (Some(_), Model::Only(_)) => self.any_model.then_some(2),
        }
    }
}

/// The answer, and the verdict on each candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The answer. Numbers are positions in the list of candidates.
    pub outcome: Outcome,
    /// One verdict for each candidate, in the order of the candidates.
    pub trace: Vec<Verdict>,
}

/// The credential that an agent runs with, or the reason why there is none. A number is the position of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
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
    /// The directory of this credential may not be used, and no other credential can be used.
    Ambient(usize),
    /// The CLI would use another credential than this one, and no other credential can be used.
    Unfit(usize),
    /// The secret of this credential is not available, and no other credential can be used.
    SecretUnavailable(usize),
    /// The provider has credentials, but each is for another model.
    NoProfileForModel,
    /// There is no credential of the provider.
    NoCredential,
}

impl Outcome {
    /// Returns the position of the candidate that is used, possibly after a refresh.
    pub(super) fn chosen(&self) -> Option<usize> {
        match self {
            Self::Use { chosen, .. } | Self::RefreshFirst(chosen) => Some(*chosen),
            _ => None,
        }
    }
}

/// The verdict on one candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The credential is used.
    Chosen,
    /// The credential is used after a refresh.
    RefreshedFirst,
    /// The credential could be used, but a credential with higher precedence is used.
    Outranked,
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
    /// The provider has refused the credential.
    Refused,
    /// A person has to log in again.
    NeedsReauth(String),
    /// The directory does not belong to the daemon.
    Ambient,
    /// The CLI would use another credential.
    Unfit(Unfit),
    /// The secret of the credential is not available.
    Unavailable(Unavailable),
    /// The provider's programs cannot be given this credential.
    NotTaken(&'static str),
}

impl Verdict {
    /// Returns whether the candidate is the one that is used.
    pub(super) fn is_chosen(&self) -> bool {
        matches!(self, Self::Chosen | Self::RefreshedFirst)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => f.write_str("it is used"),
            Self::RefreshedFirst => f.write_str("it must be refreshed first"),
            Self::Outranked => f.write_str("a credential with higher precedence is used"),
            Self::OtherModel => f.write_str("it is for another model"),
            Self::Expired => f.write_str("it has expired"),
            Self::TooShort => f.write_str("it expires too soon"),
            Self::Waiting { .. } => f.write_str("it has expired, and its refresh failed recently"),
            Self::RefreshFailed { reason, .. } => write!(f, "its refresh failed: {reason}"),
            Self::Refused => f.write_str("its provider refused it"),
            Self::NeedsReauth(reason) => f.write_str(reason),
            Self::Ambient => f.write_str("its directory does not belong to the daemon"),
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::Unavailable(unavailable) => f.write_str(&unavailable.text),
            Self::NotTaken(reason) => f.write_str(reason),
        }
    }
}

/// Chooses among the candidates of one provider. Their order in the list does not matter.
///
/// A candidate for exactly the requested model comes before one for any model. Candidates of the same rank are ordered
/// by source, then by position. The first candidate is used if it is valid. If it is not valid but can be refreshed, it
/// is refreshed first. Only if neither is possible, the next candidate is considered.
pub(crate) fn decide(candidates: &[Candidate], request: &Request) -> Decision {
    let mut trace = vec![Verdict::OtherModel; candidates.len()];
    let mut order: Vec<(u8, usize)> =
        (0..candidates.len()).filter_map(|at| Some((request.rank(&candidates[at])?, at))).collect();
    order.sort_by(|(left_rank, left), (right_rank, right)| {
        let key = |at: usize| (&candidates[at].source, candidates[at].position, &candidates[at].id);
        (left_rank, key(*left)).cmp(&(right_rank, key(*right)))
    });
    let mut outcome = None;
    let mut passed_over = None;
    for &(_, at) in &order {
        let fitness = fitness(&candidates[at], request);
        let fitness = match candidates[at].not_taken {
            Some(reason) => fitness.and(Err(Verdict::NotTaken(reason))),
            None => fitness,
        };
        trace[at] = match (fitness, &outcome) {
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
        true if !candidates.is_empty() => Outcome::NoProfileForModel,
        true => Outcome::NoCredential,
        false => refuse::outcome(&order, candidates, &trace),
    });
    Decision { outcome, trace }
}

enum Fit {
    Alive,
    Refreshable,
}

/// Returns whether a candidate could be used if it were the only one.
fn fitness(candidate: &Candidate, request: &Request) -> Result<Fit, Verdict> {
    match &candidate.state {
        State::Found => {}
        State::Refused => return Err(Verdict::Refused),
        State::NeedsReauth(reason) => return Err(Verdict::NeedsReauth(reason.clone())),
        State::Unavailable(unavailable) => return Err(Verdict::Unavailable(unavailable.clone())),
        State::Ambient => return Err(Verdict::Ambient),
        State::Unfit(unfit) => return Err(Verdict::Unfit(unfit.clone())),
    }
    let Some(ends) = candidate.expires_at else { return Ok(Fit::Alive) };
    if ends > request.now.saturating_add(request.min_ttl.max(0)) {
        return Ok(Fit::Alive);
    }
    let over = if ends <= request.now { Verdict::Expired } else { Verdict::TooShort };
    match &candidate.renewal {
        Renewability::Possible => Ok(Fit::Refreshable),
        Renewability::Waiting { until } if *until <= request.now => Ok(Fit::Refreshable),
        Renewability::Waiting { until } => Err(Verdict::Waiting { until: *until }),
        Renewability::Tried { failed: Some(reason), retry_at } => {
            Err(Verdict::RefreshFailed { reason: reason.clone(), retry_at: *retry_at })
        }
        Renewability::None | Renewability::Tried { failed: None, .. } => Err(over),
        Renewability::Person(_) if over == Verdict::TooShort => Err(over),
        Renewability::Person(reason) => Err(Verdict::NeedsReauth(reason.clone())),
    }
}

#[cfg(test)]
mod tests;
