//! The reason why a launch gets no credential of a provider, and its error on the wire.

use identity_store::BundleId;
use serde_json::{Value, json};

use super::candidate::{Candidate, Unfit};
use super::decide::{Decision, Outcome, Verdict};
use super::plan::Part;
use super::report;
use super::subject::{Agent, Subject};
use crate::hint::{Hint, Step};
use crate::wire::error::{ApiError, Kind};

/// The reason why a provider's credential cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The error kind.
    pub(super) kind: Kind,
    /// The reason for people.
    pub(super) reason: String,
    /// True if the reason stands for itself: it names the provider, or is about all providers.
    pub(super) is_complete: bool,
    /// The reason as a word for programs, if there is one.
    pub(super) word: Option<&'static str>,
    /// An action for the person.
    pub(super) next_step: Option<Hint>,
    /// The position of the candidate that the refusal is about.
    pub(super) candidate: Option<usize>,
    /// Time of the next possible refresh, in unix milliseconds.
    pub(super) retry_at: Option<i64>,
    /// The answer to whether a refresh may help, if all credentials have expired.
    pub(super) refreshable: Option<bool>,
}

impl Refusal {
    fn new(kind: Kind, reason: impl Into<String>) -> Self {
        let (word, next_step, candidate) = (None, None, None);
        Self {
            kind,
            reason: reason.into(),
            is_complete: false,
            word,
            next_step,
            candidate,
            retry_at: None,
            refreshable: None,
        }
    }

    /// Creates the refusal of a candidate that was chosen, but whose variables cannot be made.
    pub(super) fn unusable(at: usize, candidate: &Candidate, reason: &str) -> Self {
        let next_step = candidate.next_step.clone();
        Self { candidate: Some(at), next_step, ..Self::new(Kind::SecretUnavailable, reason) }
    }

    /// Creates the refusal for a decision that chooses no candidate.
    pub(super) fn of(
        decision: &Decision,
        candidates: &[Candidate],
        subject: &Subject,
        provider: &str,
    ) -> Self {
        let trace = &decision.trace;
        let because = |at: usize, kind: Kind| {
            let word = match &trace[at] {
                Verdict::Unavailable(unavailable) => Some(unavailable.why.as_str()),
                _ => None,
            };
            let next_step = candidates[at].next_step.clone();
            Self { candidate: Some(at), word, next_step, ..Self::new(kind, trace[at].to_string()) }
        };
        match decision.outcome {
            Outcome::RefreshFailed { candidate, retry_at } => {
                Self { retry_at, ..because(candidate, Kind::RefreshFailed) }
            }
            Outcome::AllExpired { retry_at } => Self {
                retry_at,
                refreshable: Some(retry_at.is_some()),
                word: Some("token_expired"),
                ..Self::new(Kind::AllExpired, "every credential has expired")
            },
            Outcome::NeedsReauth(at) => because(at, Kind::NeedsReauth),
            Outcome::Ambient(at) => because(at, Kind::AmbientDirectory),
            Outcome::Unfit(at) => because(
                at,
                match &trace[at] {
                    Verdict::Unfit(Unfit::Another) => Kind::IdentityMismatch,
                    _ => Kind::Shadowed,
                },
            ),
            Outcome::SecretUnavailable(at) => because(at, Kind::SecretUnavailable),
            Outcome::NoProfileForModel => Self {
                word: Some("no_profile_for_model"),
                ..Self::new(Kind::NoCredential, "every credential is for another model")
            },
            Outcome::NoCredential | Outcome::Use { .. } | Outcome::RefreshFirst(_) => {
                Self::missing(subject, Some(provider))
            }
        }
    }

    /// Creates the refusal for a subject that has no credential, of one provider or at all.
    pub(super) fn missing(subject: &Subject, provider: Option<&str>) -> Self {
        let word = Some("no_stored_credentials");
        let (reason, next_step) = match subject {
            Subject::Bundle(bundle) => {
                let what = match provider {
                    Some(id) => format!("the bundle does not bind an account of {id}"),
                    None => "the bundle does not bind any account".to_owned(),
                };
                (what, login(provider, bundle))
            }
            Subject::Agent(agent) => {
                let what = match provider {
                    Some(id) => format!("the agent has no credential of {id}"),
                    None => "the agent has no credential".to_owned(),
                };
                (what, missing_of(agent, provider))
            }
        };
        let refusal = Self::new(Kind::NoCredential, reason);
        Self { is_complete: true, word, next_step: Some(next_step.into()), ..refusal }
    }

    /// Returns the error for a launch, with every candidate of `parts`.
    pub(super) fn error<'a>(&self, part: Option<&Part>, parts: impl Iterator<Item = &'a Part>) -> ApiError {
        let message = match part {
            Some(part) if !self.is_complete => format!("{}: {}", part.provider.id, self.reason),
            _ => self.reason.clone(),
        };
        let mut error = ApiError::new(self.kind, message)
            .with("candidates", parts.flat_map(considered).collect::<Value>())
            .with("reason", self.word.unwrap_or(&self.reason));
        if let Some(part) = part {
            error = error.with("providerId", part.provider.id.as_str());
            if let Some(candidate) = self.candidate.map(|at| &part.candidates[at]) {
                error = match &candidate.account {
                    Some(account) => error.with("accountId", account.as_str()),
                    None => error,
                };
                if let Some(profile) = report::profile_id(candidate) {
                    error = error.with("profileId", profile);
                }
            }
        }
        if let Some(at) = self.retry_at {
            error = error.with("retryAt", at);
        }
        if let Some(refreshable) = self.refreshable {
            error = error.with("refreshable", refreshable);
        }
        match &self.next_step {
            Some(step) => error.hint(step.clone()),
            None => error,
        }
    }
}

/// Returns the next step for an agent without a credential.
pub(super) fn missing_of(agent: &Agent, provider: Option<&str>) -> Step {
    match &agent.user {
        Some(user) => Step::LogInUser {
            provider: provider.unwrap_or("PROVIDER").into(),
            user: user.as_str().into(),
            agent: agent.agent.as_str().into(),
        },
        None => Step::StoreProfile,
    }
}

/// Returns the command that logs in to a provider for a bundle.
fn login(provider: Option<&str>, bundle: &BundleId) -> Step {
    if bundle.is_blank() {
        return Step::UseAnotherBundle;
    }
    let bundle = bundle.as_str().into();
    match provider {
        Some(provider) => Step::LogIn { provider: provider.into(), bundle },
        None => Step::LogInToAny { bundle },
    }
}

/// Returns the candidates of a part, each with the reason why it can or cannot be used.
fn considered(part: &Part) -> Vec<Value> {
    let one = |at: usize| {
        let candidate = &part.candidates[at];
        let reason = match part.reason(at) {
            None => "fit".to_owned(),
            Some(reason) => reason,
        };
        let mut entry = json!({
            "providerId": candidate.provider.id,
            "source": candidate.source,
            "model": candidate.model.as_str(),
            "status": part.status(at),
            "reason": reason,
        });
        if let Some(account) = &candidate.account {
            entry["accountId"] = account.as_str().into();
        }
        if let Some(profile) = report::profile_id(candidate) {
            entry["profileId"] = profile.into();
        }
        entry
    };
    (0..part.candidates.len()).map(one).collect()
}
