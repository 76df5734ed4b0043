//! The providers' CLIs on this machine, and their versions.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use auth_spawner::{ChildEnv, Cli, Provider, Recipe, Registry, Terminal, Version, VersionQuestion};
use futures_util::future::try_join_all;

use super::oauth;
use super::policy;
use super::policy::UnusedProgram;
use super::service::LoginResources;
use crate::base::blocking::BlockingTasks;
use crate::base::environment::Environment;
use crate::base::programs::{Installed, Search};
use crate::base::trust::Trust;
use crate::config::child::{probe_env, probe_mark};
use crate::config::search::SearchPath;
use crate::config::{Config, SpawnPolicy};
use crate::wire;
use crate::wire::convert::class;
use crate::wire::error::ApiError;
use crate::wire::provider::{Login, LoginKind, Providers};

/// The maximum time for a CLI to report its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);
/// The time after which a CLI that reported no version is asked again. It may only have been slow.
const SILENCE: Duration = Duration::from_mins(5);

/// Locates the providers' CLIs and remembers their versions.
pub(crate) struct Programs {
    registry: Registry,
    /// The directories that are searched for CLIs.
    places: SearchPath,
    /// The check of these directories and of the programs in them.
    trust: Trust,
    /// The environment of a CLI that is asked a question.
    pub(super) environment: ChildEnv,
    /// The directory of CLI data shared by all bundles.
    pub(super) shared: PathBuf,
    versions: Mutex<HashMap<ProgramKey, VersionAnswer>>,
    blocking: BlockingTasks,
}

/// A program in its role as one provider's CLI. Two providers may use different names for the same program.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ProgramKey {
    provider: String,
    path: PathBuf,
}

/// A program's answer to a version query, with its time.
struct VersionAnswer {
    /// The time when the program was last modified.
    changed: SystemTime,
    at: Instant,
    version: Version,
}

impl VersionAnswer {
    /// Returns whether the answer is still valid.
    fn holds(&self, changed: SystemTime, now: Instant) -> bool {
        self.changed == changed && (self.version != Version::Silent || now < self.at + SILENCE)
    }
}

/// A CLI on this machine that a login would use.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    /// The path of the program.
    pub(crate) path: PathBuf,
    /// The version reported by the program, if any.
    pub(crate) version: Option<String>,
}

/// A CLI that was found.
struct FoundProgram {
    path: PathBuf,
    /// The version reported by the program, if any.
    version: Option<String>,
}

impl Programs {
    /// Creates the finder, which searches the configured directories.
    pub(super) fn new(config: &Config, environment: &Environment, resources: &LoginResources) -> Self {
        let mark = probe_mark(config, resources.broker.epoch());
        Self {
            registry: resources.registry.clone(),
            places: SearchPath::new(config, environment, &mark),
            trust: config.trust.clone(),
            environment: probe_env(config, resources.broker.epoch()),
            shared: config.shared(),
            versions: Mutex::default(),
            blocking: resources.blocking.clone(),
        }
    }

    /// Returns the search for CLIs. The first call waits for the login shell. Directories that others can change are not
    /// searched.
    ///
    /// # Errors
    /// `store_unavailable` if the directories cannot be inspected.
    pub(crate) async fn search(&self) -> Result<Search, ApiError> {
        let (dirs, trust) = (self.places.directories().await, self.trust.clone());
        Ok(self.blocking.run(move || Search::new(dirs, trust)).await?)
    }

    /// Returns the directories that are known without asking the login shell, also those that other users can change.
    pub(crate) fn known_search_path(&self) -> Vec<PathBuf> {
        self.places.known_now()
    }

    /// Lists all providers, or one of them, with their CLIs on this machine and their ways to log in.
    ///
    /// # Errors
    /// `store_unavailable` if the programs cannot be inspected.
    pub(crate) async fn list(&self, only: Option<&Provider>) -> Result<Providers, ApiError> {
        let wanted = self.registry.iter().filter(|provider| only.is_none_or(|only| only.id == provider.id));
        let providers = try_join_all(wanted.map(|provider| self.described(provider))).await?;
        Ok(Providers { providers })
    }

    async fn described(&self, provider: &Provider) -> Result<wire::provider::Provider, ApiError> {
        let cli = match &provider.cli {
            Some(cli) => self.installed(provider, cli).await?,
            None => wire::provider::Cli {
                found: false,
                path: None,
                version: None,
                tested: None,
                untested: false,
                install: None,
            },
        };
        let default = provider.recipe("", cli.version.as_deref());
        let recipes = provider.cli.iter().flat_map(Cli::recipe_ids).map(str::to_owned);
        let recipes = recipes.chain(oauth::logins(provider).into_iter().map(|login| login.id));
        let key = provider.key.as_ref().map(|_| "api_key".to_owned());
        Ok(wire::provider::Provider {
            id: provider.id.clone(),
            aliases: provider.aliases.clone(),
            display_name: provider.display_name.clone(),
            class: class(provider.class),
            requires_tty: default.is_some_and(|recipe| recipe.terminal != Terminal::Pipe),
            login_kinds: recipes.chain(key).collect(),
            logins: logins(provider, cli.version.as_deref()),
            icon: icon(&provider.id).to_owned(),
            key_prefix: provider.key.as_ref().and_then(|key| key.prefix.clone()),
            key_url: provider.key.as_ref().and_then(|key| key.page.clone()),
            cli,
        })
    }

