//! The boot of the daemon, from a configuration to a running daemon.

mod changes;
mod error;
mod lock;
pub mod logging;
mod offline;
mod recover;
mod registry;
mod running;
pub(crate) mod shims;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use auth_spawner::{Guard, Registry, SpawnLimits, Spawner, SpawnerConfig};
use identity_store::{Announce, Change, Keyring, Store, StoreOptions};
use rpc_engine::{Broker, Engine, Limits};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use error::BootError;
pub use lock::Lock;
pub(crate) use offline::{Offline, beside};
pub(crate) use registry::registry;

use crate::base::guard::guard_command;
use crate::config::child::{child_env, probe_mark, probes};
use changes::{announce, fresh_broker};
pub use running::Running;
use running::background;

use crate::accounts::accounts::StatusChecker;
use crate::accounts::profiles::ProfileKeeper;
use crate::accounts::removal::Remover;
use crate::agents::declared::{Declared, Keeper, Surroundings};
use crate::agents::ephemeral::Ephemeral;
use crate::audit::Auditor;
use crate::base::clock::now;
use crate::base::endpoint::Endpoint;
use crate::base::environment::Environment;
use crate::base::redact::Redactor;
use crate::base::{endpoint, private};
use crate::config::{Config, key};
use crate::disk::identity_dir::Identities;
use crate::disk::leftovers::LeftoverCleaner;
use crate::disk::own_dir::OwnDirs;
use crate::forge::oauth::flows::FlowsConfig;
use crate::forge::oauth::{Flows, Forges, Returns};
use crate::forge::operator::session::Sessions;
use crate::forge::operator::{Operators, OperatorsConfig};
use crate::health::Examiner;
use crate::http::gate::Gate;
use crate::http::{Front, Listeners};
use crate::keys::external::ExternalKeys;
use crate::launch::{EnvironmentConflicts, Launcher, LauncherConfig};
use crate::login::renewal::Renewals;
use crate::login::{LoginResources, LoginSink, Logins};
use crate::refresh::{Refresher, RefresherConfig, Wake};
use crate::rpc::app::{App, Parts};
use crate::rpc::routes;
use crate::{adopt, health};

/// Runs `--migrate-only`: everything up to the migrated store. Returns the schema version.
///
/// # Errors
/// [`BootError`], with the exit code that scripts rely on.
pub async fn migrate(config: &Config, environment: &Environment) -> Result<i64, BootError> {
    let (_lock, keyring) = prepare(config, environment)?;
    let store = open(config, keyring, Arc::new(|_: &[Change]| {})).await?;
    let version = store.schema_version().await?;
    store.close().await;
    Ok(version)
}

/// Runs `srvd migrate`: takes over the user's own logins, or reports what it would do.
///
/// # Errors
/// [`BootError`], with the exit code that scripts rely on. Later failures are part of the report.
pub async fn take_over(
    config: &Config,
    environment: &Environment,
    dry_run: bool,
) -> Result<adopt::Report, BootError> {
    let (_lock, keyring) = prepare(config, environment)?;
    let registry = registry(config)?;
    let own = OwnDirs::new(environment, config, &registry);
    let store = open(config, keyring, Arc::new(|_: &[Change]| {})).await?;
    let report = if dry_run {
        adopt::preview(&store, &registry, &own, now()).await
    } else {
        adopt::run(&store, &registry, &own, now()).await
    };
    store.close().await;
    Ok(report)
}

