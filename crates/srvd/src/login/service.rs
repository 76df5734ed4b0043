//! The service called by the handlers, and the parts of the daemon that it uses.

use auth_spawner::{Registry, Spawner};
use identity_store::Store;
use rpc_engine::Broker;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attendance::Attendance;
use super::logout::LogoutTurns;
use super::oauth::ProviderLogins;
use super::program::Programs;
use super::renewal::Renewals;
use super::sink::LoginSink;
use crate::base::blocking::BlockingTasks;
use crate::base::environment::Environment;
use crate::base::redact::Redactor;
use crate::config::{Config, SpawnPolicy};
use crate::disk::identity_dir::IdentityDirs;
use crate::forge::oauth::callback::Page;
use crate::health::Examiner;

/// The parts of the daemon used by logins. Cheap to clone; clones share the same parts.
#[derive(Clone)]
pub(crate) struct LoginResources {
    /// The store for sessions and accounts. This handle names the daemon in the audit log.
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
    /// Checks an account again after a failed login.
    pub health: Examiner,
    /// Pending writes of logins. The daemon waits for them when it shuts down.
    pub tasks: TaskTracker,
    /// The blocking work of logins, such as searching for programs.
    pub blocking: BlockingTasks,
    /// Ends the logins that need no CLI. The spawner ends the others.
    pub stop: CancellationToken,
}

/// The login service.
pub(crate) struct Logins {
    pub(super) resources: LoginResources,
    pub(super) sink: LoginSink,
    pub(super) spawner: Spawner,
    pub(super) programs: Programs,
    pub(super) policy: SpawnPolicy,
    /// The maximum duration of a login, in seconds.
    pub(super) longest_seconds: u64,
    pub(super) logouts: LogoutTurns,
    pub(super) attendance: Attendance,
    pub(super) oauth: ProviderLogins,
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
            attendance: Attendance::default(),
            oauth: ProviderLogins::new(resources.clone()),
            resources,
            sink,
            spawner,
        }
    }

    /// Sets the address of the daemon's HTTP listener, to which browsers return.
    pub(crate) fn listens_at(&self, address: Option<std::net::SocketAddr>) {
        self.oauth.listens_at(address);
    }

    /// Handles the return of a browser from a provider, and returns the page to show.
    pub(crate) async fn callback(&self, query: &str) -> Page {
        self.oauth.callback(query).await
    }

    /// The providers' CLIs on this machine.
    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }
}
