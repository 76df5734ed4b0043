//! `provider.*`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use auth_spawner::{ChildEnv, Cli, Terminal};
use futures_util::future::join_all;
use identity_store::ProviderId;
use rpc_engine::Call;

use crate::api::provider::{Cli as WireCli, List, Provider, Providers};
use crate::app::App;
use crate::error::{ApiError, Kind};

/// How long a CLI may take to tell its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// `provider.list`.
pub async fn list(app: App, _: Call, _: List) -> Result<Providers, ApiError> {
    let env = crate::boot::probe_env(&app.config, app.broker.epoch());
    let providers = app.registry.iter().map(|provider| async {
        let cli = match &provider.cli {
            Some(cli) => installed(&app, cli, &env).await,
            None => WireCli { found: false, path: None, version: None, install: None },
        };
        let recipes = provider.cli.iter().flat_map(|cli| &cli.recipes);
        let requires_tty =
            recipes.clone().next().is_some_and(|recipe| matches!(recipe.terminal, Terminal::Pty { .. }));
        let key = provider.key.as_ref().map(|_| "api_key".to_owned());
        Provider {
            id: provider.id.clone(),
            aliases: provider.aliases.clone(),
            display_name: provider.display_name.clone(),
            class: provider.class.as_str().to_owned(),
            cli,
            requires_tty,
            login_kinds: recipes.map(|recipe| recipe.id.clone()).chain(key).collect(),
        }
    });
    Ok(Providers { providers: join_all(providers).await })
}

async fn installed(app: &App, cli: &Cli, env: &ChildEnv) -> WireCli {
    let path = auth_spawner::locate(cli, &app.config.search_path);
    let version = match &path {
        Some(path) => version(app, cli, path, env).await,
        None => None,
    };
    WireCli {
        found: path.is_some(),
        path: path.map(|path| path.display().to_string()),
        version,
        install: Some(cli.install.clone()),
    }
}

/// Asks a program for its version once, until the program changes.
async fn version(app: &App, cli: &Cli, path: &Path, env: &ChildEnv) -> Option<String> {
    let changed = std::fs::metadata(path).and_then(|found| found.modified()).ok()?;
    let known = |versions: &HashMap<PathBuf, (SystemTime, Option<String>)>| {
        versions.get(path).filter(|(at, _)| *at == changed).map(|(_, version)| version.clone())
    };
    if let Some(version) = known(&*app.versions.lock().await) {
        return version;
    }
    let said = auth_spawner::version(path, &cli.version_args, env, VERSION_TIMEOUT).await;
    app.versions.lock().await.insert(path.to_owned(), (changed, said.clone()));
    said
}

/// The provider's id as the store writes it.
///
/// # Errors
/// `internal` words under `invalid_input` when the registry holds an id that the store cannot write.
pub(super) fn stored_id(provider: &auth_spawner::Provider) -> Result<ProviderId, ApiError> {
    provider
        .id
        .parse()
        .map_err(|_| ApiError::new(Kind::InvalidInput, "the registry's provider id cannot be stored"))
}
