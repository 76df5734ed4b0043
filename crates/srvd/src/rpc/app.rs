//! The state that every handler receives.
//!
//! The actor in the audit log is the listener through which a call arrived, `unix:<uid>` or `tcp`. The engine passes
//! this name on without interpreting it. A sign-in acts as `operator:<forge>/<login>`, and the daemon itself as `srvd`.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use auth_spawner::{Provider, Registry};
use identity_store::{AuditEntry, Store};
use rpc_engine::{Broker, Call};

use crate::accounts::accounts::StatusChecker;
use crate::accounts::profiles::ProfileService;
use crate::accounts::removal::Remover;
use crate::adapter::Adapters;
use crate::agents::declared::Declared;
use crate::agents::ephemeral::Ephemeral;
use crate::audit::Auditor;
use crate::base::clock::now;
use crate::base::on_demand::OnDemand;
use crate::base::redact::Redactor;
use crate::console::Consoles;
use crate::forge::oauth::Flows;
use crate::forge::operator::Operators;
use crate::keeper::Keeper;
use crate::keys::external::ExternalKeys;
use crate::launch::Launcher;
use crate::login::Logins;
use crate::pairing::Clients;
use crate::refresh::Refresher;
use crate::share::Sharing;
use crate::wire::doctor::Findings;
use crate::wire::error::ApiError;
use crate::wire::ids;

/// The state of the daemon. Cheap to clone; clones share the same state.
#[derive(Clone)]
pub(crate) struct App {
    state: Arc<AppState>,
    /// The store, through a handle that names the caller in the audit log.
    pub store: Store,
    /// The caller's name in the audit log.
    pub actor: Arc<str>,
}

/// The state shared by all calls.
pub(crate) struct AppState {
    /// The store.
    pub store: Store,
    /// Writes rows of the audit log.
    pub auditor: Auditor,
    /// The paired clients and their tokens.
    pub clients: Clients,
    /// The browser sessions of the console.
    pub consoles: Consoles,
    /// The checkup.
    pub checkup: OnDemand<Findings>,
    /// The registry of providers.
    pub registry: Registry,
    /// The launch engine.
    pub launcher: Launcher,
    /// The person's own setup in the homes of bundles.
    pub sharing: Sharing,
    /// The login service.
    pub logins: Arc<Logins>,
    /// The broker that delivers events to subscribers.
    pub broker: Broker,
    /// The credentials declared for agents in files.
    pub declared: Declared,
    /// The credentials that clients have lent to agents.
    pub ephemeral: Ephemeral,
    /// The operator's sign-ins at forges.
    pub flows: Flows,
    /// Stores the tokens of the operator's sign-ins.
    pub operators: Operators,
    /// The active forge's API.
    pub adapters: Adapters,
    /// Ends the logins of deleted accounts and removes their directories.
    pub remover: Remover,
    /// Checks the credentials of accounts on request.
    pub status_checker: StatusChecker,
    /// Stores the credentials that users supply for agents.
    pub profiles: ProfileService,
    /// The operator's keys that are stored elsewhere.
    pub external_keys: ExternalKeys,
    /// Refreshes tokens.
    pub refresher: Refresher,
    /// Keeps CLI logins alive.
    pub keeper: Keeper,
    /// The secrets to remove from the log.
    pub redactor: Redactor,
    /// The number of open WebSocket connections.
    pub connections: Arc<AtomicUsize>,
    /// The start time of this run.
    pub started: Instant,
}

impl App {
    /// Creates the handle for the daemon itself.
    pub(crate) fn new(state: AppState) -> Self {
        Self { store: state.store.clone(), state: Arc::new(state), actor: "srvd".into() }
    }

    /// Returns the handle for one call. The audit log attributes its writes to the caller.
    #[must_use]
    pub(crate) fn for_call(&self, call: &Call) -> Self {
        let actor = call.caller.clone();
        Self { store: self.store.acting_as(Arc::clone(&actor)), state: Arc::clone(&self.state), actor }
    }

    /// Queues an audit log row for an action by the caller that changed nothing.
    pub(crate) fn note(&self, action: &str, subject: String, outcome: &str, detail: Option<String>) {
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
    pub(crate) fn provider(&self, id: &str) -> Result<&Arc<Provider>, ApiError> {
        ids::provider(&self.registry, id)
    }
}

impl std::ops::Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.state
    }
}
