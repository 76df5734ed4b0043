//! From a configuration to a running daemon, and back down again.

mod error;
mod lock;
mod offline;
mod recover;
pub(crate) mod shims;

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use auth_spawner::{ChildEnv, Guard, GuardCommand, Overlay, Registry, SpawnLimits, Spawner, SpawnerConfig};
use identity_store::{Announce, Change, Keyring, Store, StoreOptions};
use rpc_engine::{Broker, BrokerConfig, Engine, Limits};
use tokio_util::sync::CancellationToken;

pub use error::BootError;
pub use lock::Lock;
pub(crate) use offline::{Offline, beside};

use crate::api::events;
use crate::app::{App, Parts, now};
use crate::audit::Auditor;
use crate::config::Config;
use crate::declared::{Declared, Keeper, Surroundings};
use crate::endpoint::{self, Endpoint};
use crate::environment::Environment;
use crate::ephemeral::Ephemeral;
use crate::error::with_causes;
use crate::health::{self, Examiner};
use crate::http::{Front, Listeners, gate::Gate};
use crate::identity_dir::Identities;
use crate::leftovers::Broom;
use crate::login::{self, Logins};
use crate::oauth::flows::{FlowsConfig, Keep, KeepError};
use crate::oauth::{Flows, Forges};
use crate::redact::Redactor;
use crate::refresh::{self, Refresher, RefresherConfig, Wake};
use crate::renewal::Renewals;
use crate::secrets::Secrets;
use crate::{bootstrap, key, private, routes};

/// Longest wait for the guard process to end what is left of the logins.
const GUARD_PATIENCE: Duration = Duration::from_secs(5);

/// How many events are kept for clients that come back.
const EVENTS_KEPT: usize = 4096;

/// How long ended login sessions stay readable, in milliseconds, and how many.
const SESSIONS_KEPT_MS: i64 = 24 * 60 * 60 * 1000;
const SESSIONS_KEPT: u32 = 10_000;

/// What `--migrate-only` does: everything up to the migrated store.
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

/// What `srvd migrate` does: takes over the user's own logins, or says what it would do.
///
/// # Errors
/// [`BootError`], with the exit code that scripts rely on; what fails afterwards stands in the report.
pub async fn take_over(
    config: &Config,
    environment: &Environment,
    dry_run: bool,
) -> Result<bootstrap::Report, BootError> {
    let (_lock, keyring) = prepare(config, environment)?;
    let registry = registry(config)?;
    let store = open(config, keyring, Arc::new(|_: &[Change]| {})).await?;
    let report = if dry_run {
        bootstrap::preview(&store, &registry, &config.home, now()).await
    } else {
        bootstrap::run(&store, &registry, &config.home, now()).await
    };
    store.close().await;
    Ok(report)
}

