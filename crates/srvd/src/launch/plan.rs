//! A launch without I/O: one part for each provider, and the change of the environment that all parts make together.

use std::path::Path;
use std::sync::Arc;

use auth_spawner::Provider;

use super::candidate::Candidate;
use super::decide::Decision;
use super::environment::{self, Variables};
use super::refusal::Refusal;
use super::subject::Subject;
use crate::wire::error::ApiError;

/// One provider of a launch: its candidates, the decision, and the variables or the reason why there are none.
pub(super) struct Part {
    pub(super) provider: Arc<Provider>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) decision: Decision,
    pub(super) outcome: Result<Variables, Refusal>,
}

/// The values that all parts of a launch share.
pub(super) struct PartContext<'a> {
    /// The subject of the launch.
    pub(super) subject: &'a Subject,
    /// The directory of the caches that all bundles share.
    pub(super) shared: &'a Path,
}

impl Part {
    /// Makes the variables of the candidate that a decision chooses.
    pub(super) fn new(
        provider: Arc<Provider>,
        candidates: Vec<Candidate>,
        decision: Decision,
        context: &PartContext<'_>,
    ) -> Self {
        let outcome = match decision.outcome.chosen() {
            Some(at) => environment::variables(&candidates[at], context.shared)
                .map_err(|reason| Refusal::unusable(at, &candidates[at], reason)),
            None => Err(Refusal::of(&decision, &candidates, context.subject, &provider.id)),
        };
        Self { provider, candidates, decision, outcome }
    }
}

/// All providers of a launch.
pub(super) struct Plan {
    pub(super) subject: Subject,
    pub(super) parts: Vec<Part>,
    /// True if one provider was selected. A credential of it is then required.
    pub(super) selected: bool,
}

impl Plan {
    /// Checks whether the launch may start. `started` holds the ids of the providers whose CLI is started, `allow_none`
    /// is true if the launch may be without any credential.
    ///
    /// # Errors
    /// The refusal of the first login that the program needs and cannot use, of the selected provider, or of the first
    /// provider if none can be used. A provider's own CLI needs only its own login. A key that cannot be used beside
    /// others is left out and reported.
    pub(super) fn check(&self, started: &[&str], allow_none: bool) -> Result<(), ApiError> {
        if self.parts.is_empty() && !allow_none && !self.subject.may_be_empty() {
            return Err(self.missing());
        }
        let is_login = |part: &Part| part.reported().is_some_and(|at| part.candidates[at].login);
        let needed = |part: &Part| started.is_empty() || started.contains(&&*part.provider.id);
        let fatal = |part: &&Part| {
            let login = is_login(part) && needed(part) && !part.is_not_taken();
            part.outcome.is_err() && (self.selected || login)
        };
        let useless = !allow_none && self.parts.iter().all(|part| part.outcome.is_err());
        let refused = self.parts.iter().find(fatal).or_else(|| self.parts.first().filter(|_| useless));
        match refused.map(|part| (part, &part.outcome)) {
            Some((part, Err(refusal))) => Err(refusal.error(Some(part), self.parts.iter())),
            _ => Ok(()),
        }
    }

    /// Returns the variables of all credentials, without those for the CLIs' directories.
    pub(super) fn credentials(&self) -> Variables {
        let fit = self.parts.iter().filter_map(|part| Some((&part.provider, part.outcome.as_ref().ok()?)));
        environment::combine(fit)
    }

    /// Returns the error for a subject without any credential.
    pub(super) fn missing(&self) -> ApiError {
        Refusal::missing(&self.subject, None).error(None, self.parts.iter())
    }
}

#[cfg(test)]
mod tests;
