//! The boot of the daemon, from a configuration to a running daemon.
//!
//! It holds the lock, the recovery from a crash, the background tasks and the shutdown. It uses every room of the
//! daemon and builds their services. It must not hold a rule of any of them, or know the command line.

mod announced;
mod changes;
mod core;
mod database;
mod error;
mod lock;
pub(crate) mod logging;
mod moved;
mod network;
mod offline;
pub(crate) mod record;
mod recover;
mod registry;
mod running;
mod services;
pub(crate) mod shims;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use identity_store::{Change, Keyring};
use rpc_engine::Engine;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use error::BootError;
pub(crate) use lock::Lock;
pub(crate) use offline::{Offline, beside};
pub(crate) use record::DatabaseRecord;
pub(crate) use registry::{OVERLAYS, overlays, registry};

use announced::Announced;
use core::Core;
use database::Absence;
use running::{Background, Running};
use services::{Callers, Services};

use crate::audit::Auditor;
use crate::base::blocking::BlockingTasks;
use crate::base::clock::now;
use crate::base::endpoint;
use crate::base::environment::Environment;
use crate::base::on_demand::OnDemand;
use crate::base::programs::Skipped;
use crate::base::redact::Redactor;
use crate::config::{Config, key};
use crate::console::Consoles;
use crate::disk::own_dir::OwnDirs;
use crate::forge::operator::session::BrowserSessions;
use crate::hint::Hint;
use crate::http::access::AccessCheck;
use crate::http::{HttpServer, Listeners, Readiness, Refusals};
use crate::pairing::Clients;
use crate::rpc::routes;
use crate::wire::doctor::Findings;
use crate::{adopt, http};

/// Runs `--migrate-only`: everything up to the migrated store. Returns the schema version.
///
/// # Errors
/// [`BootError`], with the exit code that scripts rely on.
pub(crate) async fn migrate(config: &Config, environment: &Environment) -> Result<i64, BootError> {
    let (_lock, keyring) = prepare(config, environment)?;
    let store = database::open(config, keyring, Arc::new(|_: &[Change]| {}), Absence::Create).await?;
    let version = store.schema_version().await?;
    store.close().await;
    Ok(version)
}

