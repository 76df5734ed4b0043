//! The provider registry: a built-in file, overlaid by the operator's files, validated as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::{Table, Value};

use crate::error::RegistryError;
use crate::key_service::KeyService;
use crate::provider::{Class, Cli, Place, Provider};
use crate::recipe::Paste;

const BUILTIN: &str = include_str!("../../../config/providers.toml");
const BUILTIN_NAME: &str = "providers.toml";

/// All known providers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Index>);

#[derive(Debug)]
struct Index {
    providers: Vec<Arc<Provider>>,
    /// Canonical ids and aliases, each folded, to a position in `providers`.
    names: HashMap<String, usize>,
}

/// An operator's file.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// How errors name it, usually its path.
    pub source: String,
    /// Its text, TOML.
    pub text: String,
}

impl Registry {
    /// The registry that this build ships.
    pub fn builtin() -> Result<Self, RegistryError> {
        Self::with_overlays(&[])
    }

    /// The shipped registry with operator files laid over it in order: tables are merged, arrays and single
    /// values are replaced. After each file the whole registry must be valid, so an error names its file.
    pub fn with_overlays(overlays: &[Overlay]) -> Result<Self, RegistryError> {
        let mut merged = Table::new();
        let builtin = (BUILTIN_NAME, BUILTIN);
        let files = overlays.iter().map(|overlay| (overlay.source.as_str(), overlay.text.as_str()));
        let mut providers = Vec::new();
        for (source, text) in std::iter::once(builtin).chain(files) {
            let table: Table =
                text.parse().map_err(|error: toml::de::Error| refuse(source, "-", error.to_string()))?;
            merge(&mut merged, table);
            providers = read(source, &merged)?;
        }
        let names = providers
            .iter()
            .enumerate()
            .flat_map(|(position, provider)| {
                let aliases = provider.aliases.iter().map(|alias| fold(alias));
                std::iter::once(fold(&provider.id)).chain(aliases).map(move |name| (name, position))
            })
            .collect();
        Ok(Self(Arc::new(Index { providers, names })))
    }

    /// The provider with this id or alias; case and surrounding space do not matter.
    pub fn provider(&self, id_or_alias: &str) -> Option<&Arc<Provider>> {
        self.0.names.get(&fold(id_or_alias)).map(|position| &self.0.providers[*position])
    }

    /// All providers in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.0.providers.iter()
    }

    /// All canonical ids in order.
    pub fn ids(&self) -> Vec<&str> {
        self.0.providers.iter().map(|provider| provider.id.as_str()).collect()
    }
}

fn fold(name: &str) -> String {
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

/// The shape of one provider's table; its id is the table's name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    #[serde(default)]
    aliases: Vec<String>,
    display_name: String,
    class: Class,
    cli: Option<Cli>,
    key: Option<KeyService>,
}

fn read(source: &str, merged: &Table) -> Result<Vec<Arc<Provider>>, RegistryError> {
    if let Some(key) = merged.keys().find(|key| *key != "providers") {
        return Err(refuse(source, key, "unknown key; only `providers` is known here"));
    }
    let Some(Value::Table(tables)) = merged.get("providers") else {
        return Err(refuse(source, "providers", "expected a table of providers"));
    };
    let mut providers = Vec::with_capacity(tables.len());
    let mut owners: HashMap<String, String> = HashMap::new();
    for (id, value) in tables {
        let place = format!("providers.{id}");
        let entry: Entry = value
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| refuse(source, &place, error.to_string()))?;
        let provider = Provider {
            id: id.clone(),
            aliases: entry.aliases,
            display_name: entry.display_name,
            class: entry.class,
            cli: entry.cli,
            key: entry.key,
        };
        validate(&provider).map_err(|(field, reason)| refuse(source, format!("{place}.{field}"), reason))?;
        for name in std::iter::once(&provider.id).chain(&provider.aliases) {
            if let Some(owner) = owners.insert(fold(name), id.clone()) {
                return Err(refuse(
                    source,
                    &place,
                    format!("the name `{name}` already belongs to `{owner}`"),
                ));
            }
        }
        providers.push(Arc::new(provider));
    }
    providers.sort_by(|left, right| left.id.cmp(&right.id));
    Ok(providers)
}

/// Checks what the types cannot say; `Err` is (field below the provider, reason).
fn validate(provider: &Provider) -> Result<(), (String, String)> {
    ensure(is_id(&provider.id), "id", "must be lower case letters, digits, `-` and `_`, at most 64")?;
    for alias in &provider.aliases {
        ensure(is_id(&fold(alias)), "aliases", "must be letters, digits, `-` and `_`, at most 64")?;
    }
    ensure(!provider.display_name.trim().is_empty(), "display-name", "must not be empty")?;
    match provider.class {
        Class::OAuth => ensure(provider.cli.is_some(), "cli", "an oauth provider needs a cli")?,
        Class::ApiKey => ensure(provider.key.is_some(), "key", "an api_key provider needs a key table")?,
    }
    if let Some(cli) = &provider.cli {
        validate_cli(cli)?;
    }
    if let Some(key) = &provider.key {
        ensure(!key.vars.is_empty() && key.vars.iter().all(|var| is_var(var)), "key.vars", VARS)?;
        let base = url::Url::parse(&key.base_url).ok();
        ensure(base.is_some_and(|url| url.scheme() == "https" || is_loopback(&url)), "key.base-url", HTTPS)?;
        ensure(!key.base_url.ends_with('/'), "key.base-url", "must not end with a slash")?;
        if let Some(probe) = &key.probe {
            ensure(probe.path.starts_with('/'), "key.probe.path", "must begin with a slash")?;
            let carried = probe.headers.values().any(|value| value.contains("{key}"));
            ensure(carried, "key.probe.headers", "one header must carry {key}")?;
        }
    }
    Ok(())
}

