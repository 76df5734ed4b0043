//! Which variables carry a credential, and which would get in its way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use auth_spawner::{KeyService, Provider, Reach, Registry};
use identity_store::AccountKind;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Candidate, Value};
use crate::api::Names;

/// The daemon's own secrets, which no agent is ever given.
const OURS: [&str; 4] = [
    "OAUTH_ENCRYPTION_KEY",
    "OAUTH_ENCRYPTION_KEY_FILE",
    "OAUTH_ENCRYPTION_KEYS_OLD",
    "OAUTH_ENCRYPTION_KEYS_OLD_FILE",
];
/// Directories of everybody: another program's may be meant, so they are left alone unless the launch sets them.
const SHARED_PREFIX: &str = "XDG_";
/// How many lists of names are kept; there are few, because few accounts differ in what they set.
const KNOWN: usize = 64;

/// Variables of a login that lies in a directory; `shared` is where the bundles' common caches are.
pub(super) fn of_directory(
    provider: &Provider,
    dir: &Path,
    reach: Reach,
    shared: &Path,
) -> BTreeMap<String, Value> {
    let Some(cli) = &provider.cli else { return BTreeMap::new() };
    let mut set = cli.env.clone();
    // Several CLIs look elsewhere for a part of their files once the variable is set, so the user's own directory is
    // found as the user's own programs find it.
    set.extend(cli.config_dir.variables_for(reach, dir, &shared.join(&provider.id)));
    set.into_iter().map(|(name, value)| (name, Value::Plain(value))).collect()
}

/// Variables of a secret: a key in all of its service's, a CLI's token in the CLI's own. `Err` is why there are none.
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

/// Variables of an API key: all of its service's, at `base_url` when that is not the usual address. `Err` is why there are
/// none.
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

/// Variables of an access token that a user brought: the one of its provider's CLI, or those of its service, which takes it
/// as it takes a key. `Err` is why there are none.
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
    // The agent has no directory here, so it would be the user's own entry that the CLI writes or removes.
    if cli.keeps_in_keychain() {
        return Err(
            "on this system its CLI keeps your own login in the keychain, which a token could cost you",
        );
    }
    let plain = cli.env.iter().map(|(name, value)| (name.clone(), Value::Plain(value.clone())));
    Ok(plain.chain([(var.clone(), Value::Secret(secret.clone()))]).collect())
}

/// What leads an agent to the service, where that is not at its usual address. A key for another address is never
/// launched without it: it would be sent to the usual one.
fn address(base_url: Option<&str>, key: &KeyService) -> Result<BTreeMap<String, Value>, &'static str> {
    let other = base_url.filter(|base_url| *base_url != key.base_url);
    let Some(base_url) = other else { return Ok(BTreeMap::new()) };
    let set = key.addressed(base_url);
    if set.is_empty() {
        return Err("the registry does not say how an agent is told its address");
    }
    Ok(set.into_iter().map(|(name, value)| (name, Value::Plain(value))).collect())
}

/// Every variable through which some provider's program would take another credential, another directory or another
/// server than the launch's. It is put together once, because each launch is told all of them.
pub struct Shadows {
    always: BTreeSet<String>,
    /// Those that another program may be meant by, by the provider that is launched.
    launched: BTreeMap<String, BTreeSet<String>>,
    /// What was put together before, by the variables that were set and the providers that were launched.
    known: Mutex<HashMap<String, Names>>,
}

impl Shadows {
    /// Those of all providers.
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

    /// What a launch of these providers removes, in order of name: all but what it sets.
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
    fn what_is_known_is_bounded_and_stays_while_it_is_asked_for() {
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
