//! The variables that a launch removes, because they would interfere with its credentials.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use auth_spawner::{Registry, Variable, VariableClass, VariableScope, marked};

use crate::wire::Names;
use crate::wire::launch::UnsetRules;

/// Variables with the daemon's own secrets. They are never passed to an agent.
const OURS: [&str; 5] = [
    "OAUTH_ENCRYPTION_KEY",
    "OAUTH_ENCRYPTION_KEY_FILE",
    "OAUTH_ENCRYPTION_KEYS_OLD",
    "OAUTH_ENCRYPTION_KEYS_OLD_FILE",
    "SRVD_DATABASE_URL",
];
/// Prefix of the variables that most programs use. They are kept unless the launch sets them or uses an account of a CLI
/// that lives by them.
const EVERYBODYS_PREFIX: &str = "XDG_";
/// The number of lists of names that are cached. Few are needed, because few launches differ in the variables they set.
const KNOWN: usize = 64;

/// The relation of a launch to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::launch) enum Stance {
    /// The launch has an account of the provider, or leaves out the one that the bundle binds.
    Used,
    /// The launch has no account of the provider, and its programs must find none.
    Sealed,
    /// The programs of the provider keep the person's own credentials.
    Kept,
}

/// The parts of a launch that decide which variables it removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::launch) struct Situation {
    /// The relation to each provider, in the order of the registry.
    pub(in crate::launch) stances: Vec<Stance>,
    /// True for the providers whose CLI is started, in the order of the registry.
    pub(in crate::launch) started: Vec<bool>,
    /// True if variables that other programs use as well are removed, too.
    pub(in crate::launch) sealed: bool,
}

/// The reason why a variable is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::launch) struct Removal {
    /// The contents of the variable.
    pub(in crate::launch) class: VariableClass,
    /// The position of the provider whose programs read it; `None` for a variable of the daemon.
    pub(in crate::launch) provider: Option<usize>,
}

/// The rules that decide which variables are removed. They are built once from the registry.
pub(crate) struct RemovalRules {
    listed: BTreeMap<String, Vec<(usize, Variable)>>,
    prefixes: Vec<(String, usize)>,
    words: BTreeMap<String, VariableClass>,
    /// Variables that the operator lets through.
    keep: BTreeSet<String>,
    /// Cached lists of names, by the variables that are set and the situation.
    known: Mutex<HashMap<String, Names>>,
}

impl RemovalRules {
    /// Collects the variables of all providers. `keep` names those that the operator lets through.
    pub(crate) fn new(registry: &Registry, keep: impl IntoIterator<Item = String>) -> Self {
        let mut listed: BTreeMap<String, Vec<(usize, Variable)>> = BTreeMap::new();
        let mut prefixes = Vec::new();
        for (at, provider) in registry.iter().enumerate() {
            for (name, variable) in provider.variables() {
                listed.entry(name.to_owned()).or_default().push((at, variable));
            }
            let own = provider.cli.iter().flat_map(|cli| &cli.environment_prefixes);
            prefixes.extend(own.map(|prefix| (prefix.clone(), at)));
        }
        let words = registry.variable_rules().words.clone();
        Self { listed, prefixes, words, keep: keep.into_iter().collect(), known: Mutex::default() }
    }

    /// Decides whether a launch removes a variable that it does not set.
    pub(in crate::launch) fn removal(&self, name: &str, situation: &Situation) -> Option<Removal> {
        if OURS.contains(&name) {
            return Some(Removal { class: VariableClass::Secret, provider: None });
        }
        if self.keep.contains(name) {
            return None;
        }
        let listed = self.listed.get(name).map_or(&[][..], Vec::as_slice);
        if listed.iter().any(|(_, variable)| variable.class == VariableClass::Switch) {
            return None;
        }
        let removes = |(at, variable): &&(usize, Variable)| match (situation.stances[*at], variable.scope) {
            (Stance::Kept, _) => false,
            (Stance::Sealed, _) if name.starts_with(EVERYBODYS_PREFIX) => false,
            (_, VariableScope::Tree) => true,
            (_, VariableScope::Cli) => situation.sealed || situation.started[*at],
        };
        // A used provider explains the removal better than one that is sealed.
        let used = |at: usize| situation.stances[at] == Stance::Used;
        if let Some((at, variable)) = listed.iter().filter(removes).min_by_key(|(at, _)| !used(*at)) {
            return Some(Removal { class: variable.class, provider: Some(*at) });
        }
        if !listed.is_empty() {
            // A listed name is decided by its lists alone.
            return None;
        }
        let (_, class) = marked(&self.words, name)?;
        let below = self.prefixes.iter().filter(|(prefix, _)| name.starts_with(prefix.as_str()));
        let active = below.filter(|(_, at)| situation.stances[*at] != Stance::Kept);
        let (_, at) = active.min_by_key(|(_, at)| !used(*at))?;
        Some(Removal { class, provider: Some(*at) })
    }

