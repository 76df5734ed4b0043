//! The services of the daemon, built from its core.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use auth_spawner::{Guard, SpawnLimits, Spawner, SpawnerConfig};
use tokio_util::task::TaskTracker;

use super::core::Core;
use super::{BootError, changes, recover, shims};
use crate::accounts::accounts::StatusChecker;
use crate::accounts::profiles::ProfileService;
use crate::accounts::removal::Remover;
use crate::adapter::{Adapters, AdaptersConfig};
use crate::adopt;
use crate::agents::declared::{Declared, DeclaredConfig, DeclaredWatcher};
use crate::agents::ephemeral::Ephemeral;
use crate::audit::Auditor;
use crate::base::clock::now;
use crate::base::on_demand::OnDemand;
use crate::base::private;
use crate::config::ConfigError;
use crate::config::child::{child_env, keeper_env, keepers};
use crate::console::Consoles;
use crate::disk::ballast::Ballast;
use crate::disk::identity_dir::IdentityDirs;
use crate::disk::leftovers::LeftoverCleaner;
use crate::disk::own_dir::OwnDirs;
use crate::disk::share::Furnisher;
use crate::forge::oauth::flows::FlowsConfig;
use crate::forge::oauth::{Flows, Forges, Returns};
use crate::forge::operator::{Operators, OperatorsConfig};
use crate::health::Examiner;
use crate::keeper::{Keeper, KeeperConfig, KeeperSettings};
use crate::launch::{Launcher, LauncherConfig, RemovalRules};
use crate::login::renewal::Renewals;
use crate::login::{LoginResources, LoginSink, Logins};
use crate::pairing::Clients;
use crate::refresh::{Refresher, RefresherConfig};
use crate::rpc::app::{App, AppState};
use crate::share::Sharing;
use crate::wire::doctor::Findings;

/// The parts of the app that are built before the services.
pub(super) struct Callers {
    pub(super) clients: Clients,
    pub(super) consoles: Consoles,
    pub(super) checkup: OnDemand<Findings>,
}

/// The time between two questions to the forges about the owners of sign-ins that are not complete.
const COMPLETE_EVERY: Duration = Duration::from_mins(10);

/// The services of the daemon.
pub(super) struct Services {
    pub(super) examiner: Examiner,
    pub(super) declared_watcher: DeclaredWatcher,
    pub(super) spawner: Spawner,
    /// The writes of logins.
    pub(super) login_tasks: TaskTracker,
    pub(super) flows: Flows,
    pub(super) refresher: Refresher,
    pub(super) keeper: Keeper,
    leftovers: LeftoverCleaner,
    declared: Declared,
    ephemeral: Ephemeral,
    pub(super) logins: Arc<Logins>,
    operators: Operators,
    pub(super) adapters: Adapters,
    launcher: Launcher,
    sharing: Sharing,
}

impl Services {
    /// Puts the directories in order, then builds the services. None of them runs yet, except for the sign-ins that are
    /// completed.
    ///
    /// # Errors
    /// [`BootError`].
    pub(super) async fn build(core: &Core, guard: &Guard, auditor: &Auditor) -> Result<Self, BootError> {
        let Directories { identities, leftovers, renewals } = directories(core).await?;
        let examiner = Examiner::new(
            core.store.clone(),
            core.registry.clone(),
            identities.clone(),
            core.health_reports.clone(),
        );
        let ephemeral = Ephemeral::default();
        let (declared, declared_watcher) = declared(core, &ephemeral).await;
        let login_tasks = TaskTracker::new();
        let login_resources = LoginResources {
            store: core.store.clone(),
            broker: core.broker.clone(),
            registry: core.registry.clone(),
            identities: identities.clone(),
            renewals,
            redactor: core.redactor.clone(),
            health: examiner.clone(),
            tasks: login_tasks.clone(),
            blocking: core.blocking.clone(),
            stop: core.stop.clone(),
        };
        let (spawner, logins) = logins(core, guard, login_resources)?;
        let logins = Arc::new(logins);
        let (flows, operators) = flows(core)?;
        let refresher = refresher(core, &flows);
        let adapters = Adapters::new(AdaptersConfig {
            forges: flows.forges().clone(),
            refresher: refresher.clone(),
            interval: core.config.forge_watch,
        });
        let keeper = keeper(core, &identities, &logins, auditor)?;
        let sharing = sharing(core, &identities);
        let launcher = Launcher::new(LauncherConfig {
            registry: core.registry.clone(),
            identities,
            shared: core.config.shared(),
            keys: core.external_keys.clone(),
            declared: declared.clone(),
            ephemeral: ephemeral.clone(),
            refresher: refresher.clone(),
            keeper: keeper.clone(),
            removal_rules: RemovalRules::new(&core.registry, core.config.launch_keep.clone()),
            sharing: sharing.clone(),
            network: core.config.network.variables(&core.config.data_dir),
        });
        Ok(Self {
            examiner,
            declared_watcher,
            spawner,
            login_tasks,
            flows,
            refresher,
            keeper,
            leftovers,
            declared,
            ephemeral,
            logins,
            operators,
            adapters,
            launcher,
            sharing,
        })
    }
}

