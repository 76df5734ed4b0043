//! A test that kills the daemon at random moments while it is constantly refreshing.

#![expect(clippy::print_stdout, reason = "seeds and figures help whoever runs the tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use identity_store::{AccountId, RefreshReason, RefreshState};
use secrecy::ExposeSecret as _;

use super::endpoint::Endpoint;
use super::{bring, home};
use crate::support::{Home, PATIENCE, store};

const ROUNDS: usize = 50;
const ACCOUNTS: usize = 48;
/// The lifetime of a token in seconds. Each token is refreshed more than once a second.
const LIFE: i64 = 1;

/// Whenever the daemon is killed, every row is valid, and committed data is present after the restart. A refresh token
/// is sent at most once more, and a rejected one is not sent again. The token in use is the newest one issued.
#[tokio::test(flavor = "multi_thread")]
async fn daemon_keeps_committed_tokens_when_killed_during_refreshes() {
    let endpoint = Endpoint::start(LIFE).await;
    let mut daemon = home(&endpoint).start_with(|command| command.env("SRVD_LOG", "warn"));
    let mut accounts: Vec<AccountId> = Vec::new();
    for user in 0..ACCOUNTS {
        let brought = bring(&daemon, "lent", (&format!("u{user}"), "alone"), &endpoint.login()).await;
        accounts.push(brought["accountId"].as_str().unwrap().parse().unwrap());
    }
    let (mut pauses, mut committed) = (Vec::new(), BTreeMap::new());
    for _ in 0..ROUNDS {
        let random = u64::from(getrandom::u32().unwrap() % 250);
        pauses.push(random);
        // The moment of the kill is random and not synchronized with anything.
        tokio::time::sleep(Duration::from_millis(random)).await;
        let home = daemon.kill();
        committed = kept(&home, &accounts, &committed).await;
        daemon = home.start_with(|command| command.env("SRVD_LOG", "warn"));
    }
    println!("killed after these milliseconds: {pauses:?}");
    let home = daemon.kill();
    let seen = endpoint.seen();
    println!("{} refreshes, {} rejected", seen.sent.len(), seen.refused.len());
    // Every access token has expired by the time the last lease ends. The next daemon resumes the interrupted
    // refreshes.
    let daemon = home.start_with(|command| command.env("SRVD_LOG", "warn"));
    let mut events = daemon.client().await.subscribe(["identityaccounts:changed:*"]).await.unwrap();
    let settled = async {
        // The refreshes continue, so events keep arriving: about one per second for each account.
        while stale(&daemon.home, &accounts).await > 0 {
            for _ in 0..ACCOUNTS {
                events.next().await.expect("the daemon serves");
            }
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("not every row reached a final state");
    // An orderly stop completes the refreshes in progress.
    let (status, home) = daemon.stop();
    assert!(status.success(), "{status}");

    kept(&home, &accounts, &committed).await;
    let (seen, live) = (endpoint.seen(), endpoint.live());
    let refused: BTreeSet<&String> = seen.refused.iter().collect();
    assert_eq!(refused.len(), seen.refused.len(), "a token that the issuer had rejected was sent again");
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for token in &seen.sent {
        *times.entry(token).or_default() += 1;
    }
    let most = times.values().max().copied().unwrap_or_default();
    assert!(most <= 2, "a refresh token was sent {most} times");
    let store = store(&home).await;
    let (mut alive, mut lost) = (0, 0);
    for account in &accounts {
        let stored = store.tokens(account, crate::support::now()).await.unwrap();
        let refresh = stored.tokens.refresh.unwrap().secret.expose_secret().to_owned();
        match (stored.state, stored.reason) {
            (RefreshState::Active, None) => {
                assert!(live.contains(&refresh), "{account} uses {refresh}, which is not the newest");
                alive += 1;
            }
            (RefreshState::NeedsReauth, Some(RefreshReason::CrashedRotation)) => {
                assert!(!live.contains(&refresh), "{account} was abandoned although {refresh} is valid");
                lost += 1;
            }
            other => panic!("{account} ended as {other:?}"),
        }
    }
    store.close().await;
    println!("{alive} accounts survived, {lost} were interrupted between the response and the commit");
    assert_eq!(alive + lost, ACCOUNTS);
    assert!(seen.sent.len() > ROUNDS, "too few refreshes took place");
}

/// Returns the generation and the refresh token of each account, read from the database of a killed daemon. Asserts
/// that no generation is older than before, and that an unchanged generation has an unchanged token.
async fn kept(
    home: &Home,
    accounts: &[AccountId],
    before: &BTreeMap<AccountId, (u64, String)>,
) -> BTreeMap<AccountId, (u64, String)> {
    let store = store(home).await;
    let mut now = BTreeMap::new();
    for account in accounts {
        let stored = store.tokens(account, crate::support::now()).await.unwrap();
        let refresh = stored.tokens.refresh.unwrap().secret.expose_secret().to_owned();
        if let Some((generation, old)) = before.get(account) {
            assert!(stored.generation >= *generation, "{account} went back to an older generation");
            assert_eq!(
                stored.generation == *generation,
                refresh == *old,
                "{account} has a different token for the same generation"
            );
        }
        now.insert(account.clone(), (stored.generation, refresh));
    }
    store.close().await;
    now
}

/// Returns the number of interrupted refreshes that were not resumed.
async fn stale(home: &Home, accounts: &[AccountId]) -> usize {
    let (mut stale, store) = (0, store(home).await);
    for account in accounts {
        let stored = store.tokens(account, crate::support::now()).await.unwrap();
        let old = stored.state_since < crate::support::now() - 5000;
        stale += usize::from(stored.state == RefreshState::Refreshing && old);
    }
    store.close().await;
    stale
}
