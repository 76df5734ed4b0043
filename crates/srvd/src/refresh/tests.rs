//! The refresher with a real database and a real endpoint, and a clock that the tests control.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth_spawner::{Overlay, Registry};
use identity_store::{
    AccountId, Authority, Change, CommitProfile, Consumer, DatabaseUrl, Endpoint as Place, Identity, Jitter,
    Key, Keyring, ProfileId, ProfileScope, ReceivedTokens, RefreshReason, RefreshState, RefreshWhy, Store,
    StoreOptions, StoredTokens, UnsavedLogin,
};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Grant, Outcome, RefreshSignal, Refresher, RefresherConfig, watch_over};
use crate::base::redact::Redactor;
use crate::forge::oauth::Forges;
use endpoint::{Endpoint, Mode, entry, id_token};

#[path = "../../tests/it/refresh/endpoint.rs"]
#[allow(dead_code, reason = "the tests of the daemon use the rest")]
mod endpoint;

/// Longest time that a step may take before a test fails.
const PATIENCE: Duration = Duration::from_mins(1);
/// The key of the databases.
const KEY: &str = "test-key-0123456789abcdef-0123456789";

const T: i64 = 1_800_000_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const USE: RefreshWhy = RefreshWhy::Use { min_ttl: 0 };

/// The clock of every test in this module. One test runs at a time and sets the clock first.
static CLOCK: AtomicI64 = AtomicI64::new(T);
/// Lock that is held by the running test.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn clock() -> i64 {
    CLOCK.load(Ordering::SeqCst)
}

/// The refresher and the store of a daemon, without the rest of the daemon.
struct Desk {
    store: Store,
    refresher: Refresher,
    signal: RefreshSignal,
    stop: CancellationToken,
    changes: Arc<Mutex<Vec<Change>>>,
    /// Number of commits.
    commits: watch::Receiver<u64>,
}

/// A directory and an endpoint, which several desks use one after the other or together.
struct Room {
    root: tempfile::TempDir,
    endpoint: Endpoint,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Room {
    async fn new() -> Self {
        let turn = TURN.lock().await;
        CLOCK.store(T, Ordering::SeqCst);
        let root = tempfile::tempdir().unwrap();
        Self { root, endpoint: Endpoint::start(3600).await, _turn: turn }
    }

    async fn desk(&self) -> Desk {
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
        Desk { store, refresher, signal, stop, changes, commits }
    }
}

impl Desk {
    /// Stores a user's tokens that live one hour from now.
    async fn login(&self, user: &str, refresh: Option<String>, id: Option<String>) -> (Grant, ProfileId) {
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
            jitter: Jitter::NONE,
            now: clock(),
        };
        let (profile, _) = self.store.commit_profile(login, commit).await.unwrap();
        (Grant { account: profile.account, authority }, profile.id)
    }

    async fn refresh(&self, grant: &Grant, why: RefreshWhy) -> Outcome {
        self.refresher.refresh(grant, why, PATIENCE).await
    }

    async fn tokens(&self, account: &AccountId) -> StoredTokens {
        self.store.tokens(account, clock()).await.unwrap()
    }

    async fn texts(&self, account: &AccountId) -> (String, Option<String>) {
        let tokens = self.tokens(account).await.tokens;
        let text = |token: identity_store::Token| token.secret.expose_secret().to_owned();
        (text(tokens.access), tokens.refresh.map(text))
    }

    fn heard(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap())
    }

    /// Runs the queue beside `work`, and stops it.
    async fn watched<T>(&self, work: impl Future<Output = T>) -> T {
        let queue = tokio::spawn(watch_over(self.refresher.clone(), self.stop.clone(), PATIENCE));
        let done = work.await;
        self.stop.cancel();
        queue.await.unwrap();
        done
    }

    /// Waits until a row satisfies the condition. Reads it again after each announced commit.
    async fn until(&self, account: &AccountId, wanted: impl Fn(&StoredTokens) -> bool) {
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
        tokio::time::timeout(PATIENCE, wait).await.expect("the row changes");
    }
}

fn at(time: i64) {
    CLOCK.store(time, Ordering::SeqCst);
}