/// Runs the daemon until `stop` is cancelled. `ready` is called once clients can connect.
///
/// # Errors
/// [`BootError`], with the exit code that scripts rely on.
pub async fn run(
    config: Config,
    environment: &Environment,
    redactor: Redactor,
    stop: CancellationToken,
    ready: impl FnOnce(&Endpoint),
) -> Result<(), BootError> {
    let started = Instant::now();
    let (_lock, keyring) = prepare(&config, environment)?;
    let registry = registry(&config)?;
    let secrets = Secrets::new(&config, &registry, &child_env(&config)).map_err(BootError::Config)?;
    let broker = fresh_broker();
    let (inbox, wake) = (health::Inbox::default(), Wake::default());
    let store = open(&config, keyring, announce(&broker, &inbox, &wake)).await?;
    let identities = Identities::new(config.identities(), config.home.clone());
    let broom = Broom { store: &store, registry: &registry, identities: &identities };
    let renewals = recover::recover(broom, Renewals::new(&config.identities()), &probes(&config)).await?;
    // Whatever becomes of it, the daemon comes up; what is left is done at the next start.
    bootstrap::run(&store, &registry, &config.home, now()).await;
    let examiner = Examiner::new(store.clone(), registry.clone(), inbox.clone());

    let standing = probe_mark(&config, broker.epoch());
    let guard = Guard::start(guard_command().map_err(BootError::cannot_create)?, &[&standing]).await;
    let logins = Logins::new(login::Tools {
        store: store.clone(),
        broker: broker.clone(),
        registry: registry.clone(),
        identities: identities.clone(),
        renewals: renewals.clone(),
        redactor: redactor.clone(),
        health: examiner.clone(),
    });
    let (declared, ephemeral, keeper) = agents(&config, environment, &registry, (&broker, &redactor)).await;
    let shims = shims::install(&config.runtime_dir).map_err(BootError::cannot_create)?;
    let spawner = Spawner::new(
        SpawnerConfig {
            environment: shims.apply(child_env(&config)),
            browser: Some(shims.browser()),
            shared: config.shared(),
            limits: SpawnLimits { live: config.live_logins, ..SpawnLimits::default() },
            clock: Arc::new(now),
            guard: Some(guard.clone()),
        },
        Arc::new(logins.clone()),
    );
    let flows = flows(&config, environment, &redactor)?;
    let refresher = Refresher::new(RefresherConfig {
        store: store.clone(),
        forges: flows.forges().clone(),
        registry: registry.clone(),
        redactor: redactor.clone(),
        holder: format!("srvd-{}", broker.epoch()),
        clock: now,
        wake: wake.clone(),
        stop: stop.clone(),
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
        registry,
        spawner: spawner.clone(),
        logins,
        broker: broker.clone(),
        health: examiner.clone(),
        declared,
        ephemeral,
        identities,
        secrets,
        renewals,
        refresher: refresher.clone(),
        redactor,
        started,
        versions: tokio::sync::Mutex::default(),
        logouts: tokio::sync::Mutex::default(),
        connections: open_connections.clone(),
    });
    let engine = Engine::new(routes::router().build(&app, routes::info(), Limits::default()), broker.clone());

    let listeners = Listeners::bind(&socket, listen).await.map_err(BootError::cannot_create)?;
    flows.listens_at(listeners.tcp_address());
    let endpoint = Endpoint {
        version: 1,
        pid: std::process::id(),
        url: listeners.tcp_address().map(|address| format!("ws://{address}/rpc")),
        socket,
        token_file: runtime.join("token"),
        epoch: broker.epoch().to_owned(),
    };
    let front = Arc::new(Front {
        gate,
        flows: flows.clone(),
        engine: engine.clone(),
        store: store.clone(),
        ready: AtomicBool::new(true),
        connections,
        open: open_connections,
    });
    let served = tokio::spawn(front.clone().serve(listeners, stop.clone()));
    let refreshing = tokio::spawn(refresh::watch_over(refresher, wake, stop.clone(), grace));
    let background = background(&store, audit_rows, (examiner, inbox), keeper, &stop);
    endpoint::write_token(&endpoint.token_file, &token).map_err(BootError::cannot_create)?;
    endpoint.write(&runtime).map_err(BootError::cannot_create)?;
    tracing::info!(
        pid = endpoint.pid,
        url = endpoint.url.as_deref().unwrap_or("off"),
        socket = %endpoint.socket.display(),
        boot_ms = started.elapsed().as_millis(),
        "ready"
    );
    ready(&endpoint);

    stop.cancelled().await;
    tracing::info!("shutting down");
    front.ready.store(false, Ordering::Relaxed);
    withdraw([Endpoint::path(&runtime), endpoint.token_file]);
    // The logins end first, while their watchers can still be told.
    tokio::join!(spawner.shutdown(grace), flows.shutdown());
    engine.drain(grace).await;
    if tokio::time::timeout(grace + Duration::from_secs(1), served).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    // Whatever did not end in the time given is ended now.
    let _ = tokio::join!(background, refreshing, guard.close(GUARD_PATIENCE), recorder.finish());
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// The logins at forges.
///
/// # Errors
/// [`BootError`] naming the key of a forge that cannot be used.
fn flows(config: &Config, environment: &Environment, redactor: &Redactor) -> Result<Flows, BootError> {
    let forges =
        Forges::load(&config.forges, environment, &config.config_dir, now).map_err(|(key, reason)| {
            BootError::Config(crate::config::ConfigError::Invalid { name: format!("forges.{key}"), reason })
        })?;
    let keep: Keep = Arc::new(|_| {
        let error = KeepError { code: "storage", text: "this daemon keeps no tokens of forges".to_owned() };
        Box::pin(std::future::ready(Err(error)))
    });
    Ok(Flows::new(FlowsConfig { forges, keep, redactor: redactor.clone(), clock: now }))
}

/// What agents are given by files and by clients; nothing is lent yet.
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

/// Takes back what told clients where the daemon is.
fn withdraw(files: [std::path::PathBuf; 2]) {
    for path in files {
        // A file that is left over is overwritten by the next boot; clients see by its pid that it is stale.
        let _ = std::fs::remove_file(path);
    }
}

/// A broker in an epoch of its own.
fn fresh_broker() -> Broker {
    let epoch = uuid::Uuid::new_v4().to_string();
    Broker::new(BrokerConfig { epoch, keep: EVENTS_KEPT, methods: events::METHODS })
}

/// Private directories, the lock, the key: all that comes before the database.
fn prepare(config: &Config, environment: &Environment) -> Result<(Lock, Keyring), BootError> {
    let keyring = key::load(environment, &config.config_dir)?.keyring();
    for dir in [&config.data_dir, &config.runtime_dir] {
        private::directory(dir)?;
    }
    Ok((Lock::acquire(&config.data_dir)?, keyring))
}

async fn open(config: &Config, keyring: Keyring, announce: Announce) -> Result<Store, BootError> {
    let options = StoreOptions::new(config.database.clone(), announce, now());
    Ok(Store::open(options, keyring).await?)
}

/// The provider registry with the operator's entries.
///
/// # Errors
/// [`BootError`] naming the file that cannot be used.
pub(crate) fn registry(config: &Config) -> Result<Registry, BootError> {
    let dir = config.config_dir.join("providers.d");
    let unreadable =
        |source| BootError::Config(crate::config::ConfigError::Unreadable { path: dir.clone(), source });
    let mut files = match std::fs::read_dir(&dir) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(unreadable(error)),
    };
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let overlays = files
        .into_iter()
        .map(|path| Ok(Overlay { text: std::fs::read_to_string(&path)?, source: path.display().to_string() }))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    Ok(Registry::with_overlays(&overlays)?)
}