/// Starts the daemon. When this returns, clients can connect. All that it started ends when `stop` is cancelled.
///
/// # Errors
/// [`BootError`], with the exit code that scripts rely on.
pub async fn start(
    config: Config,
    environment: &Environment,
    redactor: Redactor,
    stop: CancellationToken,
) -> Result<Running, BootError> {
    let started = Instant::now();
    let (lock, keyring) = prepare(&config, environment)?;
    let registry = registry(&config)?;
    let external_keys = ExternalKeys::new(&config, &registry, child_env(&config), redactor.clone())
        .map_err(BootError::Config)?;
    let broker = fresh_broker();
    let (inbox, wake) = (health::Inbox::default(), Wake::default());
    let (probes, standing) = (probes(&config), probe_mark(&config, broker.epoch()));
    let (guard_command, standing) = (guard_command().map_err(BootError::cannot_create)?, [&*standing]);
    // The database waits for the disk; the other two do not depend on it.
    let (store, guard, ()) = tokio::join!(
        open(&config, keyring, announce(&broker, &inbox, &wake)),
        Guard::start(guard_command, &standing),
        recover::end_probes(&probes),
    );
    let store = store?;
    let login_tasks = TaskTracker::new();
    let Directories { identities, leftovers, renewals } =
        directories(&config, environment, &login_tasks, &store, &registry).await?;
    let examiner = Examiner::new(store.clone(), registry.clone(), &config.home, inbox.clone());
    let (declared, ephemeral, keeper) = agents(&config, environment, &registry, (&broker, &redactor)).await;
    let login_resources = LoginResources {
        store: store.clone(),
        broker: broker.clone(),
        registry: registry.clone(),
        identities: identities.clone(),
        renewals,
        redactor: redactor.clone(),
        health: examiner.clone(),
        tasks: login_tasks.clone(),
    };
    let (spawner, logins) = logins(&config, &guard, login_resources)?;
    let (flows, operators) = flows(&config, environment, &redactor, (&store, &broker, &stop))?;
    let refresher = refresher(&store, &flows, (&registry, &redactor), (broker.epoch(), wake, &stop));
    let launcher = Launcher::new(LauncherConfig {
        registry: registry.clone(),
        identities: identities.clone(),
        shared: config.shared(),
        keys: external_keys.clone(),
        declared: declared.clone(),
        ephemeral: ephemeral.clone(),
        refresher: refresher.clone(),
        conflicts: EnvironmentConflicts::new(&registry),
    });
    let token = endpoint::fresh_token().map_err(BootError::cannot_create)?;
    redactor.pin(&token);
    let (socket, runtime, listen) = (config.socket(), config.runtime_dir.clone(), config.listen);
    let (connections, grace) = (config.connections, Duration::from_secs(config.shutdown_seconds));
    let gate = Gate::new(token.clone(), config.hosts.clone(), config.origins.clone());
    let open_connections = Arc::new(AtomicUsize::new(0));
    let (auditor, recorder) = Auditor::start(store.clone());
    let audit_rows = config.audit_rows;
    let app = App::new(Parts {
        config,
        store: store.clone(),
        auditor,
        launcher,
        remover: Remover::new(&spawner, &registry, &leftovers),
        status_checker: StatusChecker::new(&registry, &external_keys, &redactor, &examiner),
        profiles: ProfileKeeper::new(&registry, &redactor, &declared, &ephemeral),
        registry,
        spawner: spawner.clone(),
        logins,
        broker: broker.clone(),
        health: examiner.clone(),
        declared,
        ephemeral,
        flows: flows.clone(),
        operators,
        identities,
        external_keys,
        refresher: refresher.clone(),
        redactor,
        started,
        connections: open_connections.clone(),
    });
    let engine = Engine::new(routes::router().build(&app, routes::info(), Limits::default()), broker.clone());

    let listeners = Listeners::bind(&socket, listen).await.map_err(BootError::cannot_create)?;
    flows.listens_at(listeners.tcp_address());
    let endpoint = served_at(&listeners, socket, &runtime, broker.epoch());
    let front = Arc::new(Front {
        gate,
        flows: flows.clone(),
        sessions: Sessions::new(app.redactor.clone()),
        engine: engine.clone(),
        store: store.clone(),
        ready: AtomicBool::new(true),
        connections,
        open: open_connections,
    });
    let served = tokio::spawn(front.clone().serve(listeners, stop.clone()));
    let background = background(&store, audit_rows, (examiner, inbox), keeper, (refresher, grace), &stop);
    tell(&endpoint, &token, &runtime, started).map_err(BootError::cannot_create)?;
    let announced = [Endpoint::path(&runtime), endpoint.token_file];
    let tasks = (served, background);
    Ok(Running {
        front,
        tasks,
        engine,
        spawner,
        login_tasks,
        flows,
        guard,
        recorder,
        leftovers,
        store,
        grace,
        announced,
        _lock: lock,
    })
}

/// The directories of the identities, and what puts them in order.
struct Directories {
    identities: Identities,
    leftovers: LeftoverCleaner,
    renewals: Renewals,
}

/// Puts the directories in order after a crash of an earlier daemon, and takes over the user's own logins.
///
/// # Errors
/// [`BootError`], when the store fails.
async fn directories(
    config: &Config,
    environment: &Environment,
    tasks: &TaskTracker,
    store: &Store,
    registry: &Registry,
) -> Result<Directories, BootError> {
    let identities = Identities::new(config.identities(), config.home.clone());
    let leftovers = LeftoverCleaner::new(registry.clone(), identities.clone());
    let renewals = Renewals::new(&config.identities(), tasks.clone());
    recover::recover(store, &identities, &leftovers, &renewals, tasks).await?;
    // The daemon starts regardless of the result. The next start does the rest.
    let own = OwnDirs::new(environment, config, registry);
    adopt::run(store, registry, &own, now()).await;
    Ok(Directories { identities, leftovers, renewals })
}

