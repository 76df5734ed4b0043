//! Two properties of every credential of an agent: its source and the models that it is for.

use std::sync::Arc;

use auth_spawner::{Provider, Registry};

/// The source of a credential, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A profile, which the user supplied for the agent.
    User,
    /// A credential that a client lent to the daemon until the daemon ends.
    Ephemeral,
    /// A credential that a file declares for the agent.
    Declared,
}

impl Source {
    /// Returns the word of the wire protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Ephemeral => "ephemeral",
            Self::Declared => "declared",
        }
    }
}

/// The models that a credential is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    /// Every model, `*`.
    Any,
    /// One model, without its provider's prefix.
    Only(String),
}

impl Model {
    /// Parses a model from a request or a row. An absent or empty text, or `*`, means any model. The provider's own
    /// prefix, its id or an alias, is removed. The prefix of another provider is part of the name, as in `openrouter`'s
    /// `anthropic/...`.
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

    /// Returns the provider that a model's prefix names, for a request without a provider.
    pub fn provider<'a>(text: &str, registry: &'a Registry) -> Option<&'a Arc<Provider>> {
        registry.provider(text.trim().split_once('/')?.0)
    }

    /// Returns the model as text; `*` for any model.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Any => "*",
            Self::Only(model) => model,
        }
    }
}
