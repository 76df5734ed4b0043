//! The receiver of the spawner's reports. It stores them and notifies subscribers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use auth_spawner::{ConfirmedLogin, Provider, SaveError, Saved, Sink, Snapshot, State};
use futures_util::future::{BoxFuture, FutureExt as _};
use identity_store::{
    Account, BundleId, DestinationBundle, PersonRule, ProviderId, SecretRef, SessionEnd, SessionEnding,
    SessionId, SessionState, SessionUpdate, Store, StoreError,
};
use tokio::task::JoinHandle;

use super::service::LoginResources;
use super::target::LoginTarget;
use crate::base::clock::now;
use crate::base::tally;
use crate::disk::identity_dir::IdentityDirs;
use crate::health::WritePolicy;
use crate::hint::Hint;
use crate::wire::bundle::{Cleanup, CleanupOutcome};
use crate::wire::error::with_causes;
use crate::wire::events;

/// A login that was started: the bundle and account in which its result is stored. It is recorded here because the
/// spawner knows nothing about bundles.
#[derive(Debug, Clone)]
pub(super) struct ExpectedLogin {
    /// The bundle, or the user and the agent.
    pub(super) target: LoginTarget,
    /// The provider, adapted to the login's host.
    pub(super) provider: Arc<Provider>,
    /// The provider's display name, used for a new bundle and a new account.
    pub(super) provider_name: String,
    /// The URL of the service for this login, if it is not the default one.
    pub(super) base_url: Option<String>,
    /// The persons whose login may replace the present one.
    pub(super) person: PersonRule,
    /// The directory for which the login is made.
    pub(super) dir: PathBuf,
    /// True if the CLI logs in elsewhere because a login already exists.
    pub(super) renews: bool,
    /// True if the directory existed before the login, without a login.
    pub(super) shared: bool,
}

/// Stores the spawner's reports and notifies subscribers. Cheap to clone; clones share one sink.
#[derive(Clone)]
pub(crate) struct LoginSink(Arc<SinkState>);

struct SinkState {
    resources: LoginResources,
    /// The running logins, by session.
    expected: Mutex<HashMap<String, ExpectedLogin>>,
    /// Writes in progress, by session. Each is awaited before the next write of its session.
    writes: Mutex<HashMap<String, JoinHandle<()>>>,
}

impl LoginSink {
    /// Creates a sink that expects no login yet.
    pub(crate) fn new(resources: LoginResources) -> Self {
        Self(Arc::new(SinkState { resources, expected: Mutex::default(), writes: Mutex::default() }))
    }

    pub(super) fn resources(&self) -> &LoginResources {
        &self.0.resources
    }

    /// Registers a session before it is started.
    pub(super) fn expect(&self, session: &SessionId, login: ExpectedLogin) {
        self.expected().insert(session.to_string(), login);
    }

    /// Returns the login of a session that has started and not ended.
    pub(super) fn expected_login(&self, session: &SessionId) -> Option<ExpectedLogin> {
        self.expected().get(session.as_str()).cloned()
    }

    /// Drops a session that was not started, together with the files created for it.
    pub(super) async fn forget(&self, session: &SessionId) {
        let login = self.expected().remove(session.as_str());
        if let Some(login) = login {
            self.discard(session, &login).await;
        }
    }

    fn expected(&self) -> MutexGuard<'_, HashMap<String, ExpectedLogin>> {
        self.0.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the sessions that log in to this directory.
    pub(super) fn sessions_into(&self, dir: &Path) -> Vec<String> {
        let expected = self.expected();
        let into = expected.iter().filter(|(_, login)| login.dir == *dir);
        into.map(|(session, _)| session.clone()).collect()
    }

    /// Returns whether a session has started and not ended.
    pub(super) fn is_live(&self, session: &SessionId) -> bool {
        self.expected().contains_key(session.as_str())
    }

    /// Adds a write for a session. The session's next write waits for it.
    pub(super) fn add_write(&self, session: &SessionId, write: JoinHandle<()>) {
        self.writes().insert(session.to_string(), write);
    }

    fn writes(&self) -> MutexGuard<'_, HashMap<String, JoinHandle<()>>> {
        self.0.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the files that a failed login leaves in its own directory.
    async fn discard(&self, session: &SessionId, login: &ExpectedLogin) {
        let LoginResources { store, identities, renewals, .. } = self.resources();
        match &login.target {
            LoginTarget::Bundle(DestinationBundle::New { id, .. }) => {
                discard_unmade(store, identities, id).await;
            }
            LoginTarget::Bundle(DestinationBundle::Existing(_)) => {}
            LoginTarget::User(_) if login.shared => {}
            LoginTarget::User(_) => discard_unowned(store, identities, &login.dir).await,
        }
        if login.renews {
            renewals.settle(store, session).await;
        }
    }