    /// Returns the listed variables that a launch removes, ordered by name: none of those that it sets.
    pub(in crate::launch) fn beside<V>(&self, set: &BTreeMap<String, V>, situation: &Situation) -> Names {
        let names = set.keys().map(String::as_str);
        let flag = |flag: bool| if flag { "1" } else { "0" };
        let stances = situation.stances.iter().map(|stance| match stance {
            Stance::Used => "u",
            Stance::Sealed => "s",
            Stance::Kept => "k",
        });
        let started = situation.started.iter().map(|started| flag(*started));
        let key: String = names
            .flat_map(|name| [name, "\0"])
            .chain([flag(situation.sealed)])
            .chain(stances)
            .chain(started)
            .collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = known.get(&key) {
            return names.clone();
        }
        if known.len() == KNOWN {
            known.clear();
        }
        let listed = self.listed.keys().map(String::as_str).chain(OURS);
        let removed: BTreeSet<&str> = listed
            .filter(|name| !set.contains_key(*name) && self.removal(name, situation).is_some())
            .collect();
        let names: Names = removed.into_iter().map(str::to_owned).collect();
        known.insert(key, names.clone());
        names
    }

    /// Returns the listed variables that a launch without any account removes, under the policy of a person's bundles.
    pub(crate) fn removed_without_account(&self, registry: &Registry) -> Names {
        let stance = |tool: bool| if tool { Stance::Kept } else { Stance::Sealed };
        let stances: Vec<Stance> = registry.iter().map(|provider| stance(provider.tool)).collect();
        let started = vec![false; stances.len()];
        let situation = Situation { stances, started, sealed: false };
        self.beside(&BTreeMap::<String, String>::new(), &situation)
    }