    async fn installed(&self, provider: &Provider, cli: &Cli) -> Result<wire::provider::Cli, ApiError> {
        let found = self.find(provider, cli).await?;
        Ok(wire::provider::Cli {
            found: found.is_some(),
            path: found.as_ref().map(|found| found.path.display().to_string()),
            tested: cli.tested.clone(),
            untested: found.as_ref().is_some_and(|found| cli.is_untested(found.version.as_deref())),
            version: found.and_then(|found| found.version),
            install: Some(cli.install.clone()),
        })
    }

    /// Finds the provider's CLI and its version: the first program on the search path that identifies itself as this
    /// CLI, or else the first that reports nothing. A program that identifies itself as something else is skipped.
    async fn find(&self, provider: &Provider, cli: &Cli) -> Result<Option<FoundProgram>, ApiError> {
        let mut silent = None;
        let (cli, search) = (cli.clone(), self.search().await?);
        let installed = self.blocking.run(move || search.installed(&cli)).await?;
        for path in installed.usable {
            match self.version(provider, &path).await? {
                Version::Is(version) => return Ok(Some(FoundProgram { path, version: Some(version) })),
                Version::Silent if silent.is_none() => silent = Some(FoundProgram { path, version: None }),
                Version::Silent | Version::Other(_) => {}
            }
        }
        Ok(silent)
    }

    /// Returns the provider's CLI, located in the same way as for a login.
    ///
    /// # Errors
    /// `not_found` if it is not installed, or if only other programs with its name are.
    pub(super) async fn installed_cli(&self, provider: &Provider, cli: &Cli) -> Result<PathBuf, ApiError> {
        let search = self.search().await?;
        let wanted = cli.clone();
        let (found, search) = self.blocking.run(move || (search.installed(&wanted), search)).await?;
        let Installed { usable, refused } = found;
        let located = usable.into_iter().next();
        let located = located.ok_or_else(|| policy::not_installed(provider, cli, &refused, search.dirs()))?;
        self.genuine(provider, cli, located).await
    }

    /// Returns the provider's CLI with its version, located in the same way as for a login.
    ///
    /// # Errors
    /// `not_found` if it is not installed, or if only other programs with its name are.
    pub(crate) async fn located(&self, provider: &Provider, cli: &Cli) -> Result<Located, ApiError> {
        let path = self.installed_cli(provider, cli).await?;
        let version = self.reported_version(provider, &path).await?;
        Ok(Located { path, version })
    }

    /// The directory of CLI data shared by all bundles.
    pub(crate) fn shared(&self) -> &Path {
        &self.shared
    }

    /// Returns whether a program that identifies itself as the provider's CLI is installed.
    ///
    /// # Errors
    /// `store_unavailable` if the programs cannot be inspected.
    pub(super) async fn is_identified(&self, provider: &Provider) -> Result<bool, ApiError> {
        let Some(cli) = &provider.cli else { return Ok(false) };
        Ok(self.find(provider, cli).await?.is_some_and(|found| found.version.is_some()))
    }

    /// Returns the program that a client names, if it may be run. It is asked for its version only where the policy
    /// allows it to be run.
    ///
    /// # Errors
    /// `store_unavailable` if the programs cannot be inspected. The inner error is the reason why it is not run.
    pub(super) async fn named_by_client(
        &self,
        spawn_policy: SpawnPolicy,
        provider: &Provider,
        cli: &Cli,
        path: &str,
    ) -> Result<Result<PathBuf, UnusedProgram>, ApiError> {
        let search = self.search().await?;
        let (named, wanted) = (path.to_owned(), cli.clone());
        let named = move || policy::named(spawn_policy, &wanted, &named, &search);
        let program = match self.blocking.run(named).await? {
            Ok(program) if spawn_policy == SpawnPolicy::Registered && cli.version_pattern.is_some() => {
                program
            }
            decided => return Ok(decided),
        };
        Ok(match self.version(provider, &program).await? {
            Version::Is(_) | Version::Silent => Ok(program),
            Version::Other(line) => Err(UnusedProgram {
                path: path.to_owned(),
                reason: format!(
                    "it is another program, whose answer to {} is: {line}",
                    cli.version_args.join(" ")
                ),
                is_the_cli: true,
            }),
        })
    }

