//! The provider registry: the shipped entries, overlaid by the operator's files, and validated together.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::{Table, Value};

use super::error::RegistryError;
use super::host::{HostChoice, filled, has_placeholder};
use super::key_service::KeyService;
use super::provider::{Class, Cli, Provider};
use super::reserved;
use super::token_endpoint::TokenEndpoint;
use super::validate::{Violation, validate};
use super::variables::VariableRules;
use super::who_am_i::WhoAmI;

/// The shipped entries, as pairs of file name and text.
const SHIPPED: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/shipped.rs"));
/// Name of the shipped entries as a group, in errors.
const SHIPPED_NAME: &str = "config/providers";
/// The format of registry files that this build writes. Files without `schema` have format 1, that of srvd 0.1.0.
const SCHEMA: i64 = 2;

/// All known providers. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Index>);

#[derive(Debug)]
struct Index {
    providers: Vec<Arc<Provider>>,
    rules: VariableRules,
    /// Positions in `providers` by canonical id and alias, each folded.
    names: HashMap<String, usize>,
}

/// An operator's file.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Name of the file in errors, usually its path.
    pub source: String,
    /// TOML text of the file.
    pub text: String,
}

impl Registry {
    /// Returns the registry that this build ships.
    ///
    /// # Errors
    /// Returns an error if a shipped entry is not valid, which a test of this crate rules out.
    pub fn builtin() -> Result<Self, RegistryError> {
        Self::with_overlays(&[])
    }

    /// Returns the shipped registry with the operator's files applied in order: tables are merged, arrays and single
    /// values are replaced. After each file the merged registry must be valid, so an error names its file.
    ///
    /// # Errors
    /// Returns the first problem, with the file and the place in it.
    pub fn with_overlays(overlays: &[Overlay]) -> Result<Self, RegistryError> {
        let mut merged = Table::new();
        for (source, text) in SHIPPED {
            merge(&mut merged, parse(source, text)?);
        }
        // A test compiles the shipped patterns, so that a start does not have to.
        let mut rules = variable_rules(SHIPPED_NAME, &mut merged)?;
        let mut providers = read(SHIPPED_NAME, &merged)?;
        own_prefixes(SHIPPED_NAME, &providers, &rules)?;
        for Overlay { source, text } in overlays {
            let table = parse(source, text)?;
            let named = tables(&table);
            merge(&mut merged, table);
            let more = variable_rules(source, &mut merged)?;
            rules.words.extend(more.words);
            rules.shared_prefixes.extend(more.shared_prefixes);
            providers = read(source, &merged)?;
            own_prefixes(source, &providers, &rules)?;
            providers.iter().filter(|provider| named.contains(&provider.id)).try_for_each(|provider| {
                compile(provider).map_err(|Violation { field, reason }| {
                    refuse(source, format!("providers.{}.{field}", provider.id), reason)
                })
            })?;
        }
        let names = providers
            .iter()
            .enumerate()
            .flat_map(|(position, provider)| {
                let aliases = provider.aliases.iter().map(|alias| fold(alias));
                std::iter::once(fold(&provider.id)).chain(aliases).map(move |name| (name, position))
            })
            .collect();
        Ok(Self(Arc::new(Index { providers, rules, names })))
    }

    /// Returns the provider with this id or alias. Case and surrounding space do not matter.
    pub fn provider(&self, id_or_alias: &str) -> Option<&Arc<Provider>> {
        self.0.names.get(&fold(id_or_alias)).map(|position| &self.0.providers[*position])
    }

    /// Returns all providers in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.0.providers.iter()
    }

    /// Returns the rules for variables that belong to no single provider.
    #[must_use]
    pub fn variable_rules(&self) -> &VariableRules {
        &self.0.rules
    }

    /// Returns all canonical ids in order.
    pub fn ids(&self) -> Vec<&str> {
        self.0.providers.iter().map(|provider| provider.id.as_str()).collect()
    }
}

