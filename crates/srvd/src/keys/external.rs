//! Keys that the operator stores outside the store: in a variable of the daemon, or in an external secret manager.
//!
//! Only variables and commands listed in `srvd.toml` are read and run, and an account's row merely refers to one of
//! them. Someone who can write to the database or connect to the daemon therefore cannot make it run another command or
//! read another variable.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth_spawner::{ChildEnv, Provider, Registry, SecretCommand, SecretError};
use identity_store::{KeyPlace, SecretRef};
use secrecy::SecretString;
use tokio::sync::Semaphore;

use super::api_key;
use crate::base::redact::Redactor;
use crate::base::trust::Trust;
use crate::config::{Config, ConfigError, Source};

/// The maximum duration of a command, including the time it waits for its turn.
const LONGEST: Duration = Duration::from_secs(10);
/// The maximum size of a command's output, in bytes.
const MOST_BYTES: usize = 64 * 1024;
/// The maximum number of commands running at the same time.
const AT_ONCE: usize = 8;

/// The operator's external keys. Cheap to clone; clones share the same keys.
#[derive(Clone)]
pub(crate) struct ExternalKeys(Arc<ConfiguredKeys>);

struct ConfiguredKeys {
    known: BTreeMap<String, ConfiguredKey>,
    /// The environment for a declared agent's command.
    environment: ChildEnv,
    trust: Trust,
    redactor: Redactor,
    turns: Semaphore,
}

/// One external key.
struct ConfiguredKey {
    provider: String,
    base_url: Option<String>,
    source: Source,
}

/// The reason why a secret is unavailable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unavailable {
    /// The machine-readable reason.
    pub why: Why,
    /// The human-readable reason, without any part of the secret.
    pub text: String,
}

/// The kind of reason why a secret is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The secret does not exist at its location.
    Missing,
    /// The secret is encrypted and cannot be decrypted.
    Undecryptable,
    /// The program or store that contains the secret has failed.
    BackendFailed,
}

impl Why {
    /// The value of `data.reason`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Undecryptable => "undecryptable",
            Self::BackendFailed => "backend_failed",
        }
    }
}

impl Unavailable {
    /// Creates an error with this reason.
    pub(crate) fn new(why: Why, text: impl Into<String>) -> Self {
        Self { why, text: text.into() }
    }
}

impl ExternalKeys {
    /// Returns the keys listed in the configuration. `environment` is the environment of every child.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if the registry does not contain the provider, or if the provider does not accept keys.
    pub(crate) fn new(
        config: &Config,
        registry: &Registry,
        environment: ChildEnv,
        redactor: Redactor,
    ) -> Result<Self, ConfigError> {
        let known = config.secrets.iter().map(|(name, secret)| {
            let provider = registry.provider(&secret.provider).filter(|provider| provider.key.is_some());
            let provider = provider.ok_or_else(|| ConfigError::Invalid {
                name: format!("secrets.{name}.provider"),
                reason: format!("{} is not a provider that accepts API keys", secret.provider),
            })?;
            let mut source = secret.source.clone();
            if let Source::Command { inherited, .. } = &mut source {
                // Variables that the operator sets for every child override those inherited by the daemon.
                let both = inherited.iter().chain(environment.iter());
                *inherited = both.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            }
            let known =
                ConfiguredKey { provider: provider.id.clone(), base_url: secret.base_url.clone(), source };
            Ok((name.clone(), known))
        });
        let known = known.collect::<Result<_, ConfigError>>()?;
        let (trust, turns) = (config.trust.clone(), Semaphore::new(AT_ONCE));
        Ok(Self(Arc::new(ConfiguredKeys { known, environment, trust, redactor, turns })))
    }

    /// The names of a provider's keys.
    pub(crate) fn names(&self, provider: &str) -> Vec<&str> {
        let its = self.0.known.iter().filter(|(_, known)| known.provider == provider);
        its.map(|(name, _)| name.as_str()).collect()
    }

    /// Returns the location of the provider's key with this name, and the URL that belongs to it.
    pub(crate) fn named(&self, provider: &str, name: &str) -> Option<(KeyPlace, Option<&str>)> {
        let known = self.0.known.get(name).filter(|known| known.provider == provider)?;
        let place = match &known.source {
            Source::Env { var, .. } => KeyPlace::Env(var.clone()),
            Source::Command { argv, .. } => KeyPlace::Command(argv.clone()),
        };
        Some((place, known.base_url.as_deref()))
    }

