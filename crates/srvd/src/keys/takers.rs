//! The providers that take API keys, for a client that names another one.

use std::sync::Arc;

use auth_spawner::{KeyService, Provider, Registry};

use crate::hint::Step;
use crate::wire::error::ApiError;
use crate::wire::ids;

/// Returns the provider of a key, by its id or an alias.
///
/// # Errors
/// `unknown_provider` with the known ids and those that are spelled like it.
pub(crate) fn provider<'a>(registry: &'a Registry, id: &str) -> Result<&'a Arc<Provider>, ApiError> {
    ids::provider(registry, id).map_err(|error| with_takers(error, &near(registry, id)))
}

/// Returns the error for a provider that takes no keys. It names those that take the keys of the same service.
pub(super) fn no_keys(registry: &Registry, provider: &Provider) -> ApiError {
    let reason = format!("{} does not accept API keys", provider.display_name);
    with_takers(
        ApiError::invalid_input("providerId", reason).hint(Step::UseAuthStart),
        &related(registry, provider),
    )
}

/// Adds the providers that take keys to an error.
fn with_takers(error: ApiError, takers: &[&Provider]) -> ApiError {
    if takers.is_empty() {
        return error;
    }
    let ids: Vec<&str> = takers.iter().map(|taker| taker.id.as_str()).collect();
    let names = takers.iter().map(|taker| format!("{} ({})", taker.id, taker.display_name));
    let takers = names.collect::<Vec<_>>().join(", ");
    error.hint(Step::UseKeyTaker { takers }).with("takesKeys", ids)
}

/// Returns the providers with keys that a CLI accepts, by its variables and its homes for keys.
fn related<'a>(registry: &'a Registry, provider: &Provider) -> Vec<&'a Provider> {
    let Some(cli) = &provider.cli else { return Vec::new() };
    let takes = |other: &&Provider| {
        let shared = |key: &KeyService| key.vars.iter().any(|name| cli.key_vars.contains(name));
        other.key.as_ref().is_some_and(|key| cli.keys.contains_key(&other.id) || shared(key))
    };
    registry.iter().map(AsRef::as_ref).filter(takes).collect()
}

/// Returns the providers that someone may mean by an unknown id: those with keys, or those that take the keys of a CLI,
/// with a name that differs only in its separators, or else one that is spelled like it or begins with the same word.
fn near<'a>(registry: &'a Registry, id: &str) -> Vec<&'a Provider> {
    let plain = |name: &str| name.replace(SEPARATORS, "").to_lowercase();
    let word = |name: &str| name.split(SEPARATORS).next().unwrap_or_default().to_lowercase();
    let (wanted, first) = (plain(id), word(id));
    let same = takers_of(registry, |name| plain(name) == wanted);
    if !same.is_empty() {
        return same;
    }
    takers_of(registry, |name| {
        strsim::jaro_winkler(&plain(name), &wanted) > 0.92 || (first.len() > 2 && word(name) == first)
    })
}

/// The characters between the words of an id.
const SEPARATORS: [char; 4] = ['-', '_', ' ', '.'];

/// Returns the providers that take the keys of those with a name that fits.
fn takers_of(registry: &Registry, fits: impl Fn(&str) -> bool) -> Vec<&Provider> {
    let mut found: Vec<&Provider> = Vec::new();
    for provider in registry.iter() {
        if !std::iter::once(&provider.id).chain(&provider.aliases).any(|name| fits(name)) {
            continue;
        }
        let takers = match &provider.key {
            Some(_) => vec![provider.as_ref()],
            None => related(registry, provider),
        };
        for taker in takers {
            if !found.iter().any(|known| known.id == taker.id) {
                found.push(taker);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use rpc_engine::RpcError;
    use serde_json::{Value, json};

    use super::*;

    fn takers_named(error: ApiError) -> Value {
        RpcError::from(error).data.unwrap_or_default()["takesKeys"].clone()
    }

    #[test]
    fn refusal_names_the_providers_that_take_keys() {
        let registry = Registry::builtin().unwrap();
        for (id, expected) in [
            ("kimi", json!(["moonshot"])),
            ("kimi-code", json!(["moonshot"])),
            ("claude", json!(["anthropic"])),
            ("codex", json!(["openai"])),
            ("openclaw", json!(["anthropic", "openai"])),
            ("grok", json!(["xai"])),
        ] {
            let named = provider(&registry, id).unwrap();
            assert!(named.key.is_none(), "{id}");
            assert_eq!(takers_named(no_keys(&registry, named)), expected, "{id}");
        }
    }

    #[test]
    fn unknown_provider_names_those_that_are_spelled_like_it() {
        let registry = Registry::builtin().unwrap();
        for (id, expected) in [
            ("anthropics", json!(["anthropic"])),
            ("claude-api", json!(["anthropic"])),
            ("kimi_api", json!(["moonshot"])),
            ("open-router", json!(["openrouter"])),
            ("zzz", Value::Null),
            ("", Value::Null),
        ] {
            let error = provider(&registry, id).unwrap_err();
            assert_eq!(takers_named(error), expected, "{id}");
        }
    }
}