/// Runs `srvd migrate`: takes over the user's own logins, or reports what it would do.
///
/// # Errors
/// [`BootError`], with the exit code that scripts rely on. Later failures are part of the report.
pub(crate) async fn take_over(
    config: &Config,
    environment: &Environment,
    dry_run: bool,
) -> Result<adopt::Report, BootError> {
    let (_lock, keyring) = prepare(config, environment)?;
    let registry = registry(config)?;
    let own = OwnDirs::new(environment, config, &registry, BlockingTasks::default());
    let store = database::open(config, keyring, Arc::new(|_: &[Change]| {}), Absence::Refuse).await?;
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
pub(crate) async fn start(
    config: Config,
    environment: &Environment,
    redactor: Redactor,
    checkup: OnDemand<Findings>,
    stop: CancellationToken,
) -> Result<Running, BootError> {
    let started = Instant::now();
    http::check_length(&config.socket()).map_err(BootError::cannot_create)?;
    let (lock, keyring) = {
        // A thread of its own, so that a signal is noticed while a lock is waited for.
        let (config, environment) = (config.clone(), environment.clone());
        let prepared = tokio::task::spawn_blocking(move || prepare(&config, &environment)).await;
        prepared.map_err(|error| BootError::cannot_create(error.into()))??
    };
    name_skipped(config.search.skipped());
    let (core, guard) = Core::open(config, environment, redactor, stop, keyring).await?;
    let (auditor, recorder) = Auditor::start(core.store.clone());
    let services = Services::build(&core, &guard, &auditor).await?;
    let token = endpoint::fresh_token().map_err(BootError::cannot_create)?;
    core.redactor.pin(&token);
    let open_connections = Arc::new(AtomicUsize::new(0));
    let clients = Clients::open(&core.store, &core.redactor).await.map_err(BootError::from)?;
    let consoles = Consoles::new(core.redactor.clone(), auditor.clone(), core.config.console);
    let app = services.app(
        &core,
        auditor,
        Callers { clients: clients.clone(), consoles: consoles.clone(), checkup },
        open_connections.clone(),
        started,
    );
    let engine =
        Engine::new(routes::router().build(&app, routes::info(), routes::limits()), core.broker.clone());

    let config = &core.config;
    let listeners =
        Listeners::bind(&config.socket(), config.listen).await.map_err(BootError::cannot_create)?;
    services.flows.listens_at(listeners.tcp_address());
    services.logins.listens_at(listeners.tcp_address());
    let logins = services.logins.clone();
    let announced = Announced::new(config, listeners.tcp_address(), core.broker.epoch());
    let server = Arc::new(HttpServer {
        access: AccessCheck::new(
            token.clone(),
            config.hosts.clone(),
            config.origins.clone(),
            clients.known(),
        )
        .with_consoles(consoles.if_on()),
        clients,
        consoles: consoles.if_on(),
        flows: services.flows.clone(),
        logins: Arc::new(move |query| {
            let logins = logins.clone();
            async move { logins.callback(&query).await }.boxed()
        }),
        sessions: BrowserSessions::new(core.redactor.clone()),
        engine: engine.clone(),
        store: core.store.clone(),
        ready: AtomicBool::new(true),
        readiness: Readiness::new(config.database.path()),
        connections: config.connections,
        open: open_connections,
        refusals: Refusals::default(),
        started,
    });
    let mut connections = JoinSet::new();
    connections.spawn(server.clone().serve(listeners, core.stop.clone()));
    let grace = Duration::from_secs(config.shutdown_seconds);
    let background = Background {
        store: core.store.clone(),
        audit_rows: config.audit_rows,
        examiner: services.examiner,
        health_reports: core.health_reports,
        declared: services.declared_watcher,
        refresher: services.refresher,
        adapters: services.adapters,
        keeper: services.keeper,
        grace,
    };
    let mut background = background.start(&core.stop);
    announced.write(&core.blocking, token, started).await?;
    background.spawn(database::examine(core.config.clone(), core.store.clone(), core.stop.clone()));
    // The login shell is asked beside the work, so that no start and no first login waits for it.
    let (logins, known, stop) = (services.logins.clone(), core.config.search.clone(), core.stop.clone());
    background.spawn(async move {
        if let Some(Ok(search)) = stop.run_until_cancelled(logins.programs().search()).await {
            let named = |skipped: &Skipped| known.skipped().contains(skipped);
            name_skipped(&search.skipped().iter().filter(|one| !named(one)).cloned().collect::<Vec<_>>());
        }
    });
    Ok(Running {
        server,
        connections,
        background,
        engine,
        spawner: services.spawner,
        login_tasks: services.login_tasks,
        blocking: core.blocking,
        flows: services.flows,
        guard,
        recorder,
        store: core.store,
        grace,
        announced,
        _lock: lock,
    })
}

/// Logs the directories that are not searched for CLIs, in one line: under WSL there are many.
fn name_skipped(skipped: &[Skipped]) {
    if let Some(first) = skipped.first() {
        let paths: Vec<String> = skipped.iter().map(|one| one.path.display().to_string()).collect();
        tracing::warn!(
            paths = paths.join(", "),
            reason = first.reason,
            remedy = first.remedy.as_ref().map(Hint::as_str),
            "directories of the search path are not used"
        );
    }
}

/// Does the work that precedes the database: the key, the private directories, the lock and the network. It blocks.
fn prepare(config: &Config, environment: &Environment) -> Result<(Lock, Keyring), BootError> {
    let keyring = key::load(environment, &config.key_sources())?.keyring();
    offline::directories(config)?;
    let lock = Lock::acquire(&config.data_dir)?;
    network::set_up(config)?;
    Ok((lock, keyring))
}
