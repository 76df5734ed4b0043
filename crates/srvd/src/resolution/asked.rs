//! What is asked for, with every name in its one form.

use auth_spawner::{Provider, Registry};

use super::{Candidate, Model};

/// What a credential is wanted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Canonical provider id.
    pub provider: String,
    /// The model, without its provider's prefix; any credential will do without one.
    pub model: Option<String>,
    /// Whether a credential for another model is better than none.
    pub any_model: bool,
    /// How long the credential has to last, in milliseconds.
    pub min_ttl: i64,
    /// Unix milliseconds.
    pub now: i64,
}

impl Asked {
    /// A credential of this provider at this time.
    pub fn of(provider: &Provider, model: Option<&str>, registry: &Registry, now: i64) -> Self {
        let model = match model.map(|model| Model::of(Some(model), provider, registry)) {
            Some(Model::Only(model)) => Some(model),
            Some(Model::Any) | None => None,
        };
        Self { provider: provider.id.clone(), model, any_model: false, min_ttl: 0, now }
    }

    /// How well a candidate suits, the smaller the better; `None` not at all.
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

impl Model {
    /// A model as a request or a row names it: nothing or `*` is any. The prefix of the provider itself, under whatever
    /// name, is taken off; another provider's belongs to the name, as in `openrouter`'s `anthropic/...`.
    pub fn of(text: Option<&str>, provider: &Provider, registry: &Registry) -> Self {
        let text = text.map_or("*", str::trim);
        let own = text.split_once('/').filter(|(prefix, rest)| {
            !rest.is_empty() && registry.provider(prefix).is_some_and(|found| found.id == provider.id)
        });
        match own.map_or(text, |(_, rest)| rest) {
            "" | "*" => Self::Any,
            model => Self::Only(model.to_owned()),
        }
    }

    /// The provider that a model's prefix names, where no provider is asked for by name.
    pub fn provider<'a>(text: &str, registry: &'a Registry) -> Option<&'a std::sync::Arc<Provider>> {
        registry.provider(text.trim().split_once('/')?.0)
    }

    /// The model as text, `*` for any.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Any => "*",
            Self::Only(model) => model,
        }
    }
}
