//! Writers that arrive at the same time. They share transactions, but only the commit can fail for all of them.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use identity_store::{
    Announce, Change, DatabaseKind, Evidence, Profile, ProfileFilter, SaveProfileKey, Status, StatusReport,
    Store, StoreError,
};

use crate::grants::key;
use crate::harness::{Fixture, NOW, account_id, keyring, login, new_target, obstacles, on_both, refusal};

on_both![
    writers_share_a_commit_when_they_wait_together,
    batch_is_durable_for_every_call,
    batch_returns_to_each_call_its_own_profile,
    batch_commits_the_other_calls_when_some_fail,
    batch_commits_the_other_calls_when_some_are_dropped,
    batch_fails_for_every_call_when_the_commit_fails,
    refusal_is_final_only_when_the_batch_commits,
];

type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Makes the calls wait at the gate, in order, and releases them at once.
async fn together<T: Send + 'static>(f: &Fixture, mut calls: Vec<Call<T>>) -> Vec<T> {
    let holder = f.store.begin_login(login(new_target("holder", None), "h@x")).await.unwrap();
    for call in &mut calls {
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let tasks: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    drop(holder);
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

fn save(f: &Fixture, user: &str) -> Call<Result<Profile, StoreError>> {
    let (store, save) = (f.store.clone(), key(user, "a1", &format!("sk-{user}")));
    Box::pin(async move { store.save_profile_key(save).await })
}

async fn users(f: &Fixture) -> Vec<String> {
    let list = f.store.profiles(ProfileFilter::default()).await.unwrap();
    list.profiles.into_iter().map(|profile| profile.user.to_string()).collect()
}

/// Checks that nothing was written in part, that each profile was announced once, and that the chain of the log is
/// intact.
async fn is_whole(f: &Fixture, profiles: usize) {
    for table in ["user_profiles", "accounts"] {
        let rows = f.place.texts(&format!("SELECT 'x' FROM {table}")).await;
        assert_eq!(rows.len(), profiles, "{table}");
    }
    let (mut users, mut accounts) = (BTreeSet::new(), BTreeSet::new());
    for change in f.heard() {
        match change {
            Change::Profiles(user) => assert!(users.insert(user.to_string()), "{user} was announced twice"),
            Change::Account(id) => assert!(accounts.insert(id.to_string()), "{id} was announced twice"),
            other => panic!("{other:?}"),
        }
    }
    let stored = async |text| -> BTreeSet<String> { f.place.texts(text).await.into_iter().collect() };
    assert_eq!(users, stored("SELECT user_id FROM user_profiles").await);
    assert_eq!(accounts, stored("SELECT id FROM accounts").await);
    let check = f.store.check_audit().await.unwrap();
    assert_eq!((check.rows, check.fault), (1 + profiles as u64, None));
}

/// Each commit is announced by one call of the listener.
async fn writers_share_a_commit_when_they_wait_together(f: Fixture) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let announce: Announce = Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let store = Store::open(f.place.options(announce), keyring("one")).await.unwrap();
    let f = Fixture { store: store.clone(), ..f };
    let saved = together(&f, (0..16).map(|number| save(&f, &format!("u{number}"))).collect()).await;
    assert!(saved.iter().all(Result::is_ok), "{saved:?}");
    // Waiting writers join within 50 ms. A slow machine may need a few commits, but not one for each.
    let commits = calls.load(Ordering::SeqCst);
    assert!((1..=8).contains(&commits), "{commits} commits for 16 writers");
    store.close().await;
}

async fn batch_is_durable_for_every_call(f: Fixture) {
    let names: Vec<_> = (10..80).map(|number| format!("u{number}")).collect();
    let saved = together(&f, names.iter().map(|name| save(&f, name)).collect()).await;
    assert!(saved.iter().all(Result::is_ok), "{saved:?}");
    is_whole(&f, names.len()).await;
    f.store.close().await;
    let store = f.place.open(keyring("one")).await.unwrap();
    let list = store.profiles(ProfileFilter::default()).await.unwrap();
    assert!(list.profiles.iter().map(|profile| profile.user.as_str()).eq(names.iter()));
    store.close().await;
}

