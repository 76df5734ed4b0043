//! The parts of the daemon that most services use: the configuration, the store and the broker.

use auth_spawner::{Guard, Registry};
use identity_store::{Keyring, Store};
use rpc_engine::Broker;
use tokio_util::sync::CancellationToken;

use super::changes::{announce, fresh_broker};
use super::database::{self, Absence};
use super::{BootError, recover, registry};
use crate::base::blocking::BlockingTasks;
use crate::base::environment::Environment;
use crate::base::guard::guard_command;
use crate::base::redact::Redactor;
use crate::config::Config;
use crate::config::child::{child_env, probe_mark, probes};
use crate::health::HealthReports;
use crate::keeper::KeeperSignal;
use crate::keys::external::ExternalKeys;
use crate::refresh::RefreshSignal;

/// The parts of the daemon that most services use.
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) environment: Environment,
    pub(super) store: Store,
    pub(super) broker: Broker,
    pub(super) registry: Registry,
    pub(super) external_keys: ExternalKeys,
    pub(super) redactor: Redactor,
    /// The blocking work under way.
    pub(super) blocking: BlockingTasks,
    /// Changed accounts, which the health task checks.
    pub(super) health_reports: HealthReports,
    /// Wakes the refresher.
    pub(super) refresh_signal: RefreshSignal,
    /// Wakes the keeper.
    pub(super) keeper_signal: KeeperSignal,
    pub(super) stop: CancellationToken,
}

impl Core {
    /// Opens the store, starts the guard, and ends the version probes that a crashed daemon left.
    ///
    /// # Errors
    /// [`BootError`].
    pub(super) async fn open(
        config: Config,
        environment: &Environment,
        redactor: Redactor,
        stop: CancellationToken,
        keyring: Keyring,
    ) -> Result<(Self, Guard), BootError> {
        let registry = registry(&config)?;
        let external_keys = ExternalKeys::new(&config, &registry, child_env(&config), redactor.clone())
            .map_err(BootError::Config)?;
        let (broker, blocking) = (fresh_broker(), BlockingTasks::default());
        let (health_reports, refresh_signal) = (HealthReports::default(), RefreshSignal::default());
        let keeper_signal = KeeperSignal::default();
        let (probes, standing) = (probes(&config), probe_mark(&config, broker.epoch()));
        let guard_command = guard_command().map_err(BootError::cannot_create)?;
        let standing = [&*standing];
        // The database waits for the disk; the other two do not depend on it.
        let (store, guard, ()) = tokio::join!(
            database::open(
                &config,
                keyring,
                announce(&broker, &health_reports, &refresh_signal, &keeper_signal),
                Absence::Create,
            ),
            Guard::start(guard_command, &standing),
            recover::end_probes(&blocking, &probes),
        );
        let core = Self {
            store: store?,
            environment: environment.clone(),
            config,
            broker,
            registry,
            external_keys,
            redactor,
            blocking,
            health_reports,
            refresh_signal,
            keeper_signal,
            stop,
        };
        Ok((core, guard))
    }
}
