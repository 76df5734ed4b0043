//! The variables that carry a credential, and those that would interfere with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use auth_spawner::{KeyService, Provider, Reach, Registry};
use identity_store::AccountKind;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Candidate, Value};
use crate::wire::Names;

/// Variables with the daemon's own secrets. They are never passed to an agent.
const OURS: [&str; 4] = [
    "OAUTH_ENCRYPTION_KEY",
    "OAUTH_ENCRYPTION_KEY_FILE",
    "OAUTH_ENCRYPTION_KEYS_OLD",
    "OAUTH_ENCRYPTION_KEYS_OLD_FILE",
];
/// Prefix of the variables that all programs share. Other programs may use them, so they are kept unless the launch
/// sets them.
const SHARED_PREFIX: &str = "XDG_";
/// The number of lists of names that are cached. Few are needed, because few accounts differ in the variables they set.
const KNOWN: usize = 64;

/// Returns the variables of a login in a directory. `shared` is the directory of the caches that the bundles share.
pub(super) fn of_directory(
    provider: &Provider,
    dir: &Path,
    reach: Reach,
    shared: &Path,
) -> BTreeMap<String, Value> {
    let Some(cli) = &provider.cli else { return BTreeMap::new() };
    let mut set = cli.env.clone();
    // Once the variable is set, several CLIs read a part of their files from another place. The user's own directory is
    // therefore reached in the same way as by the user's own programs.
    set.extend(cli.config_dir.variables_for(reach, dir, &shared.join(&provider.id)));
    set.into_iter().map(|(name, value)| (name, Value::Plain(value))).collect()
}

/// Returns the variables of a secret: those of the service for a key, or the CLI's own variable for a token. `Err` is
/// the reason why there are none.
pub(super) fn of_secret(
    candidate: &Candidate,
    secret: &SecretString,
    shared: &Path,
) -> Result<BTreeMap<String, Value>, &'static str> {
    let provider = &candidate.provider;
    if candidate.account.kind == AccountKind::OAuth {
        let token = provider.cli.as_ref().and_then(|cli| cli.token.as_ref());
        let var = &token.ok_or("the registry does not say how its CLI takes a token")?.var;
        let dir = candidate.own_dir.as_deref().ok_or("it has no directory of its own")?;
        let mut set = of_directory(provider, dir, Reach::Bundle, shared);
        set.insert(var.clone(), Value::Secret(secret.clone()));
        return Ok(set);
    }
    of_key(provider, candidate.account.base_url.as_deref(), secret)
}

/// Returns the variables of an API key: all those of its service, with `base_url` if it is not the default address.
/// `Err` is the reason why there are none.
pub(crate) fn of_key(
    provider: &Provider,
    base_url: Option<&str>,
    secret: &SecretString,
) -> Result<BTreeMap<String, Value>, &'static str> {
    let key = provider.key.as_ref().ok_or("the registry does not say how its service takes a key")?;
    let mut set = address(base_url, key)?;
    if let Some(pair) = &key.pair {
        let parts =
            pair.split(secret.expose_secret()).ok_or("it is not a key of the parts that it should have")?;
        let value = |part: &str| Value::Secret(SecretString::from(part));
        set.extend(pair.vars.iter().cloned().zip(parts.into_iter().map(value)));
    }
    let vars = key.variables_at(base_url.unwrap_or(&key.base_url));
    set.extend(vars.iter().map(|var| (var.clone(), Value::Secret(secret.clone()))));
    Ok(set)
}

/// Returns the variables of an access token that a user supplied: the variable of the provider's CLI, or those of its
/// service, which accepts the token like a key. `Err` is the reason why there are none.
pub(crate) fn of_token(
    provider: &Provider,
    secret: &SecretString,
) -> Result<BTreeMap<String, Value>, &'static str> {
    let taken = provider.cli.as_ref().and_then(|cli| Some((cli, cli.access_token_var.as_ref()?)));
    let Some((cli, var)) = taken else {
        return match provider.key {
            Some(_) => of_key(provider, None, secret),
            None => Err("its CLI takes only logins that it has made itself"),
        };
    };
    // The agent has no directory of its own here. The CLI would overwrite or remove the user's own keychain entry.
    if cli.keeps_in_keychain() {
        return Err(
            "on this system its CLI keeps your own login in the keychain, which a token could cost you",
        );
    }
    let plain = cli.env.iter().map(|(name, value)| (name.clone(), Value::Plain(value.clone())));
    Ok(plain.chain([(var.clone(), Value::Secret(secret.clone()))]).collect())
}