/// Each caller receives the current profile: new keys, replacing keys, and keys that have an order among them.
async fn batch_returns_to_each_call_its_own_profile(f: Fixture) {
    let first = SaveProfileKey { label: Some("old".into()), ..key("u1", "a1", "sk-first") };
    let before = f.store.save_profile_key(first).await.unwrap();
    let mut wishes = vec![];
    for (user, email, make_primary) in [
        ("u1", None, true),
        ("u2", None, true),
        ("u3", Some("a@x"), false),
        ("u3", Some("b@x"), false),
        ("u1", Some("c@x"), false),
        ("u3", Some("c@x"), true),
        ("u2", None, false),
    ] {
        let text = format!("sk-{user}-{email:?}-0123456789");
        let email = email.map(str::to_owned);
        wishes.push(SaveProfileKey { email, make_primary, now: NOW + 1, ..key(user, "a1", &text) });
    }
    let calls = wishes.into_iter().map(|save| {
        let store = f.store.acting_as(save.scope.user.as_str());
        Box::pin(async move { store.save_profile_key(save).await }) as Call<Result<Profile, StoreError>>
    });
    let saved = together(&f, calls.collect()).await;
    let saved: Vec<_> = saved.into_iter().map(Result::unwrap).collect();
    assert_eq!((&saved[0].id, &saved[0].account), (&before.id, &before.account));
    assert_eq!((saved[0].label.as_deref(), saved[0].created_at), (Some("old"), NOW));
    assert_eq!(saved[1].id, saved[6].id);
    for (number, profile) in saved.iter().enumerate() {
        let mut now = f.store.profile(&profile.id).await.unwrap();
        // Later keys moved or replaced the profile.
        match number {
            1 => now.masked_tail.clone_from(&profile.masked_tail),
            2 => now.primary = true,
            _ => {}
        }
        assert_eq!(now, *profile, "{number}");
    }
    let list = f.store.profiles(ProfileFilter::default()).await.unwrap().profiles;
    let emails: Vec<_> = list.iter().map(|profile| profile.identity.email.as_deref()).collect();
    assert_eq!(emails, [None, Some("c@x"), None, Some("c@x"), Some("a@x"), Some("b@x")]);
    let actors =
        f.place.texts("SELECT actor FROM audit_log WHERE action = 'profile.save' ORDER BY actor").await;
    assert_eq!(actors, ["srvd", "u1", "u1", "u2", "u2", "u3", "u3", "u3"]);
}

/// The key that fails has already written a row, which is rolled back.
async fn batch_commits_the_other_calls_when_some_fail(f: Fixture) {
    f.place
        .execute(match f.place.kind {
            DatabaseKind::Sqlite => {
                "CREATE TRIGGER stop BEFORE INSERT ON user_profiles WHEN NEW.user_id LIKE 'bad%'
                 BEGIN SELECT RAISE(ABORT, 'no'); END"
            }
            DatabaseKind::Postgres => {
                "ALTER TABLE user_profiles ADD CONSTRAINT stop CHECK (user_id NOT LIKE 'bad%')"
            }
        })
        .await;
    let names = ["bad1", "u1", "bad2", "bad3", "u2", "u3", "bad4"];
    let saved = together(&f, names.iter().map(|name| save(&f, name)).collect()).await;
    for (name, saved) in names.iter().zip(saved) {
        assert_eq!(saved.is_err(), name.starts_with("bad"), "{name}");
    }
    assert_eq!(users(&f).await, ["u1", "u2", "u3"]);
    is_whole(&f, 3).await;
}

/// Every second call is dropped, at each of its steps.
async fn batch_commits_the_other_calls_when_some_are_dropped(f: Fixture) {
    for round in 0..10 {
        let calls = (0..12).map(|number| {
            let mut call = save(&f, &format!("u{round}-{number}"));
            if number % 2 == 0 {
                return call;
            }
            let mut steps = 1 + (number + round) % 12;
            let limited = poll_fn(move |context| {
                if steps == 0 {
                    return Poll::Ready(Err(StoreError::Unavailable("its caller is gone".into())));
                }
                steps -= 1;
                call.as_mut().poll(context)
            });
            Box::pin(limited)
        });
        let saved = together(&f, calls.collect()).await;
        assert!(saved.iter().step_by(2).all(Result::is_ok), "{saved:?}");
    }
    // The next writer that runs alone passes the gate after every commit in progress.
    f.store.prune_sessions(0, 10).await.unwrap();
    let made = users(&f).await.len();
    assert!(made >= 60);
    is_whole(&f, made).await;
}

async fn batch_fails_for_every_call_when_the_commit_fails(f: Fixture) {
    for (obstacle, end) in obstacles(f.place.kind) {
        f.place.execute(obstacle).await;
        let saved = together(&f, (0..8).map(|number| save(&f, &format!("u{number}"))).collect()).await;
        for saved in saved {
            let (kind, text) = refusal(saved);
            assert!(["unavailable", "uncertain", "other"].contains(&kind), "{kind}: {text}");
        }
        assert_eq!(f.heard(), []);
        f.place.execute(end).await;
        is_whole(&f, 0).await;
    }
    let saved = together(&f, (0..8).map(|number| save(&f, &format!("u{number}"))).collect()).await;
    assert!(saved.iter().all(Result::is_ok), "{saved:?}");
    is_whole(&f, 8).await;
}

/// A refusal that rests on uncommitted rows is final only when those rows are committed.
async fn refusal_is_final_only_when_the_batch_commits(f: Fixture) {
    let account = save(&f, "u1").await.unwrap().account;
    let [(obstacle, _), _] = obstacles(f.place.kind);
    f.place.execute(obstacle).await;
    let check = |id| -> Call<Result<(), StoreError>> {
        let report = StatusReport {
            status: Status::Valid,
            reason: None,
            evidence: Evidence::Live,
            checked_at: Some(NOW),
            expires_at: None,
            login_deadline_at: None,
        };
        let store = f.store.clone();
        Box::pin(async move { store.set_status(&id, report, NOW).await.map(drop) })
    };
    let mut kinds = Vec::new();
    // A call that arrives after the others' commit has failed runs alone, and its answer is correct.
    while !kinds.contains(&"other") {
        assert!(kinds.len() < 100);
        let calls = vec![check(account.clone()), check(account_id("none"))];
        kinds.push(refusal(together(&f, calls).await.remove(1)).0);
    }
    assert!(kinds.iter().all(|kind| ["other", "not found"].contains(kind)), "{kinds:?}");
}