impl Services {
    /// Returns the state that the handlers receive.
    pub(super) fn app(
        &self,
        core: &Core,
        auditor: Auditor,
        callers: Callers,
        connections: Arc<AtomicUsize>,
        started: Instant,
    ) -> App {
        let Core { registry, redactor, external_keys, .. } = core;
        App::new(AppState {
            store: core.store.clone(),
            auditor,
            clients: callers.clients,
            consoles: callers.consoles,
            checkup: callers.checkup,
            registry: registry.clone(),
            launcher: self.launcher.clone(),
            sharing: self.sharing.clone(),
            logins: self.logins.clone(),
            broker: core.broker.clone(),
            declared: self.declared.clone(),
            ephemeral: self.ephemeral.clone(),
            flows: self.flows.clone(),
            operators: self.operators.clone(),
            adapters: self.adapters.clone(),
            remover: Remover::new(
                &self.spawner,
                registry,
                &self.leftovers,
                Ballast::beside(core.config.database.path()),
            ),
            status_checker: StatusChecker::new(registry, external_keys, redactor, &self.examiner),
            profiles: ProfileService::new(
                registry,
                redactor,
                &self.declared,
                &self.ephemeral,
                &self.leftovers,
            ),
            external_keys: external_keys.clone(),
            refresher: self.refresher.clone(),
            keeper: self.keeper.clone(),
            redactor: redactor.clone(),
            connections,
            started,
        })
    }
}

/// The directories of the identities, and what puts them in order.
pub(super) struct Directories {
    pub(super) identities: IdentityDirs,
    pub(super) leftovers: LeftoverCleaner,
    pub(super) renewals: Renewals,
}

/// Puts the directories in order after a crash of an earlier daemon, and takes over the user's own logins.
///
/// # Errors
/// [`BootError`], when the store fails.
async fn directories(core: &Core) -> Result<Directories, BootError> {
    let Core { config, store, registry, blocking, .. } = core;
    let (root, home) = (config.identities(), config.home.clone());
    let identities = IdentityDirs::new(root, home, registry.clone(), blocking.clone())
        .with_bases(core.environment.xdg_homes());
    let leftovers = LeftoverCleaner::new(registry.clone(), identities.clone());
    let renewals = Renewals::new(&config.identities(), blocking.clone());
    let directories = Directories { identities, leftovers, renewals };
    recover::recover(store, registry, blocking, &directories).await?;
    // The daemon starts regardless of the result. The next start does the rest.
    let own = OwnDirs::new(&core.environment, config, registry, blocking.clone());
    adopt::run(store, registry, &own, now()).await;
    Ok(directories)
}

/// Creates the service that puts the person's own setup into the homes of bundles.
fn sharing(core: &Core, identities: &IdentityDirs) -> Sharing {
    let Core { config, registry, blocking, .. } = core;
    let own = OwnDirs::new(&core.environment, config, registry, blocking.clone());
    let (home, data) = (config.home.clone(), config.data_dir.clone());
    let furnisher = Furnisher::new(own, home, data, registry, blocking.clone());
    Sharing::new(registry.clone(), identities.clone(), furnisher)
}