/// Returns the variables that direct an agent to the service, if it is not at its default address. A key for another
/// address is never launched without them, because it would be sent to the default address.
fn address(base_url: Option<&str>, key: &KeyService) -> Result<BTreeMap<String, Value>, &'static str> {
    let other = base_url.filter(|base_url| *base_url != key.base_url);
    let Some(base_url) = other else { return Ok(BTreeMap::new()) };
    let set = key.addressed(base_url);
    if set.is_empty() {
        return Err("the registry does not say how an agent is told its address");
    }
    Ok(set.into_iter().map(|(name, value)| (name, Value::Plain(value))).collect())
}

/// Every variable through which a provider's program would use another credential, directory or server than the
/// launch's. The set is built once, because every launch needs all of it.
pub struct Shadows {
    always: BTreeSet<String>,
    /// Variables that other programs may use as well, by the launched provider.
    launched: BTreeMap<String, BTreeSet<String>>,
    /// Cached lists of names, by the variables that are set and the providers that are launched.
    known: Mutex<HashMap<String, Names>>,
}

impl Shadows {
    /// Collects the variables of all providers.
    pub fn new(registry: &Registry) -> Self {
        let mut always = BTreeSet::from(OURS.map(str::to_owned));
        let mut launched = BTreeMap::new();
        for provider in registry.iter() {
            let cli = provider.cli.iter().flat_map(|cli| {
                let dirs = std::iter::once(&cli.config_dir.var).chain(cli.config_dir.extra_vars.keys());
                let token = cli.token.iter().map(|token| &token.var);
                cli.key_vars.iter().chain(&cli.scrub).chain(dirs).chain(token).chain(&cli.access_token_var)
            });
            let key = provider.key.iter().flat_map(KeyService::shadowing);
            let (shared, own): (BTreeSet<_>, BTreeSet<_>) = cli
                .map(String::as_str)
                .chain(key)
                .map(str::to_owned)
                .partition(|name| name.starts_with(SHARED_PREFIX));
            always.extend(own);
            launched.insert(provider.id.clone(), shared);
        }
        Self { always, launched, known: Mutex::default() }
    }

    /// Returns the variables that a launch of these providers removes, ordered by name: all except those that it sets.
    pub(crate) fn beside<V>(&self, set: &BTreeMap<String, V>, launched: &[&str]) -> Names {
        let names = set.keys().map(String::as_str);
        let key: String =
            names.chain([""]).chain(launched.iter().copied()).flat_map(|name| [name, "\0"]).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = known.get(&key) {
            return names.clone();
        }
        if known.len() == KNOWN {
            known.clear();
        }
        let names = self.names_beside(set, launched);
        known.insert(key, names.clone());
        names
    }

    fn names_beside<V>(&self, set: &BTreeMap<String, V>, launched: &[&str]) -> Names {
        let shared = launched.iter().filter_map(|provider| self.launched.get(*provider)).flatten();
        let names: BTreeSet<&String> = self.always.iter().chain(shared).collect();
        names.into_iter().filter(|name| !set.contains_key(*name)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shadow_cache_is_cleared_when_a_new_set_exceeds_its_limit() {
        let shadows = Shadows::new(&Registry::builtin().unwrap());
        let ask = |number: usize| {
            let set = BTreeMap::from([(format!("NAME_{number}"), true), ("OPENAI_API_KEY".to_owned(), true)]);
            let names = shadows.beside(&set, &["codex"]);
            assert_eq!(*names, *shadows.names_beside(&set, &["codex"]));
            assert!(names.len() > 50 && !names.contains(&"OPENAI_API_KEY".to_owned()));
            shadows.known.lock().unwrap().len()
        };
        assert_eq!((0..KNOWN).map(ask).last(), Some(KNOWN));
        assert_eq!([0, KNOWN - 1, KNOWN, KNOWN].map(ask), [KNOWN, KNOWN, 1, 1]);
    }
}
