//! The service that the handlers call, and the parts of the daemon that it uses.

use auth_spawner::{Registry, Spawner};
use identity_store::Store;
use rpc_engine::Broker;
use tokio_util::task::TaskTracker;

use super::logout::LogoutTurns;
use super::program::Programs;
use super::renewal::Renewals;
use super::sink::LoginSink;
use crate::base::blocking::BlockingTasks;
use crate::base::environment::Environment;
use crate::base::redact::Redactor;
use crate::config::{Config, SpawnPolicy};
use crate::disk::identity_dir::IdentityDirs;
use crate::health::Examiner;

/// The parts of the daemon that logins use. A clone holds handles to the same ones.
#[derive(Clone)]
pub(crate) struct LoginResources {
    /// The store of the sessions and accounts. Its handle names the daemon in the audit log.
    pub store: Store,
    /// Announces sessions to subscribers.
    pub broker: Broker,
    /// The registry of providers.
    pub registry: Registry,
    /// The directories of the bundles.
    pub identities: IdentityDirs,
    /// The logins that renew an existing one.
    pub renewals: Renewals,
    /// Keeps credentials out of the log.
    pub redactor: Redactor,
    /// Examines an account again after a failed login.
    pub health: Examiner,
    /// The writes of logins. The daemon waits for them at its shutdown.
    pub tasks: TaskTracker,
    /// The blocking work of logins, such as the search for programs.
    pub blocking: BlockingTasks,
}

/// The service of logins.
pub(crate) struct Logins {
    pub(super) resources: LoginResources,
    pub(super) sink: LoginSink,
    pub(super) spawner: Spawner,
    pub(super) programs: Programs,
    pub(super) policy: SpawnPolicy,
    /// Longest time that a login may take, in seconds.
    pub(super) longest_seconds: u64,
    pub(super) logouts: LogoutTurns,
}

impl Logins {
    /// Creates the service. `spawner` reports to `sink`.
    pub(crate) fn new(
        config: &Config,
        environment: &Environment,
        resources: LoginResources,
        sink: LoginSink,
        spawner: Spawner,
    ) -> Self {
        Self {
            programs: Programs::new(config, environment, &resources),
            policy: config.spawn_policy,
            longest_seconds: config.login_seconds,
            logouts: LogoutTurns::default(),
            resources,
            sink,
            spawner,
        }
    }

    /// The providers' CLIs on this machine.
    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }
}