/// Reads one file, without its `schema`.
fn parse(source: &str, text: &str) -> Result<Table, RegistryError> {
    let mut table: Table =
        text.parse().map_err(|error: toml::de::Error| refuse(source, "-", error.to_string()))?;
    match table.remove("schema") {
        None | Some(Value::Integer(1..=SCHEMA)) => {}
        Some(other) => {
            let reason = format!("this srvd reads formats 1 to {SCHEMA}, and the file has {other}");
            return Err(refuse(source, "schema", reason));
        }
    }
    match reserved::find(&table) {
        None => Ok(table),
        Some(place) => Err(refuse(source, place, "this key is reserved for a later srvd; remove it")),
    }
}

/// Takes the rules for variables out of a file.
fn variable_rules(source: &str, file: &mut Table) -> Result<VariableRules, RegistryError> {
    let mut rules = VariableRules::default();
    if let Some(words) = file.remove("credential-words") {
        rules.words =
            words.try_into().map_err(|error| refuse(source, "credential-words", error.to_string()))?;
    }
    if let Some(prefixes) = file.remove("shared-prefixes") {
        rules.shared_prefixes =
            prefixes.try_into().map_err(|error| refuse(source, "shared-prefixes", error.to_string()))?;
    }
    Ok(rules)
}

/// Rejects a prefix of a CLI that other programs share.
fn own_prefixes(
    source: &str,
    providers: &[Arc<Provider>],
    rules: &VariableRules,
) -> Result<(), RegistryError> {
    for provider in providers {
        for prefix in provider.cli.iter().flat_map(|cli| &cli.environment_prefixes) {
            if rules
                .shared_prefixes
                .iter()
                .any(|shared| shared.starts_with(prefix.as_str()) || prefix == shared)
            {
                let place = format!("providers.{}.cli.environment-prefixes", provider.id);
                return Err(refuse(source, place, format!("other programs share the prefix {prefix}")));
            }
        }
    }
    Ok(())
}

/// Returns the ids of the providers that a file names.
fn tables(file: &Table) -> Vec<String> {
    let providers = file.get("providers").and_then(Value::as_table);
    providers.into_iter().flat_map(Table::keys).cloned().collect()
}

/// Checks that every pattern of a provider can be compiled.
fn compile(provider: &Provider) -> Result<(), Violation> {
    let Some(cli) = &provider.cli else { return Ok(()) };
    let refused = |field: String, error: regex::Error| Violation { field, reason: error.to_string() };
    if let Some(pattern) = &cli.version_pattern {
        pattern.check().map_err(|error| refused("cli.version-pattern".to_owned(), error))?;
    }
    for pattern in cli.who_am_i.iter().flat_map(WhoAmI::patterns) {
        pattern.check().map_err(|error| refused("cli.who-am-i".to_owned(), error))?;
    }
    for (position, recipe) in cli.recipes.iter().enumerate() {
        for pattern in recipe.expressions() {
            pattern.check().map_err(|error| refused(format!("cli.recipes.{position}"), error))?;
        }
    }
    Ok(())
}

pub(crate) fn fold(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

fn refuse(source: &str, place: impl Into<String>, reason: impl Into<String>) -> RegistryError {
    RegistryError {
        source_name: source.to_owned(),
        place: place.into(),
        reason: reason.into().trim_end().to_owned(),
    }
}

fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// The schema of one provider's table. Its id is the table's name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    #[serde(default)]
    aliases: Vec<String>,
    display_name: String,
    class: Class,
    #[serde(default)]
    tool: bool,
    cli: Option<Cli>,
    key: Option<KeyService>,
    oauth: Option<TokenEndpoint>,
    superseded_by: Option<String>,
}

