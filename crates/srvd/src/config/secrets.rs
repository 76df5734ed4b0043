//! `[secrets.<name>]` tables: keys that the operator stores elsewhere. A client may refer to one by its name, but it
//! can never name a variable or a command.

use std::collections::BTreeMap;

use auth_spawner::ChildEnv;
use secrecy::SecretString;
use serde::Deserialize;

use super::{ConfigError, invalid};
use crate::base::environment::{Environment, is_variable_name};

/// Variables that secret managers need in addition to those of every child: for sockets, buses and stores.
const MANAGERS: [&str; 6] = [
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
    "PASSWORD_STORE_DIR",
];

/// A key that is stored elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct ExternalSecret {
    /// The provider that accepts the key, as named in the file.
    pub provider: String,
    /// The address of the service, if it is not the provider's usual one.
    pub base_url: Option<String>,
    /// The place from which the key is read.
    pub source: Source,
}

/// The place of an external key.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A variable of the daemon's environment, with its value at the start.
    Env {
        /// Name of the variable.
        var: String,
        /// Value of the variable; `None` if it is unset or empty.
        value: Option<SecretString>,
    },
    /// The output of a command.
    Command {
        /// The absolute path of the program, and its arguments.
        argv: Vec<String>,
        /// Variables of the daemon's environment that the command receives in addition to those of every child.
        inherited: ChildEnv,
    },
}

/// One table of the file, before it is checked.
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

/// Checks the tables and reads the variables that they name.
///
/// # Errors
/// [`ConfigError::Invalid`], which names the key.
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
                    format!("{name:?} must be 1 to 64 letters, digits, -, _ or ."),
                ));
            }
            Ok((name, secret))
        })
        .collect()
}

/// Checks one table. The error is the field, with its dot, and the reason.
fn external(table: Secret, environment: &Environment) -> Result<ExternalSecret, (&'static str, String)> {
    let passed = |field, name: &str| {
        if !is_variable_name(name) {
            Err((field, "not a valid name of an environment variable".to_owned()))
        } else if is_ours(name) {
            Err((field, format!("{name} is reserved for the daemon and is never passed on")))
        } else {
            Ok(())
        }
    };
    let source = match (table.env, table.command) {
        (Some(var), None) => {
            passed(".env", &var)?;
            if !table.inherit.is_empty() {
                return Err((".inherit", "is allowed only together with command".to_owned()));
            }
            let value = environment.text(&var).map(SecretString::from);
            Source::Env { var, value }
        }
        (None, Some(argv)) => {
            if !argv.first().is_some_and(|program| program.starts_with('/')) {
                return Err((".command", "must begin with the absolute path of a program".to_owned()));
            }
            if argv.iter().any(|word| word.contains('\0')) {
                return Err((".command", "contains a zero byte".to_owned()));
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

/// Returns whether a variable is the daemon's encryption key or one of its settings.
fn is_ours(name: &str) -> bool {
    name.starts_with("OAUTH_ENCRYPTION_KEY") || name.starts_with("SRVD_") || name == "CREDENTIALS_DIRECTORY"
}

impl ExternalSecret {
    /// Returns the table as `--print-config` shows it. Arguments are hidden, because they may be credentials.
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
