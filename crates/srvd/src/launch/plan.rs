//! A launch without I/O: one part for each provider, and the change of the environment that all parts make together.

use std::path::Path;
use std::sync::Arc;

use auth_spawner::Provider;
use secrecy::SecretString;

use super::candidate::Candidate;
use super::decide::Decision;
use super::environment::{self, EnvironmentConflicts, Value, Variables};
use super::refusal::Refusal;
use super::subject::Subject;
use crate::wire::Names;
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

/// The change of an environment that gives an agent an identity.
#[derive(Debug)]
pub(super) struct Change {
    /// Variables to set.
    pub(super) set: Variables,
    /// Variables to remove, ordered by name. None of them is in `set`.
    pub(super) unset: Names,
}

impl Change {
    /// Adds variables that belong to no credential. An address of a proxy may hold a password.
    pub(super) fn with(mut self, others: &[(String, String)]) -> Self {
        for (name, value) in others {
            let value = if value.contains('@') {
                Value::Secret(SecretString::from(value.clone()))
            } else {
                Value::Plain(value.clone())
            };
            self.set.entry(name.clone()).or_insert(value);
        }
        self.unset = self.unset.iter().filter(|name| !self.set.contains_key(*name)).cloned().collect();
        self
    }
}

impl Plan {
    /// Combines the variables of all parts.
    ///
    /// # Errors
    /// The refusal of the first login that cannot be used, of the selected provider, or of the first provider if none can
    /// be used. A key that cannot be used beside others only leaves its variables unset. `conflict` when two parts need
    /// different values of a variable.
    pub(super) fn change(&self, conflicts: &EnvironmentConflicts) -> Result<Change, ApiError> {
        if self.parts.is_empty() && !self.subject.may_be_empty() {
            return Err(self.missing());
        }
        let is_login = |part: &Part| part.reported().is_some_and(|at| part.candidates[at].login);
        let fatal = |part: &&Part| part.outcome.is_err() && (self.selected || is_login(part));
        let useless = self.parts.iter().all(|part| part.outcome.is_err());
        let refused = self.parts.iter().find(fatal).or_else(|| self.parts.first().filter(|_| useless));
        if let Some((part, Err(refusal))) = refused.map(|part| (part, &part.outcome)) {
            return Err(refusal.error(Some(part), self.parts.iter()));
        }
        let fit = self.parts.iter().filter_map(|part| Some((&part.provider, part.outcome.as_ref().ok()?)));
        let set = environment::combine(fit)?;
        let launched: Vec<&str> = self.parts.iter().map(|part| part.provider.id.as_str()).collect();
        let unset = conflicts.beside(&set, &launched);
        Ok(Change { set, unset })
    }

    /// Returns the error for a subject without any credential.
    pub(super) fn missing(&self) -> ApiError {
        Refusal::missing(&self.subject, None).error(None, self.parts.iter())
    }
}

#[cfg(test)]
mod tests;
