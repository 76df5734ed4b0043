//! Which of several credentials an agent gets: user over ephemeral over declared, and why not another one.
//!
//! [`decide`] is total and pure: it knows neither clock nor store. Whoever calls has looked for every secret before, so
//! that a credential whose secret cannot be had hides nothing below it. `profile.best`, `launch.resolve` and
//! `launch.ready` all ask this function, so that readiness and the launch cannot differ.

mod asked;
mod settle;

use std::fmt;

pub use asked::Asked;
pub use settle::settle;

/// Where a credential comes from, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A profile: what the user brought for the agent.
    User,
    /// What a client lent the daemon until it ends.
    Ephemeral,
    /// What a file gives the agent.
    Declared,
}

impl Source {
    /// The word of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Ephemeral => "ephemeral",
            Self::Declared => "declared",
        }
    }
}

/// Which models a credential is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    /// Every one, `*`.
    Any,
    /// This one, without its provider's prefix.
    Only(String),
}

/// A credential that an agent may be given, without the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The profile's id, or `declared:{agent}:{provider}`, or `ephemeral:{agent}:{provider}`.
    pub id: String,
    /// Which layer it stands in.
    pub source: Source,
    /// Canonical provider id.
    pub provider: String,
    /// Which models it is for.
    pub model: Model,
    /// Its place among its provider's in the same layer; the lowest is the primary.
    pub position: i64,
    /// Whether its secret was found.
    pub secret: Secret,
    /// When it ends, in unix milliseconds; `None` never does.
    pub expires_at: Option<i64>,
    /// Whether it can be renewed without a person.
    pub renewal: Renewal,
}

/// What was found where a secret should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// The secret.
    Found,
    /// The secret, which its provider has refused.
    Refused,
    /// Nothing that could be used; the reason, for people and without any of it.
    Unavailable(String),
}

/// Whether a credential can be renewed without a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// It has no refresh token.
    None,
    /// A refresh may be tried.
    Possible,
    /// The last attempts failed; the next one is due at this time, in unix milliseconds.
    Waiting {
        /// When.
        until: i64,
    },
    /// It was tried for this very decision and is not tried again.
    Tried {
        /// Why it did not work, when it did not.
        failed: Option<String>,
        /// When it may be tried again, in unix milliseconds.
        retry_at: Option<i64>,
    },
    /// Its refresh token is dead: only a person can log in again. The reason, for people.
    Dead(String),
}

/// The answer, and what was thought of each candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The answer. Numbers are positions in the list of candidates.
    pub outcome: Outcome,
    /// One verdict a candidate, in the order of the candidates.
    pub trace: Vec<Verdict>,
}

/// What an agent gets, or why nothing. A number is the position of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// This one.
    Use {
        /// Which.
        chosen: usize,
        /// The strongest one that should have been used and could not be.
        degraded_from: Option<usize>,
    },
    /// This one, once it is refreshed; whoever may not refresh stops here. Otherwise decide again after the attempt.
    RefreshFirst(usize),
    /// The refresh that was tried did not work, for a reason that passes; nothing else is left.
    RefreshFailed {
        /// Whose.
        candidate: usize,
        /// When it may be tried again.
        retry_at: Option<i64>,
    },
    /// All have expired.
    AllExpired {
        /// When one of them may be refreshed; `None` when none can be.
        retry_at: Option<i64>,
    },
    /// Only a person can help with this one, and nothing else is left.
    NeedsReauth(usize),
    /// The secret of this one cannot be had, and nothing else is left.
    SecretUnavailable(usize),
    /// There are credentials of the provider, each for another model.
    NoProfileForModel,
    /// There is none of the provider.
    NoCredential,
}

/// What was thought of one candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is used.
    Chosen,
    /// It is used once it is refreshed.
    RefreshedFirst,
    /// It is fit, and a stronger one is used.
    Outranked,
    /// Another provider's.
    OtherProvider,
    /// For another model.
    OtherModel,
    /// It has expired and cannot be renewed.
    Expired,
    /// It lives, but not for as long as is asked, and cannot be renewed.
    TooShort,
    /// It has expired and may be refreshed from this time on.
    Waiting {
        /// When, in unix milliseconds.
        until: i64,
    },
    /// It has expired and the refresh did not work.
    RefreshFailed {
        /// Why.
        reason: String,
        /// When it may be tried again, in unix milliseconds.
        retry_at: Option<i64>,
    },
    /// Only a person can renew it.
    NeedsReauth(String),
    /// Its secret cannot be had.
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

/// Chooses among the candidates, whatever their order.
///
/// The strongest is the one for exactly the asked model, then the one for any; among these by source, then by position.
/// It is used when it lives, and is refreshed first when it does not but can be; only then the next one has its turn.
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

/// Whether a candidate could be used by itself.
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

/// Why nothing is left: what passes by itself first, then what a person can do. `order` is not empty.
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
