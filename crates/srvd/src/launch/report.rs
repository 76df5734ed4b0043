//! The answers of a launch on the wire.

use secrecy::SecretString;

use super::candidate::Candidate;
use super::decide::{Outcome, Verdict};
use super::environment::{Value, Variables};
use super::plan::Part;
use crate::wire::launch::{ProviderReadiness, Trace, Used};
use crate::wire::next_step::NextStep;
use crate::wire::profile::{Considered, Degraded, Resolution};
use crate::wire::{SecretOutput, Source, Status};

impl Part {
    /// Returns the reason why a candidate cannot be used, or why another one is used; `None` if it is used.
    pub(super) fn reason(&self, at: usize) -> Option<String> {
        match (&self.outcome, &self.decision.trace[at]) {
            (Ok(_), Verdict::Chosen) => None,
            (Err(refusal), Verdict::Chosen) => Some(refusal.reason.clone()),
            (_, verdict) => Some(verdict.to_string()),
        }
    }

    /// Returns the status of a candidate after the decision.
    pub(super) fn status(&self, at: usize) -> Status {
        let candidate = &self.candidates[at];
        match &self.decision.trace[at] {
            Verdict::Chosen if self.outcome.is_err() => Status::Invalid,
            Verdict::Expired
            | Verdict::RefreshedFirst
            | Verdict::Waiting { .. }
            | Verdict::RefreshFailed { .. } => Status::Expired,
            Verdict::Refused if candidate.status == Status::Invalid => Status::Invalid,
            Verdict::NeedsReauth(_) | Verdict::Refused => Status::NeedsReauth,
            Verdict::Ambient | Verdict::NotTaken(_) | Verdict::Unfit(_) => Status::Invalid,
            Verdict::Unavailable(_) => Status::Unknown,
            Verdict::Chosen | Verdict::Outranked | Verdict::OtherModel | Verdict::TooShort => {
                candidate.status.clone()
            }
        }
    }

    /// Returns the position of the candidate to report for this part: the chosen one, or else the one that the refusal is
    /// about, or else the first.
    pub(super) fn reported(&self) -> Option<usize> {
        let chosen = self.decision.trace.iter().position(Verdict::is_chosen);
        let about = || self.outcome.as_ref().err().and_then(|refusal| refusal.candidate);
        chosen.or_else(about).or_else(|| (!self.candidates.is_empty()).then_some(0))
    }

    pub(super) fn used(&self) -> Option<Used> {
        let at = self.reported()?;
        let candidate = &self.candidates[at];
        Some(Used {
            provider_id: self.provider.id.clone(),
            account_id: candidate.account_id(),
            source: candidate.source.clone(),
            status: self.status(at),
            person: candidate.person.clone(),
            generation: candidate.generation,
            unproven: candidate.unproven.then_some(true),
            reason: self.left_out(),
            degraded_from: self.degraded(),
        })
    }

    /// Returns the reason why the launch does not use the reported credential.
    fn left_out(&self) -> Option<String> {
        let refused = self.outcome.as_ref().err().map(|refusal| refusal.reason.clone());
        refused.or_else(|| self.withheld.clone())
    }

    pub(super) fn trace(&self) -> impl Iterator<Item = Trace> {
        self.candidates.iter().enumerate().map(|(at, candidate)| Trace {
            provider_id: candidate.provider.id.clone(),
            account_id: candidate.account_id(),
            source: candidate.source.clone(),
            chosen: self.decision.trace[at].is_chosen() && self.left_out().is_none(),
            reason: match (&self.outcome, self.reason(at).or_else(|| self.withheld.clone())) {
                (_, Some(reason)) => reason,
                (Ok(set), None) => format!("sets {}", set.keys().cloned().collect::<Vec<_>>().join(", ")),
                (Err(refusal), None) => refusal.reason.clone(),
            },
        })
    }

    pub(super) fn readiness(&self) -> ProviderReadiness {
        let degraded = || self.degraded().map(|from| format!("{}: {}", from.profile_id, from.reason));
        let refusal = self.outcome.as_ref().err();
        let unproven = self.reported().is_some_and(|at| self.candidates[at].unproven);
        ProviderReadiness {
            unproven: (unproven && refusal.is_none()).then_some(true),
            provider_id: self.provider.id.clone(),
            ready: refusal.is_none(),
            reason: self.left_out().or_else(degraded),
            next_step: refusal.and_then(|refusal| refusal.next_step.clone()).map(NextStep::from),
        }
    }

    /// Returns the warning for a credential that the launch leaves out.
    pub(super) fn warning(&self) -> Option<String> {
        let refusal = self.outcome.as_ref().err()?;
        let step = refusal.next_step.as_ref().map(|step| format!(" ({step})")).unwrap_or_default();
        Some(format!("started without {}: {}{step}", self.provider.id, refusal.reason))
    }

    /// Returns whether the only credentials of the provider are ones that its programs cannot be given.
    pub(super) fn is_not_taken(&self) -> bool {
        self.reported().is_some_and(|at| matches!(self.decision.trace[at], Verdict::NotTaken(_)))
    }

    /// Returns the preferred credential that could not be used, if the chosen one replaces it.
    fn degraded(&self) -> Option<Degraded> {
        let Outcome::Use { degraded_from: Some(from), .. } = self.decision.outcome else { return None };
        Some(Degraded {
            profile_id: self.candidates[from].id.clone(),
            source: self.candidates[from].source.clone(),
            reason: self.decision.trace[from].to_string(),
        })
    }

    /// Returns the answer of `profile.best` for the candidate at this position.
    pub(super) fn resolution(&self, at: usize, explain: bool) -> Resolution {
        let chosen = &self.candidates[at];
        Resolution {
            profile_id: chosen.id.clone(),
            account_id: chosen.account.clone(),
            provider_id: chosen.provider.id.clone(),
            source: chosen.source.clone(),
            owner_id: chosen.owner.clone(),
            generation: chosen.generation,
            model: chosen.model.as_str().to_owned(),
            status: self.status(at),
            expires_at: chosen.expires_at,
            refresh_first: matches!(self.decision.outcome, Outcome::RefreshFirst(_)).then_some(true),
            degraded_from: self.degraded(),
            trace: explain.then(|| (0..self.candidates.len()).map(|at| self.considered(at)).collect()),
        }
    }

    fn considered(&self, at: usize) -> Considered {
        let (candidate, verdict) = (&self.candidates[at], &self.decision.trace[at]);
        Considered {
            profile_id: candidate.id.clone(),
            provider_id: candidate.provider.id.clone(),
            source: candidate.source.clone(),
            model: candidate.model.as_str().to_owned(),
            chosen: verdict.is_chosen(),
            reason: verdict.to_string(),
        }
    }
}

/// Returns the profile id of a candidate; a bundle's account has none.
pub(super) fn profile_id(candidate: &Candidate) -> Option<&str> {
    (candidate.source != Source::Bundle).then_some(&candidate.id)
}

/// Returns the variables to set on the wire. `dry` leaves out the credentials.
pub(super) fn set(variables: Variables, dry: bool) -> std::collections::BTreeMap<String, SecretOutput> {
    let value = |value: Value| match value {
        Value::Plain(text) => SecretOutput::from(SecretString::from(text)),
        Value::Secret(_) if dry => SecretOutput::from(SecretString::default()),
        Value::Secret(secret) => SecretOutput::from(secret),
    };
    variables.into_iter().map(|(name, one)| (name, value(one))).collect()
}
