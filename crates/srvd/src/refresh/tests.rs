//! The refresher with a real database, a real endpoint, and a clock controlled by the tests.

use std::time::Duration;

use auth_spawner::Registry;
use identity_store::{Authority, Change, RefreshReason, RefreshState, RefreshWhy};

use super::{Grant, Outcome, Refresher, RefresherConfig};
use crate::base::redact::Redactor;
use crate::forge::oauth::Forges;
use endpoint::{Mode, id_token};
use fixture::{HOUR, MINUTE, T, USE, World, at, clock};

#[path = "../../tests/it/refresh/endpoint.rs"]
#[allow(dead_code, reason = "the daemon's tests use the rest")]
mod endpoint;
mod fixture;

#[tokio::test]
async fn refresh_contacts_the_endpoint_only_when_needed() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let first = world.endpoint.login();
    let (grant, _) = daemon.login("u", Some(first.clone()), None).await;
    assert_eq!(daemon.refresh(&grant, USE).await, Outcome::Unneeded);
    assert_eq!(daemon.refresh(&grant, RefreshWhy::Due).await, Outcome::Unneeded);
    assert_eq!(world.endpoint.seen().sent, Vec::<String>::new());

    world.endpoint.set(Mode::Keep);
    assert_eq!(daemon.refresh(&grant, RefreshWhy::Forced { generation: 1 }).await, Outcome::Renewed);
    let expect = (format!("planted-access-of-{first}"), Some(first.clone()));
    assert_eq!(daemon.texts(&grant.account).await, expect);
    // The store already has a newer generation than the rejected one.
    assert_eq!(daemon.refresh(&grant, RefreshWhy::Forced { generation: 1 }).await, Outcome::Unneeded);

    world.endpoint.set(Mode::Grant);
    at(T + HOUR);
    assert_eq!(daemon.refresh(&grant, USE).await, Outcome::Renewed);
    assert_eq!(world.endpoint.seen().sent, [first.clone(), first]);
    let (_, second) = daemon.texts(&grant.account).await;
    assert_eq!(second, world.endpoint.live().into_iter().next());

    let (none, _) = daemon.login("v", None, None).await;
    at(T + 3 * HOUR);
    assert_eq!(daemon.refresh(&none, USE).await, Outcome::Stuck(RefreshReason::NoRefreshToken));
    let elsewhere = Authority { provider: "anthropic".parse().unwrap(), ..grant.authority.clone() };
    let nowhere = Grant { authority: elsewhere, ..grant };
    assert_eq!(daemon.refresh(&nowhere, USE).await, Outcome::Unsupported);
    assert_eq!(world.endpoint.seen().sent.len(), 2);
}

/// All callers share one refresh, whatever its result.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_refreshes_share_one_request() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let (grant, _) = daemon.login("u", Some(world.endpoint.login()), None).await;
    at(T + HOUR);
    let before = daemon.texts(&grant.account).await;
    let together = async |mode: Mode, times: usize| {
        world.endpoint.set(Mode::Hold);
        let calls = futures_util::future::join_all((0..5).map(|_| daemon.refresh(&grant, USE)));
        let release = async {
            world.endpoint.asked(times).await;
            world.endpoint.set(mode);
        };
        tokio::join!(calls, release).0
    };
    let trouble = Mode::Say(500, "text/plain", String::new(), None);
    let outcomes = together(trouble, 1).await;
    let stored = daemon.tokens(&grant.account).await;
    let later = Outcome::Later { reason: Some(RefreshReason::Server), at: stored.next_attempt_at.unwrap() };
    assert_eq!(outcomes, vec![later; 5]);
    assert_eq!(daemon.texts(&grant.account).await, before);

    at(stored.next_attempt_at.unwrap());
    assert_eq!(together(Mode::Grant, 2).await, vec![Outcome::Renewed; 5]);
    assert_eq!(world.endpoint.seen().sent, [before.1.clone().unwrap(), before.1.unwrap()]);
}

/// The refresh continues after its caller has left.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_continues_after_its_caller_has_left() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let (grant, _) = daemon.login("u", Some(world.endpoint.login()), None).await;
    at(T + HOUR);
    world.endpoint.set(Mode::Hold);
    let impatient = daemon.refresher.refresh(&grant, USE, Duration::ZERO);
    assert_eq!(impatient.await, Outcome::TooLong);
    world.endpoint.asked(1).await;
    world.endpoint.set(Mode::Grant);
    daemon.until(&grant.account, |stored| stored.generation == 2).await;
    assert_eq!(world.endpoint.seen().sent.len(), 1);
}