    /// Reads the key to which an account of this provider refers, if it can be a key of the provider.
    ///
    /// # Errors
    /// [`Unavailable`], also for a key that is not, or no longer, listed in `srvd.toml`. Its text quotes no part of the
    /// key.
    pub(crate) async fn read(
        &self,
        provider: &Provider,
        reference: &SecretRef,
    ) -> Result<SecretString, Unavailable> {
        let meant =
            |known: &&ConfiguredKey| known.provider == provider.id && is_meant(&known.source, reference);
        match self.0.known.values().find(meant).map(|known| &known.source) {
            None => Err(Unavailable::new(Why::Missing, "srvd.toml does not define the source of this key")),
            Some(Source::Env { var, value }) => of_variable(provider, var, value.as_ref()),
            Some(Source::Command { argv, inherited }) => self.run(provider, argv, inherited).await,
        }
    }

    /// Returns the key printed by a declared agent's command, if it can be a key of the provider.
    ///
    /// # Errors
    /// [`Unavailable`]. Its text quotes no output of the command.
    pub(crate) async fn printed(
        &self,
        provider: &Provider,
        argv: &[String],
    ) -> Result<SecretString, Unavailable> {
        self.run(provider, argv, &self.0.environment).await
    }

    /// Refuses a program that another user can change.
    async fn refuse_untrusted(&self, argv: &[String]) -> Result<(), Unavailable> {
        let Some(program) = argv.first().map(PathBuf::from) else { return Ok(()) };
        let trust = self.0.trust.clone();
        let checked = tokio::task::spawn_blocking(move || trust.program(&program));
        let refused = match tokio::time::timeout(LONGEST, checked).await {
            Ok(Ok(Ok(_))) => return Ok(()),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) | Err(_) => "its program could not be examined".to_owned(),
        };
        Err(Unavailable::new(Why::BackendFailed, format!("the command is not run: {refused}")))
    }

    /// Runs a command that prints a secret. Nothing else runs such commands: at most [`AT_ONCE`] at a time, each for at
    /// most [`LONGEST`] including the wait for its turn. The log never shows what a command printed.
    async fn run(
        &self,
        provider: &Provider,
        argv: &[String],
        environment: &ChildEnv,
    ) -> Result<SecretString, Unavailable> {
        self.refuse_untrusted(argv).await?;
        let run = async {
            // The semaphore is never closed.
            let _turn = self.0.turns.acquire().await;
            SecretCommand { argv, environment, timeout: LONGEST, bytes: MOST_BYTES }.ask().await
        };
        let printed = tokio::time::timeout(LONGEST, run).await.unwrap_or(Err(SecretError::TimedOut));
        let secret = printed.map_err(|error| Unavailable::new(Why::BackendFailed, error.to_string()))?;
        self.0.redactor.hide(&secret);
        usable(provider, &secret).map_err(|reason| {
            Unavailable::new(Why::BackendFailed, format!("the key that the command printed {reason}"))
        })
    }
}

/// Returns the key that was in a variable of the daemon's environment at startup, if it can be a key of the provider.
///
/// # Errors
/// [`Unavailable`]. Its text quotes no part of the value.
pub(crate) fn of_variable(
    provider: &Provider,
    var: &str,
    value: Option<&SecretString>,
) -> Result<SecretString, Unavailable> {
    let missing = |text: String| Unavailable::new(Why::Missing, text);
    let value =
        value.ok_or_else(|| missing(format!("the variable {var} was not set when the daemon started")))?;
    usable(provider, value).map_err(|reason| missing(format!("the key in the variable {var} {reason}")))
}

/// Returns the key if it can be a key of the provider. The error continues the phrase "the key".
fn usable(provider: &Provider, key: &SecretString) -> Result<SecretString, String> {
    let service = provider
        .key
        .as_ref()
        .ok_or_else(|| "belongs to a provider that does not accept API keys".to_owned())?;
    api_key::usable(key, service)
}

fn is_meant(source: &Source, reference: &SecretRef) -> bool {
    match (source, reference) {
        (Source::Env { var, .. }, SecretRef::Env { var: wanted }) => var == wanted,
        (Source::Command { argv, .. }, SecretRef::Command { argv: wanted }) => argv == wanted,
        _ => false,
    }
}