#[tokio::test]
async fn refresh_asks_endpoint_only_when_needed() {
    let room = Room::new().await;
    let desk = room.desk().await;
    let first = room.endpoint.login();
    let (grant, _) = desk.login("u", Some(first.clone()), None).await;
    assert_eq!(desk.refresh(&grant, USE).await, Outcome::Unneeded);
    assert_eq!(desk.refresh(&grant, RefreshWhy::Due).await, Outcome::Unneeded);
    assert_eq!(room.endpoint.seen().sent, Vec::<String>::new());

    room.endpoint.set(Mode::Keep);
    assert_eq!(desk.refresh(&grant, RefreshWhy::Forced { generation: 1 }).await, Outcome::Renewed);
    let expect = (format!("planted-access-of-{first}"), Some(first.clone()));
    assert_eq!(desk.texts(&grant.account).await, expect);
    // The store already has a newer generation than the refused one.
    assert_eq!(desk.refresh(&grant, RefreshWhy::Forced { generation: 1 }).await, Outcome::Unneeded);

    room.endpoint.set(Mode::Grant);
    at(T + HOUR);
    assert_eq!(desk.refresh(&grant, USE).await, Outcome::Renewed);
    assert_eq!(room.endpoint.seen().sent, [first.clone(), first]);
    let (_, second) = desk.texts(&grant.account).await;
    assert_eq!(second, room.endpoint.live().into_iter().next());

    let (none, _) = desk.login("v", None, None).await;
    at(T + 3 * HOUR);
    assert_eq!(desk.refresh(&none, USE).await, Outcome::Stuck(RefreshReason::NoRefreshToken));
    let elsewhere = Authority { provider: "anthropic".parse().unwrap(), ..grant.authority.clone() };
    let nowhere = Grant { authority: elsewhere, ..grant };
    assert_eq!(desk.refresh(&nowhere, USE).await, Outcome::Unsupported);
    assert_eq!(room.endpoint.seen().sent.len(), 2);
}

/// All callers share one refresh, whatever its result.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_refreshes_share_one_request() {
    let room = Room::new().await;
    let desk = room.desk().await;
    let (grant, _) = desk.login("u", Some(room.endpoint.login()), None).await;
    at(T + HOUR);
    let before = desk.texts(&grant.account).await;
    let together = async |mode: Mode, times: usize| {
        room.endpoint.set(Mode::Hold);
        let calls = futures_util::future::join_all((0..5).map(|_| desk.refresh(&grant, USE)));
        let release = async {
            room.endpoint.asked(times).await;
            room.endpoint.set(mode);
        };
        tokio::join!(calls, release).0
    };
    let trouble = Mode::Say(500, "text/plain", String::new(), None);
    let outcomes = together(trouble, 1).await;
    let stored = desk.tokens(&grant.account).await;
    let later = Outcome::Later { reason: Some(RefreshReason::Server), at: stored.next_attempt_at.unwrap() };
    assert_eq!(outcomes, vec![later; 5]);
    assert_eq!(desk.texts(&grant.account).await, before);

    at(stored.next_attempt_at.unwrap());
    assert_eq!(together(Mode::Grant, 2).await, vec![Outcome::Renewed; 5]);
    assert_eq!(room.endpoint.seen().sent, [before.1.clone().unwrap(), before.1.unwrap()]);
}

/// A caller that leaves does not stop the refresh.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_continues_when_caller_leaves() {
    let room = Room::new().await;
    let desk = room.desk().await;
    let (grant, _) = desk.login("u", Some(room.endpoint.login()), None).await;
    at(T + HOUR);
    room.endpoint.set(Mode::Hold);
    let impatient = desk.refresher.refresh(&grant, USE, Duration::ZERO);
    assert_eq!(impatient.await, Outcome::TooLong);
    room.endpoint.asked(1).await;
    room.endpoint.set(Mode::Grant);
    desk.until(&grant.account, |stored| stored.generation == 2).await;
    assert_eq!(room.endpoint.seen().sent.len(), 1);
}

/// R11: a daemon waits for another daemon's refresh and uses its tokens.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_uses_tokens_that_another_daemon_obtained() {
    let room = Room::new().await;
    let (one, other) = (room.desk().await, room.desk().await);
    let (grant, _) = one.login("u", Some(room.endpoint.login()), None).await;
    at(T + HOUR);
    room.endpoint.set(Mode::Hold);
    let first = one.refresh(&grant, USE);
    let second = async {
        room.endpoint.asked(1).await;
        let busy = other.refresher.refresh(&grant, USE, Duration::from_millis(1)).await;
        assert!(matches!(busy, Outcome::Busy { .. } | Outcome::TooLong), "{busy:?}");
        let (outcome, ()) = tokio::join!(other.refresh(&grant, USE), async {
            room.endpoint.set(Mode::Grant);
        });
        outcome
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first, Outcome::Renewed);
    assert!(matches!(second, Outcome::Unneeded | Outcome::Renewed), "{second:?}");
    assert_eq!(room.endpoint.seen().sent.len(), 1);
}

