//! The state that every handler receives.
//!
//! The actor in the audit log is the listener that a call came through, `unix:<uid>` or `tcp`. The engine carries this
//! name and does not interpret it. A sign-in acts as `operator:<forge>/<login>`, and the daemon itself as `srvd`.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use auth_spawner::{Provider, Registry, Spawner};
use identity_store::{AuditEntry, Store};
use rpc_engine::{Broker, Call};

use crate::accounts::accounts::StatusChecker;
use crate::accounts::profiles::ProfileKeeper;
use crate::accounts::removal::Remover;
use crate::agents::declared::Declared;
use crate::agents::ephemeral::Ephemeral;
use crate::audit::Auditor;
use crate::base::clock::now;
use crate::base::redact::Redactor;
use crate::config::Config;
use crate::disk::identity_dir::Identities;
use crate::forge::oauth::Flows;
use crate::forge::operator::Operators;
use crate::health::Examiner;
use crate::keys::external::ExternalKeys;
use crate::launch::Launcher;
use crate::login::Logins;
use crate::refresh::Refresher;
use crate::wire::error::ApiError;
use crate::wire::ids;

/// The parts of the daemon. A clone is a handle to the same ones.
#[derive(Clone)]
pub struct App {
    parts: Arc<Parts>,
    /// The identities, through a handle that names the caller in the audit log.
    pub store: Store,
    /// The caller's name in the audit log.
    pub actor: Arc<str>,
}

/// The shared parts of the daemon.
pub struct Parts {
    /// The configuration in force.
    pub config: Config,
    /// The identities.
    pub store: Store,
    /// Writes rows of the audit log.
    pub auditor: Auditor,
    /// The registry of providers.
    pub registry: Registry,
    /// The launch engine.
    pub launcher: Launcher,
    /// The processes of the running logins.
    pub spawner: Spawner,
    /// The service of logins.
    pub logins: Logins,
    /// The broker that delivers events to subscribers.
    pub broker: Broker,
    /// Examines the state of accounts.
    pub health: Examiner,
    /// The credentials that files declare for agents.
    pub declared: Declared,
    /// The credentials that clients lend to agents.
    pub ephemeral: Ephemeral,
    /// The operator's sign-ins at forges.
    pub flows: Flows,
    /// Keeps the tokens of the operator's sign-ins.
    pub operators: Operators,
    /// The directories of the identities.
    pub identities: Identities,
    /// Ends the logins of deleted accounts and removes their directories.
    pub remover: Remover,
    /// Checks the credentials of accounts on request.
    pub status_checker: StatusChecker,
    /// Keeps the credentials that users supply for agents.
    pub profiles: ProfileKeeper,
    /// The operator's keys that are kept outside the store.
    pub external_keys: ExternalKeys,
    /// Refreshes tokens.
    pub refresher: Refresher,
    /// The secrets that are removed from the log.
    pub redactor: Redactor,
    /// The number of open WebSocket connections.
    pub connections: Arc<AtomicUsize>,
    /// The time at which this run began.
    pub started: Instant,
}

impl App {
    /// Builds the state from its parts.
    pub fn new(parts: Parts) -> Self {
        Self { store: parts.store.clone(), parts: Arc::new(parts), actor: "srvd".into() }
    }

    /// Returns the handle for one call. The audit log attributes its writes to the caller.
    #[must_use]
    pub fn for_call(&self, call: &Call) -> Self {
        let actor = call.caller.clone();
        Self { store: self.store.acting_as(Arc::clone(&actor)), parts: Arc::clone(&self.parts), actor }
    }

    /// Queues a row of the audit log for an action of the caller that changed nothing.
    pub fn note(&self, action: &str, subject: String, outcome: &str, detail: Option<String>) {
        self.auditor.note(AuditEntry {
            at: now(),
            actor: self.actor.to_string(),
            action: action.to_owned(),
            subject,
            outcome: outcome.to_owned(),
            detail,
        });
    }

    /// Returns the provider with this id or alias.
    ///
    /// # Errors
    /// `unknown_provider` with the known ids.
    pub fn provider(&self, id: &str) -> Result<&Arc<Provider>, ApiError> {
        ids::provider(&self.registry, id)
    }
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}
