//! The request for a credential, with every name in canonical form.

use auth_spawner::{Provider, Registry};

use super::{Candidate, Model};

/// A request for a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Canonical provider id.
    pub provider: String,
    /// The model, without its provider's prefix. When absent, a credential for any model can be used.
    pub model: Option<String>,
    /// True if a credential for another model may be used when there is no better one.
    pub any_model: bool,
    /// Shortest remaining lifetime of the credential, in milliseconds.
    pub min_ttl: i64,
    /// The present time, in unix milliseconds.
    pub now: i64,
}

impl Asked {
    /// Requests a credential of this provider at this time.
    pub fn of(provider: &Provider, model: Option<&str>, registry: &Registry, now: i64) -> Self {
        let model = match model.map(|model| Model::of(Some(model), provider, registry)) {
            Some(Model::Only(model)) => Some(model),
            Some(Model::Any) | None => None,
        };
        Self { provider: provider.id.clone(), model, any_model: false, min_ttl: 0, now }
    }

    /// Returns the rank of a candidate; smaller is better. `None` means that it does not match.
    pub(super) fn rank(&self, candidate: &Candidate) -> Option<u8> {
        if candidate.provider != self.provider {
            return None;
        }
        match (&self.model, &candidate.model) {
            (None, _) => Some(0),
            (Some(asked), Model::Only(model)) if asked == model => Some(0),
            (Some(_), Model::Any) => Some(1),
            (Some(_), Model::Only(_)) => self.any_model.then_some(2),
        }
    }
}
