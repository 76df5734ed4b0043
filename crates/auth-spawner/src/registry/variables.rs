//! The variables of a provider's programs: their contents, and the programs for which a launch removes them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::provider::Provider;

/// The contents of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VariableClass {
    /// A credential, or the name of one.
    Secret,
    /// A server that receives the credential or the prompt.
    Destination,
    /// A directory or a file that may hold another credential.
    Location,
    /// A setting that selects no credential. It is never removed.
    Switch,
}

impl VariableClass {
    /// Returns the word used in files and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Destination => "destination",
            Self::Location => "location",
            Self::Switch => "switch",
        }
    }
}

/// The programs for which a variable is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VariableScope {
    /// Every program of a launch.
    #[default]
    Tree,
    /// Only the provider's own CLI, because other programs use the variable for other purposes.
    Cli,
}

/// A variable that a provider's programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Variable {
    /// The contents of the variable.
    pub class: VariableClass,
    /// The programs for which it is removed.
    #[serde(default)]
    pub scope: VariableScope,
}

/// The rules for variables that belong to no single provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VariableRules {
    /// Words that mark an unknown variable below a CLI's own prefix, and the contents that each stands for.
    pub words: BTreeMap<String, VariableClass>,
    /// Prefixes that many programs share, below which only listed variables are removed.
    pub shared_prefixes: BTreeSet<String>,
}

impl Provider {
    /// Returns the variables that this provider's programs read, by name.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<&str, Variable> {
        let mut found = BTreeMap::new();
        let mut add = |name, class| {
            found.entry(name).or_insert(Variable { class, scope: VariableScope::Tree });
        };
        if let Some(cli) = &self.cli {
            let token = cli
                .token
                .iter()
                .map(|token| &token.var)
                .chain(&cli.access_token_var)
                .chain(&cli.credential_var);
            cli.key_vars.iter().chain(token).for_each(|name| add(name.as_str(), VariableClass::Secret));
            let dir = &cli.config_dir;
            add(dir.var.as_str(), VariableClass::Location);
            dir.extra_vars.keys().for_each(|name| add(name.as_str(), VariableClass::Location));
            let host = cli.host.iter().map(|host| &host.var);
            cli.scrub.iter().chain(host).for_each(|name| add(name.as_str(), VariableClass::Destination));
        }
        if let Some(key) = &self.key {
            key.variables().for_each(|name| add(name, VariableClass::Secret));
            key.shadowing().for_each(|name| add(name, VariableClass::Destination));
        }
        let listed = self.cli.iter().flat_map(|cli| &cli.variables);
        let of_key = self.key.iter().flat_map(|key| &key.variables);
        found.extend(listed.chain(of_key).map(|(name, variable)| (name.as_str(), *variable)));
        found
    }
}

impl Provider {
    /// Returns whether the provider's programs can be given an access token that was made elsewhere.
    ///
    /// An access token is never given out as an API key. A service without a CLI takes it only if the entry says how it
    /// is refreshed, and so that it takes such tokens.
    ///
    /// # Errors
    /// The reason, in words for the user.
    pub fn takes_access_token(&self) -> Result<(), &'static str> {
        match &self.cli {
            Some(cli) if cli.access_token_var.is_some() => Ok(()),
            Some(_) => Err("its CLI accepts only its own logins"),
            None if self.oauth.is_some() && self.key.is_some() => Ok(()),
            None => Err("its service accepts only API keys"),
        }
    }
}

/// Returns the first word of a name that is a mark, with its class. Words are separated by underscores.
#[must_use]
pub fn marked<'a>(
    words: &'a BTreeMap<String, VariableClass>,
    name: &str,
) -> Option<(&'a str, VariableClass)> {
    let known = |word: &str| words.get_key_value(word).map(|(word, class)| (word.as_str(), *class));
    // A credential is named before a server or a directory.
    name.split('_').filter_map(known).min_by_key(|(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    #[test]
    fn variable_has_the_class_of_its_list_unless_the_entry_says_otherwise() {
        let registry = Registry::builtin().unwrap();
        let check = |provider: &str, name: &str, expected: Option<(VariableClass, VariableScope)>| {
            let variables = registry.provider(provider).unwrap().variables();
            let found = variables.get(name).map(|variable| (variable.class, variable.scope));
            assert_eq!(found, expected, "{provider} {name}");
        };
        check("claude", "ANTHROPIC_API_KEY", Some((VariableClass::Secret, VariableScope::Tree)));
        check("claude", "ANTHROPIC_BASE_URL", Some((VariableClass::Destination, VariableScope::Tree)));
        check("claude", "CLAUDE_CONFIG_DIR", Some((VariableClass::Location, VariableScope::Tree)));
        check("claude", "CLAUDE_PROJECT_DIR", Some((VariableClass::Switch, VariableScope::Tree)));
        check("copilot", "GITHUB_TOKEN", Some((VariableClass::Secret, VariableScope::Cli)));
        check("github", "GITHUB_TOKEN", Some((VariableClass::Secret, VariableScope::Tree)));
        check("claude", "HOME", None);
    }

    #[test]
    fn name_is_marked_by_a_whole_word_and_a_secret_word_comes_first() {
        let words = BTreeMap::from([
            ("URL".to_owned(), VariableClass::Destination),
            ("TOKEN".to_owned(), VariableClass::Secret),
        ]);
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(marked(&words, name).map(|(word, _)| word), expected, "{name}");
        };
        check("A_URL_TOKEN", Some("TOKEN"));
        check("A_URL", Some("URL"));
        check("A_MAX_TOKENS", None);
        check("A_CURL", None);
    }
}
