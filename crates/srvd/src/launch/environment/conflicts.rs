//! The variables that would interfere with a launch's credentials.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use auth_spawner::{KeyService, Registry};

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

/// Every variable through which a provider's program would use another credential, directory or server than the
/// launch's. The set is built once, because every launch needs all of it.
pub(crate) struct EnvironmentConflicts {
    always: BTreeSet<String>,
    /// Variables that other programs may use as well, by the launched provider.
    launched: BTreeMap<String, BTreeSet<String>>,
    /// Cached lists of names, by the variables that are set and the providers that are launched.
    known: Mutex<HashMap<String, Names>>,
}

impl EnvironmentConflicts {
    /// Collects the variables of all providers.
    pub(crate) fn new(registry: &Registry) -> Self {
        let mut always = BTreeSet::from(OURS.map(str::to_owned));
        let mut launched = BTreeMap::new();
        for provider in registry.iter() {
            let cli = provider.cli.iter().flat_map(|cli| {
                let dirs = std::iter::once(&cli.config_dir.var).chain(cli.config_dir.extra_vars.keys());
                let token = cli.token.iter().map(|token| &token.var);
                let vars = cli.key_vars.iter().chain(&cli.scrub).chain(dirs).chain(token);
                vars.chain(&cli.access_token_var).chain(&cli.credential_var)
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

    /// Returns the variables that a launch without any account removes.
    pub(crate) fn removed_without_account(&self) -> Names {
        self.beside(&BTreeMap::<String, String>::new(), &[])
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
        let shadows = EnvironmentConflicts::new(&Registry::builtin().unwrap());
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
