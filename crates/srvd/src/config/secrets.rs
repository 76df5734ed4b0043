//! `[secrets.<name>]`: keys that the operator keeps somewhere else. A client may name one of them; a variable or a command
//! it can never name.

use std::collections::BTreeMap;

use auth_spawner::ChildEnv;
use secrecy::SecretString;
use serde::Deserialize;

use super::{ConfigError, invalid};
use crate::environment::Environment;
use crate::policy::is_variable_name;

/// What secret managers need beside the list that every child gets: their sockets, their buses, their stores.
const MANAGERS: [&str; 6] = [
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
    "PASSWORD_STORE_DIR",
];

/// A key that is kept somewhere else.
#[derive(Debug, Clone)]
pub struct ExternalSecret {
    /// The provider that takes it, as the file names it.
    pub provider: String,
    /// Where the service answers, when it is not the provider's usual address.
    pub base_url: Option<String>,
    /// Where it is.
    pub source: Source,
}

/// Where such a key is.
#[derive(Debug, Clone)]
pub enum Source {
    /// A variable of the daemon's environment, as it was at the start.
    Env {
        /// Its name.
        var: String,
        /// Its value; `None` when it is unset or empty.
        value: Option<SecretString>,
    },
    /// What a command prints.
    Command {
        /// The program, by its absolute path, and its arguments.
        argv: Vec<String>,
        /// Variables of the daemon's environment that it gets beside every child's.
        inherited: ChildEnv,
    },
}

/// One table of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    provider: String,
    env: Option<String>,
    command: Option<Vec<String>>,
    #[serde(default)]
    inherit: Vec<String>,
    base_url: Option<String>,
}

/// Reads what the file names.
///
/// # Errors
/// [`ConfigError::Invalid`], naming the key.
pub(super) fn read(
    tables: BTreeMap<String, Secret>,
    environment: &Environment,
) -> Result<BTreeMap<String, ExternalSecret>, ConfigError> {
    tables
        .into_iter()
        .map(|(name, table)| {
            let secret = external(table, environment)
                .map_err(|(field, reason)| invalid(&format!("secrets.{name}{field}"), reason))?;
            let body = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            if !matches!(name.len(), 1..=64) || !name.bytes().all(body) {
                return Err(invalid(
                    "secrets",
                    format!("{name:?} is not 1 to 64 letters, digits, -, _ or ."),
                ));
            }
            Ok((name, secret))
        })
        .collect()
}

/// The error is the field, with its dot, and the reason.
fn external(table: Secret, environment: &Environment) -> Result<ExternalSecret, (&'static str, String)> {
    let passed = |field, name: &str| {
        if !is_variable_name(name) {
            Err((field, "not the name of an environment variable".to_owned()))
        } else if is_ours(name) {
            Err((field, format!("{name} is the daemon's own and goes nowhere")))
        } else {
            Ok(())
        }
    };
    let source = match (table.env, table.command) {
        (Some(var), None) => {
            passed(".env", &var)?;
            if !table.inherit.is_empty() {
                return Err((".inherit", "is for a command".to_owned()));
            }
            let value = environment.text(&var).map(SecretString::from);
            Source::Env { var, value }
        }
        (None, Some(argv)) => {
            if !argv.first().is_some_and(|program| program.starts_with('/')) {
                return Err((".command", "must begin with the absolute path of a program".to_owned()));
            }
            if argv.iter().any(|word| word.contains('\0')) {
                return Err((".command", "has a zero byte".to_owned()));
            }
            table.inherit.iter().try_for_each(|name| passed(".inherit", name))?;
            let names = MANAGERS.into_iter().chain(table.inherit.iter().map(String::as_str));
            let inherited = names.filter_map(|name| Some((name, environment.text(name)?))).collect();
            Source::Command { argv, inherited }
        }
        _ => return Err(("", "needs either env or command".to_owned())),
    };
    let base_url = match table.base_url.as_deref().map(auth_spawner::base_url).transpose() {
        Ok(base_url) => base_url.map(str::to_owned),
        Err(reason) => return Err((".base_url", reason.to_owned())),
    };
    Ok(ExternalSecret { provider: table.provider, base_url, source })
}

/// The daemon's own key, and its settings.
fn is_ours(name: &str) -> bool {
    name.starts_with("OAUTH_ENCRYPTION_KEY") || name.starts_with("SRVD_") || name == "CREDENTIALS_DIRECTORY"
}

impl ExternalSecret {
    /// The table as `--print-config` shows it: an argument may be a credential, so only the program is named.
    pub(super) fn print(&self, name: &str) -> String {
        let quoted = |value: &str| toml::Value::from(value).to_string();
        let source = match &self.source {
            Source::Env { var, .. } => format!("env = {}", quoted(var)),
            Source::Command { argv, .. } => {
                let hidden = argv.iter().skip(1).map(|_| "[REDACTED]");
                let words: Vec<String> =
                    argv.iter().take(1).map(String::as_str).chain(hidden).map(quoted).collect();
                format!("command = [{}]", words.join(", "))
            }
        };
        let (name, provider) = (quoted(name), quoted(&self.provider));
        let mut text = format!("\n[secrets.{name}]\nprovider = {provider}\n{source}\n");
        if let Some(base_url) = &self.base_url {
            text.extend(["base_url = ", &quoted(base_url), "\n"]);
        }
        text
    }
}