/// R11: a daemon waits for another daemon's refresh and uses its tokens.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_uses_tokens_obtained_by_another_daemon() {
    let world = World::new().await;
    let (one, other) = (world.daemon().await, world.daemon().await);
    let (grant, _) = one.login("u", Some(world.endpoint.login()), None).await;
    at(T + HOUR);
    world.endpoint.set(Mode::Hold);
    let first = one.refresh(&grant, USE);
    let second = async {
        world.endpoint.asked(1).await;
        let busy = other.refresher.refresh(&grant, USE, Duration::from_millis(1)).await;
        assert!(matches!(busy, Outcome::Busy { .. } | Outcome::TooLong), "{busy:?}");
        let (outcome, ()) = tokio::join!(other.refresh(&grant, USE), async {
            world.endpoint.set(Mode::Grant);
        });
        outcome
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first, Outcome::Renewed);
    assert!(matches!(second, Outcome::Unneeded | Outcome::Renewed), "{second:?}");
    assert_eq!(world.endpoint.seen().sent.len(), 1);
}

/// The events for a failure and for the recovery.
#[tokio::test(flavor = "multi_thread")]
async fn queue_resumes_refreshing_when_the_endpoint_recovers() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let (grant, _) = daemon.login("u", Some(world.endpoint.login()), None).await;
    let news = [Change::Profiles("u".parse().unwrap()), Change::Account(grant.account.clone())];
    daemon.heard();
    world.endpoint.set(Mode::Say(500, "text/plain", String::new(), None));
    at(T + 56 * MINUTE);
    daemon
        .watched(async {
            daemon.until(&grant.account, |stored| stored.failures == 1).await;
            assert_eq!(daemon.heard(), news);
            let stored = daemon.tokens(&grant.account).await;
            assert_eq!(
                (stored.state, stored.next_refresh_at),
                (RefreshState::Active, stored.next_attempt_at)
            );
            // The token is still valid, so no caller waits for a new one.
            assert_eq!(daemon.refresh(&grant, USE).await, Outcome::Unneeded);
            world.endpoint.set(Mode::Grant);
            at(T + HOUR);
            daemon.signal.notify();
            daemon.until(&grant.account, |stored| stored.generation == 2).await;
            assert_eq!(daemon.heard(), news);
        })
        .await;
    assert_eq!(world.endpoint.seen().sent.len(), 2);
}

/// A dead token is never sent again, regardless of the number of callers and restarts.
#[tokio::test(flavor = "multi_thread")]
async fn dead_refresh_token_is_sent_only_once() {
    let world = World::new().await;
    let first = world.endpoint.login();
    let daemon = world.daemon().await;
    let (grant, _) = daemon.login("u", Some(first.clone()), None).await;
    daemon.store.close().await;
    at(T + HOUR);
    let dead = r#"{"error":"invalid_grant"}"#;
    world.endpoint.set(Mode::Say(400, "application/json", dead.to_owned(), None));
    for round in 0..6_i64 {
        at(T + HOUR + round * HOUR);
        let daemon = world.daemon().await;
        daemon
            .watched(async {
                daemon.until(&grant.account, |stored| stored.state == RefreshState::NeedsReauth).await;
                for why in [USE, RefreshWhy::Due, RefreshWhy::Forced { generation: 9 }] {
                    let outcome = daemon.refresh(&grant, why).await;
                    let expect = [Outcome::Stuck(RefreshReason::InvalidGrant), Outcome::Unneeded];
                    assert!(expect.contains(&outcome), "{outcome:?}");
                }
            })
            .await;
        daemon.store.close().await;
    }
    assert_eq!(world.endpoint.seen().sent, [first]);
    // A new login makes the account valid again.
    world.endpoint.set(Mode::Grant);
    let daemon = world.daemon().await;
    let second = world.endpoint.login();
    let (again, _) = daemon.login("u", Some(second.clone()), None).await;
    assert_eq!(again, grant);
    assert_eq!(daemon.refresh(&grant, RefreshWhy::Forced { generation: 9 }).await, Outcome::Renewed);
    assert_eq!(world.endpoint.seen().sent.last(), Some(&second));
}

/// The delay requested by an issuer is respected, and the token is used in the meantime.
#[tokio::test]
async fn refresh_waits_for_retry_after_when_rate_limited() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let (grant, _) = daemon.login("u", Some(world.endpoint.login()), None).await;
    at(T + 56 * MINUTE);
    world.endpoint.set(Mode::Say(429, "text/plain", String::new(), Some(120)));
    let Outcome::Later { reason: Some(RefreshReason::RateLimited), at: again } =
        daemon.refresh(&grant, RefreshWhy::Due).await
    else {
        panic!("the refresh should be retried later")
    };
    assert!(again >= T + 58 * MINUTE, "{again}");
    world.endpoint.set(Mode::Grant);
    assert_eq!(daemon.refresh(&grant, USE).await, Outcome::Unneeded);
    let forced = RefreshWhy::Forced { generation: 1 };
    let waiting = Outcome::Later { reason: Some(RefreshReason::RateLimited), at: again };
    assert_eq!(daemon.refresh(&grant, forced).await, waiting);
    assert_eq!(world.endpoint.seen().sent.len(), 1);
    at(again);
    assert_eq!(daemon.refresh(&grant, forced).await, Outcome::Renewed);
}