/// Reads the credentials that files declare for agents.
async fn declared(core: &Core, ephemeral: &Ephemeral) -> (Declared, DeclaredWatcher) {
    DeclaredWatcher::new(DeclaredConfig {
        config_dir: core.config.config_dir.clone(),
        trust: core.config.trust.clone(),
        registry: core.registry.clone(),
        environment: core.environment.clone(),
        ephemeral: ephemeral.clone(),
        broker: core.broker.clone(),
        redactor: core.redactor.clone(),
        blocking: core.blocking.clone(),
    })
    .await
}

/// Creates the spawner, which runs CLIs, and the service of logins, which it reports to.
fn logins(core: &Core, guard: &Guard, resources: LoginResources) -> Result<(Spawner, Logins), BootError> {
    let config = &core.config;
    // This blocks, because nothing is served yet.
    let shims = shims::install(&config.runtime_dir).map_err(BootError::cannot_create)?;
    let spawner_config = SpawnerConfig {
        environment: shims.apply(child_env(config)),
        browser: Some(shims.browser()),
        shared: config.shared(),
        limits: SpawnLimits { live: config.live_logins, ..SpawnLimits::default() },
        clock: Arc::new(now),
        guard: Some(guard.clone()),
        network_advice: config.network.advice().map(|hint| hint.to_string()),
    };
    let sink = LoginSink::new(resources.clone());
    let spawner = Spawner::new(spawner_config, Arc::new(sink.clone()));
    Ok((spawner.clone(), Logins::new(config, &core.environment, resources, sink, spawner)))
}

/// Creates the logins at forges, and the operators, which keep their tokens.
///
/// # Errors
/// [`BootError`], which names the key of a forge that cannot be used.
fn flows(core: &Core) -> Result<(Flows, Operators), BootError> {
    let Core { config, environment, store, redactor, stop, .. } = core;
    // This reads files with secrets. It blocks, because nothing is served yet.
    let forges =
        Forges::load(&config.forges, environment, &config.config_dir, now).map_err(|(key, reason)| {
            BootError::Config(ConfigError::Invalid { name: format!("forges.{key}"), reason })
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
    let (keep, moved) = (operators.keeper(), changes::moved(&core.broker));
    let flows =
        Flows::new(FlowsConfig { forges, keep, moved, returns, redactor: redactor.clone(), clock: now });
    // A forge may not have stated the account of an earlier sign-in. It may be known now.
    let completing = operators.clone();
    flows.aside(async move {
        loop {
            completing.complete_pending().await;
            tokio::time::sleep(COMPLETE_EVERY).await;
        }
    });
    Ok((flows, operators))
}

/// Creates the keeper of CLI logins. It does nothing until it is run.
///
/// # Errors
/// [`BootError`], when the directory in which the CLIs run cannot be made.
fn keeper(
    core: &Core,
    identities: &IdentityDirs,
    logins: &Arc<Logins>,
    auditor: &Auditor,
) -> Result<Keeper, BootError> {
    let config = &core.config;
    // This blocks, because nothing is served yet.
    let shims = shims::install(&config.runtime_dir).map_err(BootError::cannot_create)?;
    let work_dir = config.runtime_dir.join("empty");
    private::directory(&work_dir).map_err(|error| BootError::cannot_create(std::io::Error::other(error)))?;
    Ok(Keeper::new(KeeperConfig {
        store: core.store.clone(),
        registry: core.registry.clone(),
        identities: identities.clone(),
        logins: logins.clone(),
        auditor: auditor.clone(),
        broker: core.broker.clone(),
        blocking: core.blocking.clone(),
        settings: KeeperSettings { on: config.keepalive },
        environment: shims.apply(keeper_env(config, core.broker.epoch())),
        mark: keepers(config),
        work_dir,
        signal: core.keeper_signal.clone(),
        stop: core.stop.clone(),
    }))
}

/// Creates the refresher of tokens. It does nothing until it is run.
fn refresher(core: &Core, flows: &Flows) -> Refresher {
    Refresher::new(RefresherConfig {
        store: core.store.clone(),
        forges: flows.forges().clone(),
        registry: core.registry.clone(),
        redactor: core.redactor.clone(),
        holder: format!("srvd-{}", core.broker.epoch()),
        clock: now,
        signal: core.refresh_signal.clone(),
        stop: core.stop.clone(),
    })
}