    /// Checks the account again after a failed login in an existing bundle, because the CLI may have changed the
    /// directory. If the bundle has been deleted in the meantime, the login's files are removed.
    async fn look_again(&self, provider: &str, login: &ExpectedLogin) {
        let LoginResources { store, registry, .. } = self.resources();
        let known = registry.provider(provider).and_then(|provider| provider.cli.clone());
        let (Some(cli), Ok(id)) = (known, provider.parse::<ProviderId>()) else { return };
        let Some(bundle) = login.target.bundle() else {
            return self.examined(login, &id).await;
        };
        match store.bundle(bundle).await {
            Err(StoreError::NotFound { .. }) => self.clean(&login.dir, cli.history_paths()).await,
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "the bundle of a failed login could not be read");
            }
            Ok(_) => self.examined(login, &id).await,
        }
    }

    async fn examined(&self, login: &ExpectedLogin, provider: &ProviderId) {
        if let Err(error) = self.examine(login, provider).await {
            tracing::warn!(
                error = with_causes(&error),
                "the account of a failed login could not be checked again"
            );
        }
    }

    /// Removes the files of a login whose bundle was deleted, except for the user's work.
    async fn clean(&self, dir: &Path, keep: Vec<PathBuf>) {
        let reason = match self.resources().identities.clean(dir, keep).await {
            Ok(Cleanup { outcome: CleanupOutcome::Failed(reason), .. }) => reason,
            Ok(_) => return,
            Err(error) => error.to_string(),
        };
        let path = dir.display();
        tracing::warn!(%path, reason, "the files of a login in a deleted bundle could not be removed");
    }

    /// Records the current state of the directory of the account that a login was to renew.
    async fn examine(&self, login: &ExpectedLogin, provider: &ProviderId) -> Result<(), StoreError> {
        let known: Option<Account> = login.target.account(&self.resources().store, provider, false).await?;
        match known {
            Some(account) if matches!(account.secret_ref, SecretRef::ConfigDir { .. }) => {
                self.resources().health.examine(&account.id, WritePolicy::Always).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn record(self, snapshot: Snapshot) {
        let Ok(id) = snapshot.id.parse::<SessionId>() else { return };
        if snapshot.state.is_terminal() {
            self.written(&id).await;
            let reason = snapshot.failure.as_ref().map_or("-", |failure| failure.kind.as_str());
            let state = snapshot.state.as_str();
            tracing::info!(session = %id, provider = snapshot.provider, state, reason, "a login ended");
            tally::LOGINS.add([state, snapshot.failure.as_ref().map_or("", |failure| failure.kind.as_str())]);
            let login = self.expected().remove(id.as_str());
            if snapshot.state != State::Success {
                // The row is written last. As long as the row is live, the next start cleans up after a crash.
                if let Some(login) = login {
                    self.discard(&id, &login).await;
                    if !login.target.is_new() {
                        self.look_again(&snapshot.provider, &login).await;
                    }
                }
                self.record_end(&id, &snapshot).await;
            }
        } else if snapshot.state == State::Pending && snapshot.pid.is_some() {
            self.record_process(id, &snapshot);
        }
    }

    /// Records the process of a running login, so that a daemon started after a crash can end it. The CLI's first
    /// output does not wait for this write, but the end of the login does.
    fn record_process(&self, id: SessionId, snapshot: &Snapshot) {
        let update = SessionUpdate {
            state: SessionState::Pending,
            revision: snapshot.revision,
            pid: snapshot.pid,
            process_start: snapshot.process_start.clone(),
            now: now(),
        };
        let store = self.resources().store.clone();
        let session = id.clone();
        let write = self.resources().tasks.spawn(async move {
            if let Err(error) = store.update_session(&id, update).await {
                tracing::error!(error = with_causes(&error), session = %id, "the process of a login could not be recorded");
            }
        });
        self.add_write(&session, write);
    }

    /// Waits for this login's write in progress, so that no later write overtakes it.
    pub(super) async fn written(&self, id: &SessionId) {
        let write = self.writes().remove(id.as_str());
        if let Some(write) = write
            && let Err(error) = write.await
        {
            tracing::error!(%error, session = %id, "writing a login failed unexpectedly");
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
            hint: failure.and_then(Hint::failed).map(|hint| hint.to_string()),
            exit_code: failure.and_then(|failure| failure.exit_code),
            revision: snapshot.revision,
            now: now(),
        };
        if let Err(error) = self.resources().store.finish_session(id, end).await {
            tracing::error!(error = with_causes(&error), session = %id, "the end of a login could not be recorded");
        }
    }
}

/// Removes the directory prepared for a bundle that was not created. The directory stays if the store fails or if the
/// bundle was committed late.
pub(crate) async fn discard_unmade(store: &Store, identities: &IdentityDirs, bundle: &BundleId) {
    if !matches!(store.bundle(bundle).await, Err(StoreError::NotFound { .. })) {
        return;
    }
    if let Err(error) = identities.discard(bundle).await {
        tracing::warn!(%error, "the directory of a failed login could not be removed");
    }
}

/// Removes the directory that a login of a user made, unless an account has it. The directory stays if the store fails.
pub(crate) async fn discard_unowned(store: &Store, identities: &IdentityDirs, dir: &Path) {
    if !matches!(store.directory_owner(dir).await, Ok(None)) {
        return;
    }
    let reason = match identities.clean(dir, Vec::new()).await {
        Ok(Cleanup { outcome: CleanupOutcome::Failed(reason), .. }) => reason,
        Ok(_) => return,
        Err(error) => error.to_string(),
    };
    tracing::warn!(path = %dir.display(), reason, "the directory of a failed login could not be removed");
}

impl Sink for LoginSink {
    fn moved(&self, snapshot: Snapshot) -> BoxFuture<'static, ()> {
        // The write runs in a separate task, so that it finishes even if the session stops waiting for it.
        let recorded = self.resources().tasks.spawn(self.clone().record(snapshot));
        let finished = async {
            if let Err(error) = recorded.await {
                tracing::error!(%error, "a login change was not recorded");
            }
        };
        finished.boxed()
    }

    fn shown(&self, snapshot: &Snapshot) {
        let data = serde_json::json!({ "sessionId": snapshot.id, "revision": snapshot.revision });
        self.resources().broker.publish(&events::session_changed(&snapshot.id), now(), Some(data));
    }

    fn gone(&self, session: &str) {
        let Ok(session) = session.parse::<SessionId>() else { return };
        let sink = self.clone();
        self.resources().tasks.spawn(async move {
            let LoginResources { store, renewals, .. } = sink.resources();
            if renewals.has(&session).await {
                renewals.settle(store, &session).await;
            }
        });
    }

    fn save(&self, login: ConfirmedLogin) -> BoxFuture<'static, Result<Saved, SaveError>> {
        self.clone().commit(login).boxed()
    }
}

