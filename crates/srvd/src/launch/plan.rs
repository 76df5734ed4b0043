//! A launch without I/O: one part for each provider, and the change of the environment that all parts make together.

use std::path::Path;
use std::sync::Arc;

use auth_spawner::{Cli, Provider, Registry};

use super::candidate::{Candidate, Credential};
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
    /// The reason why the launch does not set the key of this part, although it could be used.
    pub(super) withheld: Option<String>,
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
        Self { provider, candidates, decision, outcome, withheld: None }
    }

    /// Returns the credential that the launch uses.
    pub(super) fn used_candidate(&self) -> Option<&Candidate> {
        let at = self.decision.outcome.chosen()?;
        (self.outcome.is_ok() && self.withheld.is_none()).then(|| &self.candidates[at])
    }

    /// Returns the CLI of a login that the launch uses.
    fn cli_of_login(&self) -> Option<&Cli> {
        let candidate = self.used_candidate()?;
        let cli = candidate.provider.cli.as_ref()?;
        (!matches!(candidate.credential, Credential::Key(_))).then_some(cli)
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

    /// Withholds each key that a CLI of the launch would use instead of its own login. `started` holds the ids of the
    /// providers whose CLI is started.
    ///
    /// Every program of the launch has the same environment, so the key is withheld from all of them, unless the started
    /// CLI runs with it. A caller that needs the key selects its provider.
    pub(super) fn withhold_keys(&mut self, registry: &Registry, started: &[&str]) {
        let withheld: Vec<Option<String>> =
            self.parts.iter().map(|part| self.withheld(part, registry, started)).collect();
        for (part, reason) in self.parts.iter_mut().zip(withheld) {
            part.withheld = reason;
        }
    }

    /// Returns the reason for which a part's key is withheld.
    fn withheld(&self, key: &Part, registry: &Registry, started: &[&str]) -> Option<String> {
        let Ok(set) = &key.outcome else { return None };
        if key.cli_of_login().is_some() {
            return None;
        }
        let has_login =
            |id: &str| self.parts.iter().any(|part| part.provider.id == id && part.cli_of_login().is_some());
        let runs = |id: &&str| {
            let cli = registry.provider(id).and_then(|provider| provider.cli.as_ref());
            !has_login(id) && cli.is_some_and(|cli| cli.keys.contains_key(&key.provider.id))
        };
        if started.iter().any(runs) {
            return None;
        }
        let beaten = |login: &&Part| {
            let own = login.outcome.as_ref().ok();
            let Some(cli) = login.cli_of_login() else { return false };
            let is_started = started.contains(&&*login.provider.id);
            cli.key_variables_before_login(is_started)
                .any(|name| set.contains_key(name) && own.is_none_or(|own| !own.contains_key(name)))
        };
        let login = self.parts.iter().find(beaten)?;
        Some(format!("{} would use it instead of its login", login.provider.display_name))
    }

    /// Returns the variables of all credentials, without those for the CLIs' directories.
    pub(super) fn credentials(&self) -> Variables {
        let used = self.parts.iter().filter(|part| part.withheld.is_none());
        let fit = used.filter_map(|part| Some((&part.provider, part.outcome.as_ref().ok()?)));
        environment::combine(fit)
    }

    /// Returns the error for a subject without any credential.
    pub(super) fn missing(&self) -> ApiError {
        Refusal::missing(&self.subject, None).error(None, self.parts.iter())
    }
}

#[cfg(test)]
mod tests;
