//! Gathers the facts about the machine. Each examination has a time limit. One that takes longer is recorded as not
//! done.

mod daemon;
mod identities;
mod places;
mod programs;
mod surroundings;

use std::path::Path;
use std::time::Duration;

use auth_spawner::Registry;
use identity_store::{Contents, Keyring};

use super::facts::{
    Daemon, DaemonAnswer, Database, Facts, Identities, Key, KeyProblem, LoadedKey, PathState, Ports, System,
};
use crate::base::blocking::BlockingTasks;
use crate::base::environment::Environment;
use crate::config::key::KeySourceError;
use crate::config::{Config, key};
use crate::disk::own_dir::OwnDirs;
use crate::wire::error::with_causes;

/// The longest time for the files of one kind. A home directory on a lost network must not block the checkup.
const FILES: Duration = Duration::from_secs(10);
/// The longest time for the inspection of the database.
const DATABASE: Duration = Duration::from_secs(5);

/// The names of the examinations that took too long.
#[derive(Default)]
struct UnfinishedChecks(Vec<&'static str>);

impl UnfinishedChecks {
    /// Runs blocking work on another thread. Returns the fallback if it takes too long or panics.
    async fn look<T: Send + 'static>(
        &mut self,
        what: &'static str,
        fallback: T,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if let Ok(Ok(seen)) = tokio::time::timeout(FILES, tokio::task::spawn_blocking(look)).await {
            return seen;
        }
        self.0.push(what);
        fallback
    }
}

/// The provider registry of the checkup.
pub(super) struct UsableRegistry {
    pub(super) registry: Registry,
    /// The reason why it is not the operator's; `None` if it is.
    pub(super) problem: Option<String>,
}

/// Gathers all facts.
pub(super) async fn gather(
    config: &Config,
    environment: &Environment,
    UsableRegistry { registry, problem }: UsableRegistry,
    answer: DaemonAnswer,
) -> Facts {
    let mut unseen = UnfinishedChecks::default();
    let (key, keyring) = key(config, environment, &mut unseen).await;
    let database = database(config, keyring.as_ref()).await;
    let contents = match &database {
        Database::Is(_, inspection) => inspection.contents.clone().map(|contents| located(contents, config)),
        _ => None,
    };

    let places = {
        let config = config.clone();
        unseen.look("your directories", Vec::new(), move || places::look(&config)).await
    };
    let identities = {
        let (root, registry, contents) = (config.identities(), registry.clone(), contents.clone());
        let own = OwnDirs::new(environment, config, &registry, BlockingTasks::default());
        let look = move || identities::look(&root, &registry, contents.as_ref(), &own);
        unseen.look("the login directories", Identities::default(), look).await
    };
    let own_logins = {
        let own = OwnDirs::new(environment, config, &registry, BlockingTasks::default());
        let (registry, contents) = (registry.clone(), contents.clone());
        let look = move || surroundings::own_logins(&own, &registry, contents.as_ref());
        unseen.look("your own logins", Vec::new(), look).await
    };
    let ports = {
        let fixed = programs::fixed_ports(&registry);
        let numbers: Vec<u16> = fixed.iter().map(|(port, _)| *port).collect();
        let held =
            unseen.look("the callback ports", Vec::new(), move || auth_spawner::held_ports(&numbers)).await;
        Ports { fixed, held }
    };
    let daemon = {
        let seen = config.clone();
        let fallback = daemon::unknown(config);
        let seen = unseen.look("the daemon's files", fallback, move || daemon::look(&seen)).await;
        let daemon::Seen { endpoint, lock, dir, socket } = seen;
        Daemon { endpoint, lock, answer, socket, runtime: dir, data: config.data_dir.clone() }
    };
    let space = {
        let data = config.data_dir.clone();
        unseen.look("the disk", None, move || free_bytes(&data)).await
    };
    let service = {
        let (home, environment) = (config.home.clone(), environment.clone());
        let fallback = surroundings::no_service();
        unseen.look("the service", fallback, move || surroundings::service(&home, &environment)).await
    };
    let own_shadows = own_logins.iter().filter_map(|login| Some((login.name.clone(), login.shadow.clone()?)));
    let shadows = identities.shadows.iter().cloned().chain(own_shadows).collect();
    Facts {
        system: if cfg!(target_os = "macos") { System::MacOs } else { System::Linux },
        uid: rustix::process::geteuid().as_raw(),
        registry: problem,
        checked_policy: config.spawn_policy == crate::config::SpawnPolicy::Checked,
        key,
        places,
        database,
        space,
        identities,
        daemon,
        ports,
        programs: programs::look(config, environment, &registry).await,
        skipped: programs::skipped(config, &registry),
        variables: surroundings::variables(environment, &registry),
        own_logins,
        service,
        shadows,
        asked: Vec::new(),
        strays: Vec::new(),
        unused_network: config.network.left_aside.clone(),
        unseen: unseen.0,
    }
}

async fn key(
    config: &Config,
    environment: &Environment,
    unseen: &mut UnfinishedChecks,
) -> (Key, Option<Keyring>) {
    let file = key::default_file(&config.config_dir);
    let seen = {
        let file = file.clone();
        unseen.look("the key", PathState::Nothing, move || places::seen(&file, false)).await
    };
    let (environment, sources) = (environment.clone(), config.key_sources());
    let in_variable = environment.bytes("OAUTH_ENCRYPTION_KEY").is_some();
    let late = || Err(KeyProblem::Unusable("it could not be read in time".to_owned()));
    let loaded = unseen
        .look("the key", late(), move || {
            key::load(&environment, &sources).map_err(|error| match error {
                KeySourceError::Missing(_) => KeyProblem::Missing,
                other => KeyProblem::Unusable(other.to_string()),
            })
        })
        .await;
    let keyring = loaded.as_ref().ok().map(key::Keys::keyring);
    let loaded = loaded.map(|keys| LoadedKey { id: keys.key.id().to_string(), places: keys.places });
    (Key { in_variable, file, file_seen: seen, loaded }, keyring)
}

async fn database(config: &Config, keyring: Option<&Keyring>) -> Database {
    let place = config.database.to_string();
    let look = identity_store::inspect(&config.database, keyring, DATABASE);
    match tokio::time::timeout(DATABASE * 2, look).await {
        Ok(Ok(Some(inspection))) => Database::Is(place, Box::new(inspection)),
        Ok(Ok(None)) => Database::Absent(place),
        Ok(Err(error)) => Database::Failed(place, with_causes(&error)),
        Err(_) => Database::Failed(place, "it did not answer in time".to_owned()),
    }
}

/// Returns the bytes that this user may still write at a path, or at the nearest existing directory above it.
fn free_bytes(path: &Path) -> Option<u64> {
    let found = path.ancestors().find_map(|dir| rustix::fs::statvfs(dir).ok())?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// Returns the contents with the present paths of the adopted directories.
fn located(contents: Contents, config: &Config) -> Contents {
    let roots = config.roots();
    let adopted = contents.adopted.into_iter().map(|(provider, dir)| (provider, roots.locate(&dir, true)));
    Contents { adopted: adopted.collect(), ..contents }
}

/// Returns whether the database has a bundle, or expects one from a login in progress.
fn knows(contents: &Contents, bundle: &str) -> bool {
    contents.bundles.iter().chain(&contents.expected).any(|id| id == bundle)
}
