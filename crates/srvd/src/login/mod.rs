//! The storing of finished logins, in one transaction each. This is the spawner's [`Sink`].

pub(crate) mod host;
pub mod policy;
pub mod renewal;
mod save;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use auth_spawner::{ConfirmedLogin, Provider, Registry, SaveError, Saved, Sink, Snapshot, State};
use futures_util::future::{BoxFuture, FutureExt as _};
use identity_store::{
    BundleId, LoginSession, ProviderId, SecretRef, SessionEnd, SessionEnding, SessionId, SessionState,
    SessionUpdate, Store, StoreError,
};
use rpc_engine::Broker;
use tokio::task::JoinHandle;

use crate::base::clock::now;
use crate::base::redact::Redactor;
use crate::disk::identity_dir::Identities;
use crate::health::{Examiner, Write};
use crate::login::renewal::Renewals;
use crate::wire::auth::{Session, SessionStatus};
use crate::wire::error::with_causes;
use crate::wire::events;

/// The bundle and account that a running login is for. They are kept here because the spawner does not know bundles.
#[derive(Debug, Clone)]
pub struct Target {
    /// The bundle. It exists already, or will be created with this id.
    pub bundle: BundleId,
    /// True if success creates the bundle.
    pub is_new: bool,
    /// The name of a new bundle.
    pub name: Option<String>,
    /// The provider, adapted to the host that the login is for.
    pub provider: Arc<Provider>,
    /// The provider's display name, which a new bundle and a new account receive.
    pub provider_name: String,
    /// The address of the service that the login is for, when it is not the usual one.
    pub base_url: Option<String>,
    /// True if the login may replace that of another person.
    pub force: bool,
    /// The directory that the login is for.
    pub dir: PathBuf,
    /// True if the CLI logs in elsewhere because a login exists already.
    pub renews: bool,
}

/// Stores the spawner's reports and notifies the subscribers. A clone is a handle to the same one.
#[derive(Clone)]
pub struct Logins(Arc<Parts>);

/// The parts that the sink uses.
pub struct Tools {
    /// The store of the logins.
    pub store: Store,
    /// The broker that announces sessions.
    pub broker: Broker,
    /// The registry of providers.
    pub registry: Registry,
    /// The directories of the bundles.
    pub identities: Identities,
    /// The logins that renew an existing one.
    pub renewals: Renewals,
    /// Keeps credentials out of the log.
    pub redactor: Redactor,
    /// Examines the account again after a failed login.
    pub health: Examiner,
}

struct Parts {
    tools: Tools,
    targets: Mutex<HashMap<String, Target>>,
    /// Writes under way, by session. Each is awaited before the next write of its session.
    recording: Mutex<HashMap<String, JoinHandle<()>>>,
}

impl Logins {
    /// Creates a sink from its parts.
    pub fn new(tools: Tools) -> Self {
        Self(Arc::new(Parts { tools, targets: Mutex::default(), recording: Mutex::default() }))
    }

    /// Records the target of a session before the session is started.
    pub fn expect(&self, session: &SessionId, target: Target) {
        self.targets().insert(session.to_string(), target);
    }

    /// Drops the target of a session that was not started.
    pub async fn forget(&self, session: &SessionId) {
        let target = self.targets().remove(session.as_str());
        if let Some(target) = target {
            self.discard(session, &target).await;
        }
    }

    fn targets(&self) -> std::sync::MutexGuard<'_, HashMap<String, Target>> {
        self.0.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a session has been started and has not ended.
    pub fn is_live(&self, session: &SessionId) -> bool {
        self.targets().contains_key(session.as_str())
    }

    /// Removes the files that a failed login leaves in its own directory.
    async fn discard(&self, session: &SessionId, target: &Target) {
        let tools = &self.0.tools;
        if target.is_new {
            discard_unmade(&tools.store, &tools.identities, &target.bundle).await;
        }
        if target.renews {
            renewal::settle(&tools.store, &tools.renewals, session).await;
        }
    }