/// A different user's tokens are not stored, and the account's refresh token is not sent again.
#[tokio::test]
async fn refresh_rejects_tokens_of_a_different_user() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let id = Some(id_token("person-u"));
    let (grant, _) = daemon.login("u", Some(world.endpoint.login()), id.clone()).await;
    let (own, _) = daemon.login("v", Some(world.endpoint.login()), Some(id_token("person-v"))).await;
    at(T + HOUR);
    let before = daemon.texts(&grant.account).await;
    world.endpoint.set(Mode::Person("person-v"));
    assert_eq!(daemon.refresh(&grant, USE).await, Outcome::Stuck(RefreshReason::IdentityMismatch));
    assert_eq!(daemon.texts(&grant.account).await, before);
    assert_eq!(daemon.refresh(&grant, USE).await, Outcome::Stuck(RefreshReason::IdentityMismatch));
    assert_eq!(daemon.refresh(&own, USE).await, Outcome::Renewed);
    assert_eq!(world.endpoint.seen().sent.len(), 2);
}

/// A late response does not restore a deleted or replaced token.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_does_not_restore_a_deleted_or_replaced_token() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let (gone, profile) = daemon.login("u", Some(world.endpoint.login()), None).await;
    let (replaced, _) = daemon.login("v", Some(world.endpoint.login()), None).await;
    at(T + HOUR);
    let late = async |grant: &Grant,
                      times: usize,
                      change: std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>| {
        world.endpoint.set(Mode::Hold);
        let release = async {
            world.endpoint.asked(times).await;
            change.await;
            world.endpoint.set(Mode::Grant);
        };
        tokio::join!(daemon.refresh(grant, USE), release).0
    };
    let deletion = async {
        daemon.store.delete_profile(&profile, clock()).await.unwrap();
    };
    assert_eq!(late(&gone, 1, Box::pin(deletion)).await, Outcome::Gone);
    assert!(daemon.store.tokens(&gone.account, clock()).await.is_err());
    let login = async {
        daemon.login("v", Some("planted-refresh-of-a-login".to_owned()), None).await;
    };
    assert_eq!(late(&replaced, 2, Box::pin(login)).await, Outcome::Renewed);
    let expect = ("planted-access-first".to_owned(), Some("planted-refresh-of-a-login".to_owned()));
    assert_eq!(daemon.texts(&replaced.account).await, expect);
}

/// Rejection of a token that is no longer stored has no effect on the stored one.
#[tokio::test(flavor = "multi_thread")]
async fn rejection_of_a_replaced_token_has_no_effect() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let (grant, _) = daemon.login("u", Some(world.endpoint.login()), None).await;
    at(T + HOUR);
    world.endpoint.set(Mode::Hold);
    let newer = world.endpoint.login();
    let release = async {
        world.endpoint.asked(1).await;
        daemon.login("u", Some(newer.clone()), None).await;
        let dead = r#"{"error":"invalid_grant"}"#;
        world.endpoint.set(Mode::Say(400, "application/json", dead.to_owned(), None));
    };
    let (outcome, ()) = tokio::join!(daemon.refresh(&grant, USE), release);
    assert_eq!(outcome, Outcome::Renewed);
    let stored = daemon.tokens(&grant.account).await;
    assert_eq!((stored.state, stored.reason, stored.failures), (RefreshState::Active, None, 0));
    assert_eq!(daemon.texts(&grant.account).await.1, Some(newer));
    assert_eq!(world.endpoint.seen().sent.len(), 1);
}

/// Tokens without a known endpoint leave the queue for a while and do not delay others.
#[tokio::test(flavor = "multi_thread")]
async fn queue_postpones_tokens_without_a_known_endpoint() {
    let world = World::new().await;
    let first = world.daemon().await;
    let (grant, _) = first.login("u", Some(world.endpoint.login()), None).await;
    first.store.close().await;
    at(T + HOUR);
    let mut daemon = world.daemon().await;
    daemon.refresher = Refresher::new(RefresherConfig {
        store: daemon.store.clone(),
        forges: Forges::default(),
        registry: Registry::builtin().unwrap(),
        redactor: Redactor::default(),
        holder: "another".to_owned(),
        clock,
        signal: daemon.signal.clone(),
        stop: daemon.stop.clone(),
    });
    // The queue is stopped immediately but still makes its first pass.
    daemon.watched(async {}).await;
    assert_eq!(daemon.tokens(&grant.account).await.next_refresh_at, Some(T + 25 * HOUR));
    assert_eq!(daemon.heard(), []);
    assert_eq!(world.endpoint.seen().sent, Vec::<String>::new());
}