/// What a committed change is called on the wire. A changed account is looked at as well, and so is the queue of refreshes.
fn announce(broker: &Broker, inbox: &health::Inbox, wake: &Wake) -> Announce {
    let (broker, inbox, wake) = (broker.clone(), inbox.clone(), wake.clone());
    Arc::new(move |changes| {
        for change in changes {
            let (topic, data) = match change {
                Change::Bundles => (events::BUNDLES_CHANGED.to_owned(), None),
                Change::Bindings(id) => (
                    events::bindings_changed(id.as_str()),
                    Some(serde_json::json!({"bundleId": id.as_str()})),
                ),
                Change::Account(id) => {
                    inbox.changed(id);
                    wake.wake();
                    let data = serde_json::json!({"accountId": id.as_str()});
                    (events::account_changed(id.as_str()), Some(data))
                }
                Change::Profiles(user) => {
                    let data = serde_json::json!({"userId": user.as_str()});
                    (events::profiles_changed(user.as_str()), Some(data))
                }
                Change::OperatorTokens => (events::OPERATOR_TOKENS_CHANGED.to_owned(), None),
                // The spawner announces sessions, at the moment when a poll shows the new state.
                Change::Session(_) => continue,
            };
            broker.publish(&topic, now(), data);
        }
    })
}

/// What goes on beside the connections. It waits for nothing but the same signal, and for at most two seconds more.
fn background(
    store: &Store,
    audit_rows: u32,
    (examiner, inbox): (Examiner, health::Inbox),
    keeper: Keeper,
    stop: &CancellationToken,
) -> tokio::task::JoinHandle<()> {
    let pruning = tokio::spawn(prune(store.clone(), audit_rows, stop.clone()));
    let watching = tokio::spawn(health::watch_over(examiner, inbox, stop.clone()));
    let keeping = tokio::spawn(keeper.run(stop.clone()));
    tokio::spawn(async {
        for ended in [pruning.await, watching.await, keeping.await] {
            if let Err(error) = ended {
                tracing::error!(%error, "a background task broke off");
            }
        }
    })
}

/// Lets go of login sessions that ended long ago and of the oldest rows of the audit log, now and every hour.
async fn prune(store: Store, audit_rows: u32, stop: CancellationToken) {
    let mut hourly = tokio::time::interval(Duration::from_hours(1));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hourly.tick() => {}
        }
        if let Err(error) = store.prune_sessions(now() - SESSIONS_KEPT_MS, SESSIONS_KEPT).await {
            tracing::warn!(error = with_causes(&error), "old login sessions could not be removed");
        }
        if let Err(error) = store.prune_audit(audit_rows, now()).await {
            tracing::warn!(error = with_causes(&error), "old rows of the audit log could not be removed");
        }
    }
}

/// How the guard process is started. On Linux it is this very program, whatever lies at its path by now, and it is not
/// called `srvd`, so that a `pkill -9 srvd` leaves it to do its work.
fn guard_command() -> std::io::Result<GuardCommand> {
    let own = std::path::PathBuf::from("/proc/self/exe");
    Ok(GuardCommand {
        program: if own.exists() { own } else { std::env::current_exe()? },
        name: "srvd".into(),
        args: vec![crate::cli::GUARD.into()],
    })
}

/// The mark of whatever asks a CLI for its version: the same for every daemon of a data directory, so that a later one
/// knows what an earlier one left behind.
fn probes(config: &Config) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    config.data_dir.hash(&mut hasher);
    format!("probe-{:016x}", hasher.finish())
}

/// The mark of this daemon's: the guard of the one before may still be looking for its own.
fn probe_mark(config: &Config, epoch: &str) -> String {
    format!("{}.{epoch}", probes(config))
}

/// What a CLI gets that is asked for its version.
pub fn probe_env(config: &Config, epoch: &str) -> ChildEnv {
    let mut env = child_env(config);
    env.mark(&probe_mark(config, epoch));
    env
}

/// The variables that every child gets, from an empty environment: nothing of the daemon's own.
pub fn child_env(config: &Config) -> ChildEnv {
    let mut env = config.base_env.clone();
    let path = std::env::join_paths(&config.search_path).unwrap_or_default();
    env.push(("PATH".to_owned(), path.to_string_lossy().into_owned()));
    env.extend(config.child_env.iter().cloned());
    ChildEnv::from_iter(env)
}