const VARS: &str = "must be names of environment variables";
const HTTPS: &str = "must be an https address (http on a loopback address)";
const RELATIVE: &str = "must be a path below the config directory without `..`";

fn validate_cli(cli: &Cli) -> Result<(), (String, String)> {
    let segment = |name: &String| !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    ensure(
        !cli.binaries.is_empty() && cli.binaries.iter().all(segment),
        "cli.binaries",
        "must be file names",
    )?;
    ensure(segment(&cli.config_dir.name), "cli.config-dir.name", "must be one path segment")?;
    ensure(is_var(&cli.config_dir.var), "cli.config-dir.var", VARS)?;
    ensure(cli.config_dir.ambient.starts_with("~/"), "cli.config-dir.ambient", "must begin with ~/")?;
    ensure(cli.token.as_ref().is_none_or(|token| is_var(&token.var)), "cli.token.var", VARS)?;
    let named = cli.config_dir.extra_vars.keys().chain(cli.env.keys()).chain(&cli.scrub).chain(&cli.key_vars);
    ensure(named.into_iter().all(|var| is_var(var)), "cli", VARS)?;
    let credential = &cli.credential;
    ensure(is_relative(&credential.path), "cli.credential.path", RELATIVE)?;
    let (folders, _) = credential.path.rsplit_once('/').unwrap_or(("", ""));
    let stars = credential.path.matches('*').count();
    ensure(stars <= 1 && !folders.contains('*'), "cli.credential.path", "one `*`, in the last segment")?;
    ensure(!credential.requires.is_empty(), "cli.credential.requires", "an empty file would prove a login")?;
    let expiries = [&credential.expires, &credential.refresh_expires];
    let pointers = credential.requires.iter().chain(&credential.refresh);
    let pointers = pointers.chain(expiries.into_iter().flatten().map(|expiry| &expiry.pointer));
    ensure(pointers.into_iter().all(|pointer| is_pointer(pointer)), "cli.credential", "bad JSON pointer")?;
    for place in [&credential.email, &credential.subject].into_iter().flatten() {
        ensure(is_place(place), "cli.credential", "bad JSON pointer or path")?;
    }
    ensure(cli.prepare.iter().all(|file| is_relative(&file.path)), "cli.prepare", RELATIVE)?;
    ensure(cli.history.iter().all(|path| is_relative(path)), "cli.history", RELATIVE)?;
    validate_recipes(cli)
}

fn validate_recipes(cli: &Cli) -> Result<(), (String, String)> {
    for (position, recipe) in cli.recipes.iter().enumerate() {
        let place = format!("cli.recipes.{position}");
        ensure(is_id(&recipe.id), &place, "the id must be lower case letters, digits, `-` and `_`")?;
        let first = cli.recipes.iter().position(|other| other.id == recipe.id);
        ensure(first == Some(position), &place, "another recipe has the same id")?;
        ensure(recipe.env.keys().all(|var| is_var(var)), &place, VARS)?;
        ensure(!recipe.deadline.is_zero(), &place, "the deadline must not be zero")?;
        if let Some(pattern) = &recipe.patterns.device_code {
            let group = pattern.0.capture_names().flatten().any(|name| name == "code");
            ensure(group, &place, "the device-code pattern needs a group named `code`")?;
        }
        if let Some(pattern) = &recipe.patterns.token {
            let group = pattern.0.capture_names().flatten().any(|name| name == "token");
            ensure(group, &place, "the token pattern needs a group named `token`")?;
            ensure(cli.token.is_some(), &place, "a token pattern needs the table `cli.token`")?;
        }
        ensure(recipe.steps.iter().all(|step| !step.send.is_empty()), &place, "a step must send something")?;
        if let Some(Paste { shapes, .. }) = &recipe.paste {
            ensure(!shapes.is_empty(), &place, "paste.shapes must not be empty")?;
        }
    }
    Ok(())
}

fn ensure(holds: bool, field: &str, reason: &str) -> Result<(), (String, String)> {
    if holds { Ok(()) } else { Err((field.to_owned(), reason.to_owned())) }
}

fn is_id(id: &str) -> bool {
    let body = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    matches!(id.len(), 1..=64) && id.bytes().all(body) && !id.starts_with(['-', '_'])
}

fn is_var(name: &str) -> bool {
    let body = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    matches!(name.len(), 1..=64) && name.bytes().all(body) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn is_relative(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

fn is_pointer(pointer: &str) -> bool {
    pointer.starts_with('/')
}

fn is_place(place: &Place) -> bool {
    is_pointer(&place.pointer)
        && place.claim.as_deref().is_none_or(is_pointer)
        && place.file.as_deref().is_none_or(is_relative)
}

pub(crate) fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
