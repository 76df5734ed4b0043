//! Keys that the operator keeps somewhere else: in a variable of the daemon, or in an external secret manager.
//!
//! What is read and run is what `srvd.toml` names, and nothing else: an account's row only says which of these it means, so
//! whoever can write to the database, or speak to the daemon, can make it run no command and read no variable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use auth_spawner::{ChildEnv, NoSecret, Registry, SecretCommand};
use identity_store::{KeyPlace, SecretRef};
use secrecy::SecretString;
use tokio::sync::Semaphore;

use crate::config::{Config, ConfigError, Source};

/// Longest time for a command, with the wait for its turn.
const LONGEST: Duration = Duration::from_secs(10);
/// The most that a command may print, in bytes.
const MOST_BYTES: usize = 64 * 1024;
/// Commands that run at one time.
const AT_ONCE: usize = 8;

/// The operator's external keys. A clone is a handle to the same ones.
#[derive(Clone)]
pub struct Secrets(Arc<Parts>);

struct Parts {
    known: BTreeMap<String, Known>,
    turns: Semaphore,
}

/// One of them.
struct Known {
    provider: String,
    base_url: Option<String>,
    source: Source,
}

/// Why a secret cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// For programs.
    pub why: Why,
    /// For people, without anything of the secret.
    pub text: String,
}

/// Why a secret cannot be had, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is none in its place.
    Missing,
    /// It is sealed, and does not open.
    Undecryptable,
    /// What keeps it has failed.
    BackendFailed,
}

impl Why {
    /// The word in `data.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Undecryptable => "undecryptable",
            Self::BackendFailed => "backend_failed",
        }
    }
}

impl Unavailable {
    /// For this reason.
    pub fn new(why: Why, text: impl Into<String>) -> Self {
        Self { why, text: text.into() }
    }
}

impl Secrets {
    /// The keys that the configuration names; `environment` is what every child gets.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] when the registry knows no such provider, or one that takes no key.
    pub fn new(config: &Config, registry: &Registry, environment: &ChildEnv) -> Result<Self, ConfigError> {
        let known = config.secrets.iter().map(|(name, secret)| {
            let provider = registry.provider(&secret.provider).filter(|provider| provider.key.is_some());
            let provider = provider.ok_or_else(|| ConfigError::Invalid {
                name: format!("secrets.{name}.provider"),
                reason: format!("{} is no provider that takes an API key", secret.provider),
            })?;
            let mut source = secret.source.clone();
            if let Source::Command { inherited, .. } = &mut source {
                // What the operator sets for every child stands above what the daemon was given.
                let both = inherited.iter().chain(environment.iter());
                *inherited = both.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            }
            let known = Known { provider: provider.id.clone(), base_url: secret.base_url.clone(), source };
            Ok((name.clone(), known))
        });
        let known = known.collect::<Result<_, ConfigError>>()?;
        Ok(Self(Arc::new(Parts { known, turns: Semaphore::new(AT_ONCE) })))
    }

    /// The names of a provider's keys.
    pub fn names(&self, provider: &str) -> Vec<&str> {
        let its = self.0.known.iter().filter(|(_, known)| known.provider == provider);
        its.map(|(name, _)| name.as_str()).collect()
    }

    /// Where a provider's key of this name is, and the address that goes with it.
    pub fn named(&self, provider: &str, name: &str) -> Option<(KeyPlace, Option<&str>)> {
        let known = self.0.known.get(name).filter(|known| known.provider == provider)?;
        let place = match &known.source {
            Source::Env { var, .. } => KeyPlace::Env(var.clone()),
            Source::Command { argv, .. } => KeyPlace::Command(argv.clone()),
        };
        Some((place, known.base_url.as_deref()))
    }

    /// Reads the key that an account of this provider means.
    ///
    /// # Errors
    /// [`Unavailable`]; also for one that `srvd.toml` does not name, or no longer.
    pub async fn read(&self, provider: &str, reference: &SecretRef) -> Result<SecretString, Unavailable> {
        let meant = |known: &&Known| known.provider == provider && is_meant(&known.source, reference);
        match self.0.known.values().find(meant).map(|known| &known.source) {
            None => Err(Unavailable::new(Why::Missing, "srvd.toml does not name where it is")),
            Some(Source::Env { value: Some(value), .. }) => Ok(value.clone()),
            Some(Source::Env { var, value: None }) => {
                let text = format!("the daemon was started without a value of {var}");
                Err(Unavailable::new(Why::Missing, text))
            }
            Some(Source::Command { argv, inherited }) => {
                let run = async {
                    // It is never closed.
                    let _turn = self.0.turns.acquire().await;
                    let timeout = LONGEST;
                    SecretCommand { argv, environment: inherited, timeout, bytes: MOST_BYTES }.ask().await
                };
                let asked = tokio::time::timeout(LONGEST, run).await.unwrap_or(Err(NoSecret::TimedOut));
                asked.map_err(|error| Unavailable::new(Why::BackendFailed, error.to_string()))
            }
        }
    }
}

fn is_meant(source: &Source, reference: &SecretRef) -> bool {
    match (source, reference) {
        (Source::Env { var, .. }, SecretRef::Env { var: wanted }) => var == wanted,
        (Source::Command { argv, .. }, SecretRef::Command { argv: wanted }) => argv == wanted,
        _ => false,
    }
}