    /// Examines the account again after a failed login in an existing bundle, because the CLI may have changed the
    /// directory. When the bundle was deleted in the meantime, the login's files are removed.
    async fn look_again(&self, provider: &str, target: &Target) {
        let known = self.0.tools.registry.provider(provider).and_then(|provider| provider.cli.clone());
        let (Some(cli), Ok(id)) = (known, provider.parse::<ProviderId>()) else { return };
        match self.0.tools.store.bundle(&target.bundle).await {
            Err(StoreError::NotFound { .. }) => {
                self.0.tools.identities.clean(&target.dir, &cli.history_paths());
            }
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "the bundle of a failed login could not be read");
            }
            Ok(_) => {
                let examined = self.examine(&target.bundle, &id).await;
                if let Err(error) = examined {
                    tracing::warn!(
                        error = with_causes(&error),
                        "the account of a failed login could not be looked at again"
                    );
                }
            }
        }
    }

    /// Records the current state of a bound login's directory.
    async fn examine(&self, bundle: &BundleId, provider: &ProviderId) -> Result<(), StoreError> {
        match self.0.tools.store.bound_account(bundle, provider).await? {
            Some(account) if matches!(account.secret_ref, SecretRef::ConfigDir { .. }) => {
                self.0.tools.health.examine(&account.id, Write::Always).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn moved(self, snapshot: Snapshot) {
        let Ok(id) = snapshot.id.parse::<SessionId>() else { return };
        if snapshot.state.is_terminal() {
            self.recorded(&id).await;
            let reason = snapshot.failure.as_ref().map_or("-", |failure| failure.kind.as_str());
            let state = snapshot.state.as_str();
            tracing::info!(session = %id, provider = snapshot.provider, state, reason, "a login ended");
            let target = self.targets().remove(id.as_str());
            if snapshot.state != State::Success {
                // The row is written last. While the row is live, the next start cleans up after a crash.
                if let Some(target) = target {
                    self.discard(&id, &target).await;
                    if !target.is_new {
                        self.look_again(&snapshot.provider, &target).await;
                    }
                }
                self.record_end(&id, &snapshot).await;
            }
        } else if snapshot.state == State::Pending && snapshot.pid.is_some() {
            self.record_process(id, &snapshot);
        }
    }

    /// Records the process of a running login, so that a daemon that starts after a crash can end it. The CLI's first
    /// output does not wait for this write; the end of the login does.
    fn record_process(&self, id: SessionId, snapshot: &Snapshot) {
        let update = SessionUpdate {
            state: SessionState::Pending,
            revision: snapshot.revision,
            pid: snapshot.pid,
            process_start: snapshot.process_start.clone(),
            now: now(),
        };
        let store = self.0.tools.store.clone();
        let name = id.to_string();
        let task = tokio::spawn(async move {
            if let Err(error) = store.update_session(&id, update).await {
                tracing::error!(error = with_causes(&error), session = %id, "the process of a login could not be recorded");
            }
        });
        self.0.recording.lock().unwrap_or_else(PoisonError::into_inner).insert(name, task);
    }

    /// Waits until the process of this login has been recorded, so that no later write overtakes this one.
    async fn recorded(&self, id: &SessionId) {
        let task = self.0.recording.lock().unwrap_or_else(PoisonError::into_inner).remove(id.as_str());
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, session = %id, "the process of a login was not recorded");
        }
    }

    async fn record_end(&self, id: &SessionId, snapshot: &Snapshot) {
        let failure = snapshot.failure.as_ref();
        let end = SessionEnd {
            state: match snapshot.state {
                State::Cancelled => SessionEnding::Cancelled,
                State::Expired => SessionEnding::Expired,
                _ => SessionEnding::Failed,
            },
            error: failure.map(|failure| failure.message.clone()),
            error_kind: failure.map(|failure| failure.kind.as_str().to_owned()),
            hint: failure.and_then(|failure| failure.hint.clone()),
            exit_code: failure.and_then(|failure| failure.exit_code),
            revision: snapshot.revision,
            now: now(),
        };
        if let Err(error) = self.0.tools.store.finish_session(id, end).await {
            tracing::error!(error = with_causes(&error), session = %id, "the end of a login could not be recorded");
        }
    }
}

/// Removes the directory that was made for a bundle, when the bundle was not created. The directory stays when the
/// store fails, or when the bundle was committed late.
pub async fn discard_unmade(store: &Store, identities: &Identities, bundle: &BundleId) {
    if matches!(store.bundle(bundle).await, Err(StoreError::NotFound { .. }))
        && let Err(error) = identities.discard(bundle)
    {
        tracing::warn!(%error, "the directory of a login that failed could not be removed");
    }
}

impl Sink for Logins {
    fn moved(&self, snapshot: Snapshot) -> BoxFuture<'static, ()> {
        // The write runs on its own task, so that it finishes even when the session stops waiting for it.
        let recorded = tokio::spawn(self.clone().moved(snapshot));
        let finished = async {
            if let Err(error) = recorded.await {
                tracing::error!(%error, "a login's move was not recorded");
            }
        };
        finished.boxed()
    }

    fn shown(&self, snapshot: &Snapshot) {
        let data = serde_json::json!({ "sessionId": snapshot.id, "revision": snapshot.revision });
        self.0.tools.broker.publish(&events::session_changed(&snapshot.id), now(), Some(data));
    }

    fn gone(&self, session: &str) {
        let Ok(session) = session.parse::<SessionId>() else { return };
        let logins = self.clone();
        if self.0.tools.renewals.has(&session) {
            tokio::spawn(async move {
                let tools = &logins.0.tools;
                renewal::settle(&tools.store, &tools.renewals, &session).await;
            });
        }
    }

    fn save(&self, login: ConfirmedLogin) -> BoxFuture<'static, Result<Saved, SaveError>> {
        self.clone().save(login).boxed()
    }
}

/// Converts the row of a session that is no longer in memory to its form on the wire.
pub fn from_row(row: LoginSession) -> Session {
    let status = match row.state {
        SessionState::Success => SessionStatus::Success,
        state if state.is_terminal() => SessionStatus::Failed,
        _ => SessionStatus::Pending,
    };
    let success = status == SessionStatus::Success;
    Session {
        session_id: row.id.to_string(),
        provider_id: row.provider.to_string(),
        revision: row.revision,
        status,
        phase: None,
        started_at: row.started_at,
        expires_at: row.expires_at,
        ended_at: row.ended_at,
        auth_url: None,
        openable: None,
        device_code: None,
        verification_url: None,
        prompt: None,
        paste_shapes: None,
        bundle_id: row.bundle.filter(|_| success).map(|id| id.to_string()),
        account_id: row.account.filter(|_| success).map(|id| id.to_string()),
        email: success.then_some(row.email),
        error: row.error,
        error_kind: row.error_kind,
        hint: row.hint,
        exit_code: row.exit_code,
    }
}