/// Returns the addresses of the daemon.
fn served_at(listeners: &Listeners, socket: PathBuf, runtime: &Path, epoch: &str) -> Endpoint {
    Endpoint {
        version: 1,
        pid: std::process::id(),
        url: listeners.tcp_address().map(|address| format!("ws://{address}/rpc")),
        socket,
        token_file: runtime.join("token"),
        epoch: epoch.to_owned(),
    }
}

/// Announces the addresses of the daemon to local clients.
fn tell(endpoint: &Endpoint, token: &SecretString, runtime: &Path, started: Instant) -> io::Result<()> {
    endpoint::write_token(&endpoint.token_file, token)?;
    endpoint.write(runtime)?;
    tracing::info!(
        pid = endpoint.pid,
        url = endpoint.url.as_deref().unwrap_or("off"),
        socket = %endpoint.socket.display(),
        boot_ms = started.elapsed().as_millis(),
        "ready"
    );
    Ok(())
}

/// Creates the spawner, which runs CLIs, and the service of logins, which it reports to.
fn logins(config: &Config, guard: &Guard, resources: LoginResources) -> Result<(Spawner, Logins), BootError> {
    let shims = shims::install(&config.runtime_dir).map_err(BootError::cannot_create)?;
    let spawner_config = SpawnerConfig {
        environment: shims.apply(child_env(config)),
        browser: Some(shims.browser()),
        shared: config.shared(),
        limits: SpawnLimits { live: config.live_logins, ..SpawnLimits::default() },
        clock: Arc::new(now),
        guard: Some(guard.clone()),
    };
    let sink = LoginSink::new(resources.clone());
    let spawner = Spawner::new(spawner_config, Arc::new(sink.clone()));
    Ok((spawner.clone(), Logins::new(config, resources, sink, spawner)))
}

/// Creates the logins at forges, and the operators, which keep their tokens.
///
/// # Errors
/// [`BootError`], which names the key of a forge that cannot be used.
fn flows(
    config: &Config,
    environment: &Environment,
    redactor: &Redactor,
    (store, broker, stop): (&Store, &Broker, &CancellationToken),
) -> Result<(Flows, Operators), BootError> {
    let forges =
        Forges::load(&config.forges, environment, &config.config_dir, now).map_err(|(key, reason)| {
            BootError::Config(crate::config::ConfigError::Invalid { name: format!("forges.{key}"), reason })
        })?;
    let returns = Returns::default();
    let operators = Operators::new(OperatorsConfig {
        store: store.clone(),
        forges: forges.clone(),
        returns: returns.clone(),
        redactor: redactor.clone(),
        clock: now,
        stop: stop.clone(),
    });
    let (keep, moved) = (operators.keeper(), changes::moved(broker));
    let flows =
        Flows::new(FlowsConfig { forges, keep, moved, returns, redactor: redactor.clone(), clock: now });
    // A forge may not have stated the account of an earlier sign-in. It may be known now.
    let completing = operators.clone();
    flows.aside(async move { completing.complete_pending().await });
    Ok((flows, operators))
}

/// Creates the refresher of tokens. It does nothing until it is run.
fn refresher(
    store: &Store,
    flows: &Flows,
    (registry, redactor): (&Registry, &Redactor),
    (epoch, wake, stop): (&str, Wake, &CancellationToken),
) -> Refresher {
    Refresher::new(RefresherConfig {
        store: store.clone(),
        forges: flows.forges().clone(),
        registry: registry.clone(),
        redactor: redactor.clone(),
        holder: format!("srvd-{epoch}"),
        clock: now,
        wake,
        stop: stop.clone(),
    })
}

/// Creates the sources of the agents' credentials: files and clients. Clients have lent none yet.
async fn agents(
    config: &Config,
    environment: &Environment,
    registry: &Registry,
    (broker, redactor): (&Broker, &Redactor),
) -> (Declared, Ephemeral, Keeper) {
    let ephemeral = Ephemeral::default();
    let (declared, keeper) = Keeper::new(Surroundings {
        config_dir: config.config_dir.clone(),
        registry: registry.clone(),
        environment: environment.clone(),
        ephemeral: ephemeral.clone(),
        broker: broker.clone(),
        redactor: redactor.clone(),
    })
    .await;
    (declared, ephemeral, keeper)
}

/// Does the work that precedes the database: the key, the private directories and the lock.
fn prepare(config: &Config, environment: &Environment) -> Result<(Lock, Keyring), BootError> {
    let keyring = key::load(environment, &config.key_sources())?.keyring();
    for dir in [&config.data_dir, &config.runtime_dir] {
        private::directory(dir)?;
    }
    Ok((Lock::acquire(&config.data_dir)?, keyring))
}

async fn open(config: &Config, keyring: Keyring, announce: Announce) -> Result<Store, BootError> {
    let options = StoreOptions::new(config.database.clone(), announce, now());
    Ok(Store::open(options, keyring).await?)
}
