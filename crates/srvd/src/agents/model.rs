//! The model for which a credential is intended, or which a request names.

use auth_spawner::{Provider, Registry};

/// The models for which a credential is intended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Model {
    /// Every model, `*`.
    Any,
    /// One model, without its provider's prefix.
    Only(String),
}

impl Model {
    /// Parses a model from a request or a row. An absent or empty text, or `*`, means any model. The provider's own
    /// prefix, which is its id or an alias, is removed. Another provider's prefix is part of the name, as in
    /// `openrouter`'s `anthropic/...`.
    pub(crate) fn of(text: Option<&str>, provider: &Provider, registry: &Registry) -> Self {
        let text = text.map_or("*", str::trim);
        let own = text.split_once('/').filter(|(prefix, rest)| {
            !rest.is_empty() && registry.provider(prefix).is_some_and(|found| found.id == provider.id)
        });
        match own.map_or(text, |(_, rest)| rest) {
            "" | "*" => Self::Any,
            model => Self::Only(model.to_owned()),
        }
    }

    /// Returns the provider named by a model's prefix, for a request without a provider.
    pub(crate) fn provider<'a>(text: &str, registry: &'a Registry) -> Option<&'a std::sync::Arc<Provider>> {
        registry.provider(text.trim().split_once('/')?.0)
    }

    /// Returns the single model; `None` for any model.
    pub(crate) fn only(self) -> Option<String> {
        match self {
            Self::Any => None,
            Self::Only(model) => Some(model),
        }
    }

    /// Returns the model as text; `*` for any model.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Any => "*",
            Self::Only(model) => model,
        }
    }
}