/// The events of a failure and of the recovery.
#[tokio::test(flavor = "multi_thread")]
async fn queue_refreshes_again_when_endpoint_recovers() {
    let room = Room::new().await;
    let desk = room.desk().await;
    let (grant, _) = desk.login("u", Some(room.endpoint.login()), None).await;
    let news = [Change::Profiles("u".parse().unwrap()), Change::Account(grant.account.clone())];
    desk.heard();
    room.endpoint.set(Mode::Say(500, "text/plain", String::new(), None));
    at(T + 56 * MINUTE);
    desk.watched(async {
        desk.until(&grant.account, |stored| stored.failures == 1).await;
        assert_eq!(desk.heard(), news);
        let stored = desk.tokens(&grant.account).await;
        assert_eq!((stored.state, stored.next_refresh_at), (RefreshState::Active, stored.next_attempt_at));
        // The token is still valid, so no caller waits for another one.
        assert_eq!(desk.refresh(&grant, USE).await, Outcome::Unneeded);
        room.endpoint.set(Mode::Grant);
        at(T + HOUR);
        desk.signal.notify();
        desk.until(&grant.account, |stored| stored.generation == 2).await;
        assert_eq!(desk.heard(), news);
    })
    .await;
    assert_eq!(room.endpoint.seen().sent.len(), 2);
}

/// A dead token is never sent again, whatever the number of callers and of restarts.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_is_sent_only_once_when_dead() {
    let room = Room::new().await;
    let first = room.endpoint.login();
    let desk = room.desk().await;
    let (grant, _) = desk.login("u", Some(first.clone()), None).await;
    desk.store.close().await;
    at(T + HOUR);
    let dead = r#"{"error":"invalid_grant"}"#;
    room.endpoint.set(Mode::Say(400, "application/json", dead.to_owned(), None));
    for round in 0..6_i64 {
        at(T + HOUR + round * HOUR);
        let desk = room.desk().await;
        desk.watched(async {
            desk.until(&grant.account, |stored| stored.state == RefreshState::NeedsReauth).await;
            for why in [USE, RefreshWhy::Due, RefreshWhy::Forced { generation: 9 }] {
                let outcome = desk.refresh(&grant, why).await;
                let expect = [Outcome::Stuck(RefreshReason::InvalidGrant), Outcome::Unneeded];
                assert!(expect.contains(&outcome), "{outcome:?}");
            }
        })
        .await;
        desk.store.close().await;
    }
    assert_eq!(room.endpoint.seen().sent, [first]);
    // A login makes the account valid again.
    room.endpoint.set(Mode::Grant);
    let desk = room.desk().await;
    let second = room.endpoint.login();
    let (again, _) = desk.login("u", Some(second.clone()), None).await;
    assert_eq!(again, grant);
    assert_eq!(desk.refresh(&grant, RefreshWhy::Forced { generation: 9 }).await, Outcome::Renewed);
    assert_eq!(room.endpoint.seen().sent.last(), Some(&second));
}

/// The delay that an issuer requests is obeyed, and the token is used in the meantime.
#[tokio::test]
async fn refresh_waits_for_retry_after_when_rate_limited() {
    let room = Room::new().await;
    let desk = room.desk().await;
    let (grant, _) = desk.login("u", Some(room.endpoint.login()), None).await;
    at(T + 56 * MINUTE);
    room.endpoint.set(Mode::Say(429, "text/plain", String::new(), Some(120)));
    let Outcome::Later { reason: Some(RefreshReason::RateLimited), at: again } =
        desk.refresh(&grant, RefreshWhy::Due).await
    else {
        panic!("it should be tried later")
    };
    assert!(again >= T + 58 * MINUTE, "{again}");
    room.endpoint.set(Mode::Grant);
    assert_eq!(desk.refresh(&grant, USE).await, Outcome::Unneeded);
    let forced = RefreshWhy::Forced { generation: 1 };
    let waiting = Outcome::Later { reason: Some(RefreshReason::RateLimited), at: again };
    assert_eq!(desk.refresh(&grant, forced).await, waiting);
    assert_eq!(room.endpoint.seen().sent.len(), 1);
    at(again);
    assert_eq!(desk.refresh(&grant, forced).await, Outcome::Renewed);
}