#[cfg(test)]
mod tests {
    use auth_spawner::Registry;
    use identity_store::{Change, DatabaseUrl, Key, Keyring, NewBundle, StoreOptions};
    use rpc_engine::{Broker, BrokerConfig};
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::base::blocking::BlockingTasks;
    use crate::base::redact::Redactor;
    use crate::health::{Examiner, HealthReports};
    use crate::login::renewal::Renewals;

    async fn resources(root: &tempfile::TempDir) -> LoginResources {
        let url = DatabaseUrl::sqlite(root.path().join("s.db"));
        let options = StoreOptions::new(url, Arc::new(|_: &[Change]| {}), 1);
        let keyring = Keyring::from_key(Key::parse(b"test-key-0123456789abcdef-0123456789").unwrap());
        let store = Store::open(options, keyring).await.unwrap();
        let (registry, blocking) = (Registry::builtin().unwrap(), BlockingTasks::default());
        let (below, home) = (root.path().join("identities"), root.path().join("home"));
        let identities = IdentityDirs::new(below.clone(), home, registry.clone(), blocking.clone());
        LoginResources {
            health: Examiner::new(
                store.clone(),
                registry.clone(),
                identities.clone(),
                HealthReports::default(),
            ),
            store,
            broker: Broker::new(BrokerConfig { epoch: "e".to_owned(), keep: 8, methods: events::METHODS }),
            registry,
            identities,
            renewals: Renewals::new(&below, blocking.clone()),
            redactor: Redactor::default(),
            tasks: TaskTracker::new(),
            blocking,
            stop: tokio_util::sync::CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn sink_tracks_the_file_removal_of_an_ended_session() {
        let root = tempfile::tempdir().unwrap();
        let resources = resources(&root).await;
        let LoginResources { renewals, tasks, store, .. } = &resources;
        let session = SessionId::generate();
        renewals.make(&session).await.unwrap();
        assert!(renewals.has(&session).await);
        // The test's only thread runs no other task until it waits for the tracker.
        LoginSink::new(resources.clone()).gone(session.as_str());
        tasks.close();
        tasks.wait().await;
        assert_eq!(renewals.left().await.unwrap(), []);
        store.close().await;
    }

    #[tokio::test]
    async fn directory_is_removed_only_when_its_bundle_was_not_created() {
        let root = tempfile::tempdir().unwrap();
        let LoginResources { store, identities, registry, .. } = resources(&root).await;
        let (made, unmade) = (BundleId::generate(), BundleId::generate());
        let new = NewBundle { id: made.clone(), name: "made".to_owned(), description: String::new() };
        store.create_bundle(new, 1).await.unwrap();
        for bundle in [&made, &unmade] {
            identities.make(bundle, registry.provider("codex").unwrap()).await.unwrap();
            discard_unmade(&store, &identities, bundle).await;
        }
        assert!(identities.bundle(&made).exists() && !identities.bundle(&unmade).exists());
        store.close().await;
    }
}
