//! The change of an agent's environment: the variables of its credentials, and the removal of those in conflict.
//!
//! All directories among the variables lie below the daemon's root, except those of adopted accounts. A variable through
//! which a known provider's program would use another credential is removed, whether or not the launch includes that
//! provider (`removal`).

mod removal;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use auth_spawner::{Cli, KeyService, Provider, Reach};
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use removal::RemovalRules;
pub(super) use removal::{Situation, Stance};

use super::candidate::{Candidate, Credential};

/// Variables by name.
pub(super) type Variables = BTreeMap<String, Value>;

/// The value of a variable.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A value that is no credential, such as a directory.
    Plain(String),
    /// A credential.
    Secret(SecretString),
}

/// Returns the variables that give a program of the provider this credential. `shared` is the directory of the caches
/// that all bundles share. `Err` is the reason why there are none.
pub(super) fn variables(candidate: &Candidate, shared: &Path) -> Result<Variables, &'static str> {
    let provider = &candidate.provider;
    match &candidate.credential {
        Credential::Directory => match &candidate.home {
            Some(home) => Ok(of_directory(provider, &home.dir, home.reach, shared)),
            None => Err("it has no directory of its own"),
        },
        Credential::LoginFile(secret) => of_login_file(provider, secret),
        Credential::LoginToken(secret) => of_login_token(provider, secret),
        Credential::AccessToken(secret) => of_access_token(provider, secret),
        Credential::Key(secret) => of_key(provider, candidate.base_url.as_deref(), secret),
        Credential::Command(_) | Credential::Absent => Err("its secret is missing"),
    }
}

/// Combines the credentials of all providers of a launch, without the variables for the CLIs' directories.
pub(super) fn combine<'a>(parts: impl Iterator<Item = (&'a Arc<Provider>, &'a Variables)>) -> Variables {
    let mut set = BTreeMap::new();
    for (provider, variables) in parts {
        let dir = provider.cli.as_ref().map(|cli| &cli.config_dir);
        let leads =
            |name: &String| dir.is_some_and(|dir| dir.var == *name || dir.extra_vars.contains_key(name));
        let credentials = variables.iter().filter(|(name, _)| !leads(name));
        set.extend(credentials.map(|(name, value)| (name.clone(), value.clone())));
    }
    set
}

/// Adds variables that belong to no credential. The address of a proxy may contain a password.
pub(super) fn add_network(set: &mut Variables, network: &[(String, String)]) {
    for (name, value) in network {
        let value = if value.contains('@') {
            Value::Secret(SecretString::from(value.clone()))
        } else {
            Value::Plain(value.clone())
        };
        set.entry(name.clone()).or_insert(value);
    }
}

/// Returns the variables of a login in a directory. `shared` is the directory of the caches that the bundles share.
fn of_directory(provider: &Provider, dir: &Path, reach: Reach, shared: &Path) -> Variables {
    let Some(cli) = &provider.cli else { return BTreeMap::new() };
    let mut set = cli.env.clone();
    // Once the variable is set, several CLIs read a part of their files from another place. The user's own directory is
    // therefore reached in the same way as by the user's own programs.
    set.extend(cli.config_dir.variables_for(reach, dir, &shared.join(&provider.id)));
    set.into_iter().map(|(name, value)| (name, Value::Plain(value))).collect()
}

/// Returns the variables of a login whose file the CLI takes in a variable. Everything else of the CLI stays in the user's
/// own directory. `Err` is the reason why there are none.
fn of_login_file(provider: &Provider, secret: &SecretString) -> Result<Variables, &'static str> {
    let taken = provider.cli.as_ref().and_then(|cli| Some((cli, cli.credential_var.as_ref()?)));
    let (cli, var) = taken.ok_or("the registry does not define how its CLI receives its login")?;
    Ok(switches(cli).chain([(var.clone(), Value::Secret(secret.clone()))]).collect())
}

/// Returns the variables of a login that the CLI takes in a variable. `Err` is the reason why there are none.
fn of_login_token(provider: &Provider, secret: &SecretString) -> Result<Variables, &'static str> {
    let cli = provider.cli.as_ref().filter(|cli| cli.token.is_some());
    let cli = cli.ok_or("the registry does not define how its CLI receives a token")?;
    let token = cli.token.iter().map(|token| (token.var.clone(), Value::Secret(secret.clone())));
    Ok(switches(cli).chain(token).collect())
}

/// Returns the variables that are set for a CLI in every launch.
fn switches(cli: &Cli) -> impl Iterator<Item = (String, Value)> {
    cli.env.iter().map(|(name, value)| (name.clone(), Value::Plain(value.clone())))
}

/// Returns the variables of an API key: all those of its service, with `base_url` if it is not the default address.
/// `Err` is the reason why there are none.
fn of_key(
    provider: &Provider,
    base_url: Option<&str>,
    secret: &SecretString,
) -> Result<Variables, &'static str> {
    let key = provider.key.as_ref().ok_or("the registry does not define how its service receives a key")?;
    let mut set = address(base_url, key)?;
    if let Some(pair) = &key.pair {
        let parts =
            pair.split(secret.expose_secret()).ok_or("the key does not consist of the required parts")?;
        let value = |part: &str| Value::Secret(SecretString::from(part));
        set.extend(pair.vars.iter().cloned().zip(parts.into_iter().map(value)));
    }
    let vars = key.variables_at(base_url.unwrap_or(&key.base_url));
    set.extend(vars.iter().map(|var| (var.clone(), Value::Secret(secret.clone()))));
    Ok(set)
}

/// Returns the variables of an access token that a user supplied: the variable of the provider's CLI, or those of its
/// service. `Err` is the reason why there are none.
fn of_access_token(provider: &Provider, secret: &SecretString) -> Result<Variables, &'static str> {
    provider.takes_access_token()?;
    let taken = provider.cli.as_ref().and_then(|cli| Some((cli, cli.access_token_var.as_ref()?)));
    let Some((cli, var)) = taken else { return of_key(provider, None, secret) };
    // The CLI would overwrite or remove the user's own keychain entry.
    if cli.keeps_in_keychain() {
        return Err(
            "on this system its CLI keeps your own login in the keychain, and a token could overwrite or remove it",
        );
    }
    Ok(switches(cli).chain([(var.clone(), Value::Secret(secret.clone()))]).collect())
}

/// Returns the variables that direct an agent to the service, if it is not at its default address. A key for another
/// address is never launched without them, because it would be sent to the default address.
fn address(base_url: Option<&str>, key: &KeyService) -> Result<Variables, &'static str> {
    let other = base_url.filter(|base_url| *base_url != key.base_url);
    let Some(base_url) = other else { return Ok(BTreeMap::new()) };
    let set = key.addressed(base_url);
    if set.is_empty() {
        return Err("the registry does not define how an agent receives its address");
    }
    Ok(set.into_iter().map(|(name, value)| (name, Value::Plain(value))).collect())
}