/// Another person's tokens are not stored, and the account's refresh token is not sent again.
#[tokio::test]
async fn refresh_refuses_tokens_when_they_belong_to_another_person() {
    let room = Room::new().await;
    let desk = room.desk().await;
    let id = Some(id_token("person-u"));
    let (grant, _) = desk.login("u", Some(room.endpoint.login()), id.clone()).await;
    let (own, _) = desk.login("v", Some(room.endpoint.login()), Some(id_token("person-v"))).await;
    at(T + HOUR);
    let before = desk.texts(&grant.account).await;
    room.endpoint.set(Mode::Person("person-v"));
    assert_eq!(desk.refresh(&grant, USE).await, Outcome::Stuck(RefreshReason::IdentityMismatch));
    assert_eq!(desk.texts(&grant.account).await, before);
    assert_eq!(desk.refresh(&grant, USE).await, Outcome::Stuck(RefreshReason::IdentityMismatch));
    assert_eq!(desk.refresh(&own, USE).await, Outcome::Renewed);
    assert_eq!(room.endpoint.seen().sent.len(), 2);
}

/// A late answer restores no deleted or replaced token.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_restores_no_token_when_it_was_deleted_or_replaced() {
    let room = Room::new().await;
    let desk = room.desk().await;
    let (gone, profile) = desk.login("u", Some(room.endpoint.login()), None).await;
    let (replaced, _) = desk.login("v", Some(room.endpoint.login()), None).await;
    at(T + HOUR);
    let late = async |grant: &Grant,
                      times: usize,
                      change: std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>| {
        room.endpoint.set(Mode::Hold);
        let release = async {
            room.endpoint.asked(times).await;
            change.await;
            room.endpoint.set(Mode::Grant);
        };
        tokio::join!(desk.refresh(grant, USE), release).0
    };
    let deletion = async {
        desk.store.delete_profile(&profile, clock()).await.unwrap();
    };
    assert_eq!(late(&gone, 1, Box::pin(deletion)).await, Outcome::Gone);
    assert!(desk.store.tokens(&gone.account, clock()).await.is_err());
    let login = async {
        desk.login("v", Some("planted-refresh-of-a-login".to_owned()), None).await;
    };
    assert_eq!(late(&replaced, 2, Box::pin(login)).await, Outcome::Renewed);
    let expect = ("planted-access-first".to_owned(), Some("planted-refresh-of-a-login".to_owned()));
    assert_eq!(desk.texts(&replaced.account).await, expect);
}

/// The refusal of a token that is no longer stored has no effect on the stored one.
#[tokio::test(flavor = "multi_thread")]
async fn refusal_has_no_effect_when_token_was_replaced() {
    let room = Room::new().await;
    let desk = room.desk().await;
    let (grant, _) = desk.login("u", Some(room.endpoint.login()), None).await;
    at(T + HOUR);
    room.endpoint.set(Mode::Hold);
    let newer = room.endpoint.login();
    let release = async {
        room.endpoint.asked(1).await;
        desk.login("u", Some(newer.clone()), None).await;
        let dead = r#"{"error":"invalid_grant"}"#;
        room.endpoint.set(Mode::Say(400, "application/json", dead.to_owned(), None));
    };
    let (outcome, ()) = tokio::join!(desk.refresh(&grant, USE), release);
    assert_eq!(outcome, Outcome::Renewed);
    let stored = desk.tokens(&grant.account).await;
    assert_eq!((stored.state, stored.reason, stored.failures), (RefreshState::Active, None, 0));
    assert_eq!(desk.texts(&grant.account).await.1, Some(newer));
    assert_eq!(room.endpoint.seen().sent.len(), 1);
}

/// Tokens without a known endpoint leave the queue for a while and do not delay others.
#[tokio::test(flavor = "multi_thread")]
async fn queue_postpones_tokens_when_no_endpoint_is_known() {
    let room = Room::new().await;
    let first = room.desk().await;
    let (grant, _) = first.login("u", Some(room.endpoint.login()), None).await;
    first.store.close().await;
    at(T + HOUR);
    let mut desk = room.desk().await;
    desk.refresher = Refresher::new(RefresherConfig {
        store: desk.store.clone(),
        forges: Forges::default(),
        registry: Registry::builtin().unwrap(),
        redactor: Redactor::default(),
        holder: "another".to_owned(),
        clock,
        signal: desk.signal.clone(),
        stop: desk.stop.clone(),
    });
    // The queue is stopped at once, but still makes its first pass.
    desk.watched(async {}).await;
    assert_eq!(desk.tokens(&grant.account).await.next_refresh_at, Some(T + 25 * HOUR));
    assert_eq!(desk.heard(), []);
    assert_eq!(room.endpoint.seen().sent, Vec::<String>::new());
}