    /// Returns the rules for the variables that no list names, for a caller that did not name its variables.
    pub(in crate::launch) fn rules<V>(&self, set: &BTreeMap<String, V>, situation: &Situation) -> UnsetRules {
        let active = |at: usize| situation.stances[at] != Stance::Kept;
        let prefixes: BTreeSet<&String> =
            self.prefixes.iter().filter(|(_, at)| active(*at)).map(|(prefix, _)| prefix).collect();
        let below = |name: &&String| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
        let kept = |name: &&String| set.contains_key(*name) || self.removal(name, situation).is_none();
        let listed = self.listed.keys().chain(&self.keep).chain(set.keys());
        let keep: BTreeSet<&String> = listed.filter(below).filter(kept).collect();
        UnsetRules {
            prefixes: prefixes.iter().map(|prefix| (*prefix).clone()).collect(),
            words: self.words.keys().cloned().collect(),
            keep: keep.into_iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn situation(registry: &Registry, used: &[&str], started: &str, sealed: bool) -> Situation {
        let stance = |id: &str, tool: bool| match () {
            () if used.contains(&id) => Stance::Used,
            () if tool && !sealed => Stance::Kept,
            () => Stance::Sealed,
        };
        Situation {
            stances: registry.iter().map(|provider| stance(&provider.id, provider.tool)).collect(),
            started: registry.iter().map(|provider| provider.id == started).collect(),
            sealed,
        }
    }

    /// Names that no launch of a person may remove: those of CI steps, a Workspace login, a company's TLS, cost limits,
    /// editors and hooks.
    const SURVIVORS: [&str; 26] = [
        "GITHUB_ACTIONS",
        "GITHUB_WORKSPACE",
        "GITHUB_ENV",
        "GITHUB_OUTPUT",
        "GITHUB_PATH",
        "GITHUB_SHA",
        "GH_REPO",
        "GH_PAGER",
        "GOOGLE_CLOUD_PROJECT",
        "AWS_REGION",
        "AWS_CA_BUNDLE",
        "AWS_PAGER",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
        "CLAUDE_CODE_CLIENT_CERT",
        "CLAUDE_CODE_SSE_PORT",
        "CLAUDE_CODE_DISABLE_TELEMETRY",
        "CLAUDE_PROJECT_DIR",
        "CLAUDE_PLUGIN_ROOT",
        "CODEX_CA_CERTIFICATE",
        "GEMINI_CLI_IDE_SERVER_PORT",
        "GEMINI_CLI_IDE_WORKSPACE_PATH",
        "GEMINI_CLI_IDE_AUTH_TOKEN",
        "NODE_EXTRA_CA_CERTS",
        "SSL_CERT_FILE",
        "HTTPS_PROXY",
        "PATH",
    ];

    #[test]
    fn variable_survives_when_it_selects_no_credential() {
        let registry = Registry::builtin().unwrap();
        let rules = RemovalRules::new(&registry, []);
        for started in ["", "claude", "codex", "gemini", "copilot"] {
            for sealed in [false, true] {
                let situation = situation(&registry, &["claude", "gemini"], started, sealed);
                for name in SURVIVORS {
                    assert_eq!(rules.removal(name, &situation), None, "{name} {started} {sealed}");
                }
            }
        }
    }

    #[test]
    fn variable_is_removed_by_its_list_its_scope_or_a_word_below_a_prefix() {
        use VariableClass::{Destination, Location, Secret};

        let registry = Registry::builtin().unwrap();
        let rules = RemovalRules::new(&registry, ["CLAUDE_CODE_LET_TOKEN".to_owned()]);
        let check = |name: &str, started: &str, sealed: bool, expected: Option<(&str, VariableClass)>| {
            let situation = situation(&registry, &["claude"], started, sealed);
            let found = rules.removal(name, &situation).map(|removal| {
                let provider = removal.provider.map_or("", |at| registry.ids()[at]);
                (provider, removal.class)
            });
            assert_eq!(found, expected, "{name} {started} {sealed}");
        };
        check("ANTHROPIC_API_KEY", "", false, Some(("claude", Secret)));
        check("ANTHROPIC_NEW_GATEWAY_KEY", "", false, Some(("claude", Secret)));
        check("CLAUDE_CODE_NEW_SOCKET", "", false, Some(("claude", Destination)));
        check("CLAUDE_CODE_NEW_DIR", "", false, Some(("claude", Location)));
        check("CLAUDE_CODE_LET_TOKEN", "", true, None);
        check("CLAUDECODE", "", false, Some(("claude", Destination)));
        check("COPILOT_PROVIDER_NEW_URL", "", false, Some(("copilot", Destination)));
        check("KIMI_MODEL_OTHER", "", false, Some(("kimi", Destination)));
        check("OAUTH_ENCRYPTION_KEY", "", false, Some(("", Secret)));
        check("SRVD_DATABASE_URL", "", false, Some(("", Secret)));
        // The person's tools stay, unless an agent that reads their variables is started, or the bundle is sealed.
        for name in ["GITHUB_TOKEN", "GH_TOKEN"] {
            check(name, "", false, None);
            check(name, "copilot", false, Some(("copilot", Secret)));
            check(name, "", true, Some(("copilot", Secret)));
        }
        check("AWS_SECRET_ACCESS_KEY", "", false, None);
        check("AWS_SECRET_ACCESS_KEY", "", true, Some(("aws", Secret)));
        check("AWS_BEARER_TOKEN_BEDROCK", "pi", false, Some(("pi", Secret)));
        check("GOOGLE_APPLICATION_CREDENTIALS", "", false, None);
        check("GOOGLE_APPLICATION_CREDENTIALS", "gemini", false, Some(("gemini", Secret)));
        check("XDG_DATA_HOME", "", false, None);
    }

    #[test]
    fn variable_of_a_kept_provider_stays_and_its_rules_say_so() {
        let registry = Registry::builtin().unwrap();
        let rules = RemovalRules::new(&registry, []);
        let mut situation = situation(&registry, &["codex"], "", false);
        // Every provider with a CLI that reads the key.
        let kept = |provider: &auth_spawner::Provider| {
            let cli = provider.cli.as_ref().map(|cli| cli.key_vars.iter().chain(&cli.scrub));
            let key = provider.key.as_ref().map(|key| key.vars.iter());
            let named = cli.into_iter().flatten().chain(key.into_iter().flatten());
            provider.id == "claude" || named.into_iter().any(|name| name == "ANTHROPIC_API_KEY")
        };
        for (at, provider) in registry.iter().enumerate() {
            if kept(provider) {
                situation.stances[at] = Stance::Kept;
            }
        }
        for name in ["ANTHROPIC_API_KEY", "CLAUDE_CODE_NEW_TOKEN", "CLAUDE_CONFIG_DIR"] {
            assert_eq!(rules.removal(name, &situation), None, "{name}");
        }
        let set = BTreeMap::from([("CODEX_HOME".to_owned(), true)]);
        let UnsetRules { prefixes, words, keep } = rules.rules(&set, &situation);
        assert!(prefixes.contains(&"CODEX_".to_owned()) && !prefixes.contains(&"CLAUDE_".to_owned()));
        assert!(words.contains(&"TOKEN".to_owned()) && keep.contains(&"CODEX_HOME".to_owned()));
        let unset = rules.beside(&set, &situation);
        assert!(!unset.contains(&"CODEX_HOME".to_owned()) && unset.contains(&"CODEX_API_KEY".to_owned()));
    }

    #[test]
    fn removal_cache_is_cleared_when_a_new_set_exceeds_its_limit() {
        let registry = Registry::builtin().unwrap();
        let rules = RemovalRules::new(&registry, []);
        let situation = situation(&registry, &["codex"], "", false);
        let ask = |number: usize| {
            let set = BTreeMap::from([(format!("NAME_{number}"), true), ("OPENAI_API_KEY".to_owned(), true)]);
            let names = rules.beside(&set, &situation);
            assert!(names.len() > 50 && !names.contains(&"OPENAI_API_KEY".to_owned()));
            rules.known.lock().unwrap().len()
        };
        assert_eq!((0..KNOWN).map(ask).last(), Some(KNOWN));
        assert_eq!([0, KNOWN - 1, KNOWN, KNOWN].map(ask), [KNOWN, KNOWN, 1, 1]);
    }
}