    /// Returns the program to log in with. If another provider's CLI has the same name, the program is asked to
    /// identify itself.
    ///
    /// # Errors
    /// `not_found` if only other programs were found.
    pub(super) async fn genuine(
        &self,
        provider: &Provider,
        cli: &Cli,
        located: PathBuf,
    ) -> Result<PathBuf, ApiError> {
        if cli.version_pattern.is_none() || !self.shares_name(provider, cli) {
            return Ok(located);
        }
        let found = self.find(provider, cli).await?;
        let searched = self.search().await?;
        found.map(|found| found.path).ok_or_else(|| {
            let reason = format!("{} is another program", located.display());
            policy::not_installed(provider, cli, &[], searched.dirs()).with("reason", reason)
        })
    }

    /// Returns whether another provider's CLI has one of this CLI's names.
    fn shares_name(&self, provider: &Provider, cli: &Cli) -> bool {
        let others = self.registry.iter().filter(|other| other.id != provider.id);
        let mut names = others.filter_map(|other| other.cli.as_ref()).flat_map(|other| &other.binaries);
        names.any(|name| cli.binaries.contains(name))
    }

    /// Returns the version reported by a program, or `None` if it reports none or is not the provider's CLI.
    pub(super) async fn reported_version(
        &self,
        provider: &Provider,
        path: &Path,
    ) -> Result<Option<String>, ApiError> {
        Ok(match self.version(provider, path).await? {
            Version::Is(version) => Some(version),
            Version::Silent | Version::Other(_) => None,
        })
    }

    /// Returns a program's version. The program is asked only once until it changes; one that reported no version is
    /// asked again later.
    async fn version(&self, provider: &Provider, path: &Path) -> Result<Version, ApiError> {
        let file = path.to_owned();
        let modified = move || std::fs::metadata(file).and_then(|found| found.modified());
        let Ok(changed) = self.blocking.run(modified).await? else { return Ok(Version::Silent) };
        let key = ProgramKey { provider: provider.id.clone(), path: path.to_owned() };
        if let Some(answer) = self.versions().get(&key).filter(|answer| answer.holds(changed, Instant::now()))
        {
            return Ok(answer.version.clone());
        }
        let question = VersionQuestion {
            provider,
            program: path,
            environment: &self.environment,
            shared: &self.shared,
            timeout: VERSION_TIMEOUT,
        };
        let version = question.ask().await;
        let answer = VersionAnswer { changed, at: Instant::now(), version: version.clone() };
        self.versions().insert(key, answer);
        Ok(version)
    }

    fn versions(&self) -> MutexGuard<'_, HashMap<ProgramKey, VersionAnswer>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the name of a recipe that has none of its own.
fn usual_label(recipe: &Recipe) -> &'static str {
    match (recipe.patterns.token.is_empty(), recipe.patterns.device_code.is_empty()) {
        (false, _) => "Long-lived token",
        (true, false) => "Code on any device",
        (true, true) => "Browser",
    }
}

/// Returns the name of a provider's icon: vendors show one for several providers.
fn icon(provider: &str) -> &str {
    match provider {
        "claude" => "anthropic",
        "codex" => "openai",
        "grok" => "xai",
        "kimi" | "kimi-code" => "moonshot",
        "copilot" => "github",
        other => other,
    }
}

/// Returns the ways to log in with this version of the CLI. The version may be unknown.
fn logins(provider: &Provider, version: Option<&str>) -> Vec<Login> {
    let recipes = provider.cli.iter().flat_map(Cli::recipe_ids);
    let recipes = recipes.filter_map(|id| provider.recipe(id, version));
    let login = |recipe: Recipe| Login {
        kind: if recipe.patterns.device_code.is_empty() { LoginKind::Browser } else { LoginKind::DeviceCode },
        takes_paste: recipe.paste.is_some(),
        label: recipe.label.clone().unwrap_or_else(|| usual_label(&recipe).to_owned()),
        opens_browser: recipe.patterns.device_code.is_empty(),
        shows_code: !recipe.patterns.device_code.is_empty(),
        needs_paste: recipe.paste.is_some(),
        holds_ports: recipe.callback_ports,
        id: recipe.id,
    };
    recipes.map(login).chain(oauth::logins(provider)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_answer_expires_when_empty_or_when_the_file_changes() {
        let (changed, at) = (SystemTime::UNIX_EPOCH, Instant::now());
        let later = changed + Duration::from_secs(1);
        let silent = VersionAnswer { changed, at, version: Version::Silent };
        assert!(
            silent.holds(changed, at) && !silent.holds(changed, at + SILENCE) && !silent.holds(later, at)
        );
        let told = VersionAnswer { changed, at, version: Version::Is("1.2".to_owned()) };
        assert!(told.holds(changed, at + SILENCE) && !told.holds(later, at));
    }
}
