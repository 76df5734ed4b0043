//! `provider.*`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use auth_spawner::{Cli, Provider as Registered, Terminal, Version, VersionQuestion};
use futures_util::future::join_all;
use rpc_engine::Call;

use crate::rpc::app::App;
use crate::wire::error::ApiError;
use crate::wire::provider::{Cli as WireCli, List, Login, LoginKind, Provider, Providers};

/// Longest time that a CLI may take to report its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);
/// Time before a CLI that reported no version is asked again. The CLI may only have been slow.
const SILENCE: Duration = Duration::from_mins(5);

/// The answer of a program to the question for its version, with its time.
pub struct Said {
    /// Time when the program was last modified.
    changed: SystemTime,
    at: Instant,
    version: Version,
}

impl Said {
    /// Returns whether the answer is still valid.
    fn holds(&self, changed: SystemTime, now: Instant) -> bool {
        self.changed == changed && (self.version != Version::Silent || now < self.at + SILENCE)
    }
}

/// `provider.list`.
pub async fn list(app: App, _: Call, params: List) -> Result<Providers, ApiError> {
    let only = params.provider_id.as_deref().map(|id| app.provider(id)).transpose()?;
    let wanted = app.registry.iter().filter(|provider| only.is_none_or(|only| only.id == provider.id));
    let providers = wanted.map(|provider| async {
        let cli = match &provider.cli {
            Some(cli) => installed(&app, provider, cli).await,
            None => WireCli { found: false, path: None, version: None, install: None },
        };
        let default = provider.recipe("", cli.version.as_deref());
        let requires_tty = default.is_some_and(|recipe| recipe.terminal != Terminal::Pipe);
        let recipes = provider.cli.iter().flat_map(Cli::recipe_ids).map(str::to_owned);
        let logins = logins(provider, cli.version.as_deref());
        let key = provider.key.as_ref().map(|_| "api_key".to_owned());
        Provider {
            id: provider.id.clone(),
            aliases: provider.aliases.clone(),
            display_name: provider.display_name.clone(),
            class: provider.class.as_str().to_owned(),
            cli,
            requires_tty,
            login_kinds: recipes.chain(key).collect(),
            logins,
        }
    });
    Ok(Providers { providers: join_all(providers).await })
}

/// Returns the ways to log in with this version of the CLI. The version may be unknown.
fn logins(provider: &Registered, version: Option<&str>) -> Vec<Login> {
    let recipes = provider.cli.iter().flat_map(Cli::recipe_ids);
    let recipes = recipes.filter_map(|id| provider.recipe(id, version));
    let login = |recipe: auth_spawner::Recipe| Login {
        kind: if recipe.patterns.device_code.is_empty() { LoginKind::Browser } else { LoginKind::DeviceCode },
        takes_paste: recipe.paste.is_some(),
        id: recipe.id,
    };
    recipes.map(login).collect()
}

async fn installed(app: &App, provider: &Registered, cli: &Cli) -> WireCli {
    let (path, version) = match find(app, provider, cli).await {
        Some((path, version)) => (Some(path), version),
        None => (None, None),
    };
    WireCli {
        found: path.is_some(),
        path: path.map(|path| path.display().to_string()),
        version,
        install: Some(cli.install.clone()),
    }
}

/// Finds the provider's CLI and its version. It is the first program on the search path that identifies as this CLI, or
/// else the first that reports nothing. A program that identifies as another one is skipped.
pub(super) async fn find(app: &App, provider: &Registered, cli: &Cli) -> Option<(PathBuf, Option<String>)> {
    let mut silent = None;
    for path in auth_spawner::programs(cli, &app.config.search_path) {
        match version(app, provider, &path).await {
            Version::Is(version) => return Some((path, Some(version))),
            Version::Silent if silent.is_none() => silent = Some((path, None)),
            Version::Silent | Version::Other(_) => {}
        }
    }
    silent
}

/// Returns the program to log in with. If another provider's CLI has the same name, the program is asked to identify
/// itself.
///
/// # Errors
/// `not_found` if only other programs were found.
pub(super) async fn genuine(app: &App, provider: &Registered, located: PathBuf) -> Result<PathBuf, ApiError> {
    let shared_name = |cli: &Cli| {
        let others = app.registry.iter().filter(|other| other.id != provider.id);
        let mut names = others.filter_map(|other| other.cli.as_ref()).flat_map(|other| &other.binaries);
        names.any(|name| cli.binaries.contains(name))
    };
    match &provider.cli {
        Some(cli) if cli.version_pattern.is_some() && shared_name(cli) => {
            match find(app, provider, cli).await {
                Some((path, _)) => Ok(path),
                None => Err(crate::login::policy::not_installed(provider, cli)
                    .with("reason", format!("{} is another program", located.display()))),
            }
        }
        _ => Ok(located),
    }
}

/// Returns the version that a program reports. It is `None` when the program reports none or is not the provider's CLI.
pub(super) async fn told_version(app: &App, provider: &Registered, path: &Path) -> Option<String> {
    match version(app, provider, path).await {
        Version::Is(version) => Some(version),
        Version::Silent | Version::Other(_) => None,
    }
}

/// Returns a program's version. The program is asked once until it changes; one that reported no version is asked again
/// later.
async fn version(app: &App, provider: &Registered, path: &Path) -> Version {
    let Ok(changed) = std::fs::metadata(path).and_then(|found| found.modified()) else {
        return Version::Silent;
    };
    // Two providers may use different names for the same program.
    let key = (provider.id.clone(), path.to_owned());
    if let Some(said) = app.versions.lock().await.get(&key)
        && said.holds(changed, Instant::now())
    {
        return said.version.clone();
    }
    let question = VersionQuestion {
        provider,
        program: path,
        environment: &crate::config::child::probe_env(&app.config, app.broker.epoch()),
        shared: &app.config.shared(),
        timeout: VERSION_TIMEOUT,
    };
    let version = question.ask().await;
    let said = Said { changed, at: Instant::now(), version: version.clone() };
    app.versions.lock().await.insert(key, said);
    version
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_answer_expires_when_silent_or_when_the_file_changed() {
        let (changed, at) = (SystemTime::UNIX_EPOCH, Instant::now());
        let later = changed + Duration::from_secs(1);
        let silent = Said { changed, at, version: Version::Silent };
        assert!(
            silent.holds(changed, at) && !silent.holds(changed, at + SILENCE) && !silent.holds(later, at)
        );
        let told = Said { changed, at, version: Version::Is("1.2".to_owned()) };
        assert!(told.holds(changed, at + SILENCE) && !told.holds(later, at));
    }
}
