//! A database, an endpoint, refreshers and a controllable clock for the tests.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth_spawner::{Overlay, Registry};
use identity_store::{
    AccountId, Authority, Change, CommitProfile, Consumer, DatabaseUrl, Endpoint as Place, Identity, Jitter,
    Key, Keyring, ProfileId, ProfileScope, ReceivedTokens, RefreshWhy, Store, StoreOptions, StoredTokens,
    UnsavedLogin,
};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::endpoint::{Endpoint, entry};
use crate::base::redact::Redactor;
use crate::forge::oauth::Forges;
use crate::refresh::{Grant, Outcome, RefreshSignal, Refresher, RefresherConfig, watch_over};

/// The maximum duration of a step before the test fails.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// The encryption key of the databases.
pub(super) const KEY: &str = "test-key-0123456789abcdef-0123456789";

pub(super) const T: i64 = 1_800_000_000_000;
pub(super) const MINUTE: i64 = 60_000;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const USE: RefreshWhy = RefreshWhy::Use { min_ttl: 0 };

/// The clock of every test in this module. Only one test runs at a time, and it sets the clock first.
pub(super) static CLOCK: AtomicI64 = AtomicI64::new(T);
/// A lock held by the running test.
pub(super) static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

pub(super) fn clock() -> i64 {
    CLOCK.load(Ordering::SeqCst)
}

/// A daemon's refresher and store, without the rest of the daemon.
pub(super) struct TestDaemon {
    pub(super) store: Store,
    pub(super) refresher: Refresher,
    pub(super) signal: RefreshSignal,
    pub(super) stop: CancellationToken,
    pub(super) changes: Arc<Mutex<Vec<Change>>>,
    /// The number of commits.
    pub(super) commits: watch::Receiver<u64>,
}

/// A directory and an endpoint, used by several daemons one after another or concurrently.
pub(super) struct World {
    pub(super) root: tempfile::TempDir,
    pub(super) endpoint: Endpoint,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl World {
    pub(super) async fn new() -> Self {
        let turn = TURN.lock().await;
        CLOCK.store(T, Ordering::SeqCst);
        let root = tempfile::tempdir().unwrap();
        Self { root, endpoint: Endpoint::start(3600).await, _turn: turn }
    }

    pub(super) async fn daemon(&self) -> TestDaemon {
        let (signal, changes) = (RefreshSignal::default(), Arc::new(Mutex::new(Vec::new())));
        let (woken, heard) = (signal.clone(), changes.clone());
        let (count, commits) = watch::channel(0);
        let announce = Arc::new(move |changes: &[Change]| {
            heard.lock().unwrap().extend(changes.iter().cloned());
            woken.notify();
            count.send_modify(|count| *count += 1);
        });
        let url = DatabaseUrl::sqlite(self.root.path().join("s.db"));
        let keyring = Keyring::from_key(Key::parse(KEY.as_bytes()).unwrap());
        let store = Store::open(StoreOptions::new(url, announce, clock()), keyring).await.unwrap();
        let text = entry("lent", &self.endpoint.url, "form");
        let overlay = Overlay { source: "test".to_owned(), text };
        let stop = CancellationToken::new();
        let refresher = Refresher::new(RefresherConfig {
            store: store.clone(),
            forges: Forges::default(),
            registry: Registry::with_overlays(&[overlay]).unwrap(),
            redactor: Redactor::default(),
            holder: uuid::Uuid::new_v4().to_string(),
            clock,
            signal: signal.clone(),
            stop: stop.clone(),
        });
        TestDaemon { store, refresher, signal, stop, changes, commits }
    }
}

impl TestDaemon {
    /// Stores a user's tokens, which expire in one hour.
    pub(super) async fn login(
        &self,
        user: &str,
        refresh: Option<String>,
        id: Option<String>,
    ) -> (Grant, ProfileId) {
        let authority = Authority { provider: "lent".parse().unwrap(), base_url: None, client_id: None };
        let endpoint = Place { auth_method: "none".to_owned(), ..Place::default() };
        let received = ReceivedTokens {
            refresh: refresh.map(Into::into),
            id: id.map(Into::into),
            expires_in: Some(3600),
            ..ReceivedTokens::access_only("planted-access-first".into(), clock())
        };
        let flow = format!("flow-{user}").parse().unwrap();
        let login = UnsavedLogin::new(authority.clone(), endpoint, flow, received, Consumer::Access).unwrap();
        let subject = Some(format!("person-{user}"));
        let commit = CommitProfile {
            scope: ProfileScope { user: user.parse().unwrap(), agent: "a".parse().unwrap(), model: None },
            identity: Identity { subject, ..Identity::default() },
            label: None,
            make_primary: true,
            session: None,
            jitter: Jitter::NONE,
            now: clock(),
        };
        let (profile, _) = self.store.commit_profile(login, commit).await.unwrap();
        (Grant { account: profile.account, authority }, profile.id)
    }

    pub(super) async fn refresh(&self, grant: &Grant, why: RefreshWhy) -> Outcome {
        self.refresher.refresh(grant, why, PATIENCE).await
    }

    pub(super) async fn tokens(&self, account: &AccountId) -> StoredTokens {
        self.store.tokens(account, clock()).await.unwrap()
    }

    pub(super) async fn texts(&self, account: &AccountId) -> (String, Option<String>) {
        let tokens = self.tokens(account).await.tokens;
        let text = |token: identity_store::Token| token.secret.expose_secret().to_owned();
        (text(tokens.access), tokens.refresh.map(text))
    }

    pub(super) fn heard(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap())
    }

    /// Runs the queue alongside `work`, then stops it.
    pub(super) async fn watched<T>(&self, work: impl Future<Output = T>) -> T {
        let queue = tokio::spawn(watch_over(self.refresher.clone(), self.stop.clone(), PATIENCE));
        let done = work.await;
        self.stop.cancel();
        queue.await.unwrap();
        done
    }

    /// Waits until a row satisfies the condition. Reads it again after each announced commit.
    pub(super) async fn until(&self, account: &AccountId, wanted: impl Fn(&StoredTokens) -> bool) {
        let mut commits = self.commits.clone();
        let wait = async {
            loop {
                commits.mark_unchanged();
                if wanted(&self.tokens(account).await) {
                    return;
                }
                commits.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the row did not change");
    }
}

pub(super) fn at(time: i64) {
    CLOCK.store(time, Ordering::SeqCst);
}