fn read(source: &str, merged: &Table) -> Result<Vec<Arc<Provider>>, RegistryError> {
    if let Some(key) = merged.keys().find(|key| *key != "providers") {
        return Err(refuse(
            source,
            key,
            "unknown key; only `schema`, `providers`, `credential-words` and `shared-prefixes` are known here",
        ));
    }
    let Some(Value::Table(tables)) = merged.get("providers") else {
        return Err(refuse(source, "providers", "expected a table of providers"));
    };
    let mut providers = Vec::with_capacity(tables.len());
    let mut owners: HashMap<String, String> = HashMap::new();
    let mut directories: HashMap<String, String> = HashMap::new();
    for (id, value) in tables {
        let place = format!("providers.{id}");
        let (value, template) =
            at_default_host(value).map_err(|reason| refuse(source, format!("{place}.cli"), reason))?;
        let mut entry: Entry =
            value.try_into().map_err(|error: toml::de::Error| refuse(source, &place, error.to_string()))?;
        if let Some(cli) = &mut entry.cli {
            cli.credential.append(&mut cli.other_credentials);
        }
        let provider = Provider {
            id: id.clone(),
            aliases: entry.aliases.into_iter().filter(|alias| !is_moved(id, alias)).collect(),
            display_name: entry.display_name,
            class: entry.class,
            tool: entry.tool,
            cli: entry.cli,
            key: entry.key,
            superseded_by: entry.superseded_by,
            oauth: entry.oauth,
            template: template.map(Arc::new),
        };
        validate(&provider)
            .map_err(|Violation { field, reason }| refuse(source, format!("{place}.{field}"), reason))?;
        for name in std::iter::once(&provider.id).chain(&provider.aliases) {
            if let Some(owner) = owners.insert(fold(name), id.clone()) {
                return Err(refuse(
                    source,
                    &place,
                    format!("the name `{name}` already belongs to `{owner}`"),
                ));
            }
        }
        if let Some(name) = provider.cli.as_ref().map(|cli| &cli.config_dir.name)
            && let Some(owner) = directories.insert(name.clone(), id.clone())
        {
            let place = format!("{place}.cli.config-dir.name");
            return Err(refuse(
                source,
                place,
                format!("the directory `{name}` already belongs to `{owner}`"),
            ));
        }
        providers.push(Arc::new(provider));
    }
    providers.sort_by(|left, right| left.id.cmp(&right.id));
    successors_hold(source, &providers)?;
    Ok(providers)
}

/// Refuses a successor that is no other provider with a login, or that has a successor itself.
fn successors_hold(source: &str, providers: &[Arc<Provider>]) -> Result<(), RegistryError> {
    for provider in providers {
        let Some(successor) = &provider.superseded_by else { continue };
        let logs_in = |other: &Arc<Provider>| {
            other.id == *successor
                && other.id != provider.id
                && other.superseded_by.is_none()
                && other.cli.as_ref().is_some_and(|cli| !cli.recipes.is_empty())
        };
        if !providers.iter().any(logs_in) {
            let place = format!("providers.{}.superseded-by", provider.id);
            let reason = format!("`{successor}` is no other provider with a login of its own");
            return Err(refuse(source, place, reason));
        }
    }
    Ok(())
}

/// Aliases that an earlier release gave to a provider and that are another provider's id now. A file of that release may
/// still name them.
const MOVED: [(&str, &str); 1] = [("xai", "grok")];

fn is_moved(id: &str, alias: &str) -> bool {
    MOVED.contains(&(id, fold(alias).as_str()))
}

/// Returns an entry with its default host filled in. If there is a choice of hosts, also returns the original table of
/// its CLI.
fn at_default_host(entry: &Value) -> Result<(Value, Option<Value>), String> {
    let mut entry = entry.clone();
    let Some(cli) = entry.get_mut("cli") else { return Ok((entry, None)) };
    let Some(choice) = cli.get("host") else {
        let unused = !has_placeholder(cli);
        let reason = "`{host}` can be used only with the table [cli.host]";
        return if unused { Ok((entry, None)) } else { Err(reason.to_owned()) };
    };
    let choice: HostChoice = choice.clone().try_into().map_err(|error: toml::de::Error| error.to_string())?;
    let template = cli.clone();
    *cli = filled(&template, &choice.default);
    Ok((entry, Some(template)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_provider_patterns_compile() {
        for provider in Registry::builtin().unwrap().iter() {
            assert_eq!(compile(provider), Ok(()), "{}", provider.id);
        }
    }
}
