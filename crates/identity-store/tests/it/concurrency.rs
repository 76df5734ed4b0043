use std::collections::BTreeSet;
use std::time::Duration;

use identity_store::{DestinationBundle, NewBundle, Store};
use tokio::task::JoinSet;

use crate::harness::{Fixture, NOW, bundle_id, keyring, login, new_session, new_target, on_both, provider};

on_both![
    logins_into_one_bundle_share_one_account,
    bundle_names_are_unique_when_logins_run_concurrently,
    stores_are_never_busy_when_many_writers_share_the_database,
    announcements_come_in_the_order_of_the_commits,
    commit_is_announced_when_its_caller_is_dropped,
    session_ends_once_when_a_save_and_a_cancel_race,
];

async fn logins_into_one_bundle_share_one_account(f: Fixture) {
    f.bundle("One").await;
    let other = f.place.open(keyring("one")).await.unwrap();
    let mut tasks = JoinSet::new();
    for store in [f.store.clone(), other.clone(), f.store.clone(), other.clone()] {
        tasks.spawn(async move {
            store
                .save_login(login(DestinationBundle::Existing(bundle_id("one")), "a@x"))
                .await
                .unwrap()
                .account
        });
    }
    let accounts: BTreeSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(accounts.len(), 1);
    assert_eq!(f.store.counts().await.unwrap().accounts, 1);
    other.close().await;
}

async fn bundle_names_are_unique_when_logins_run_concurrently(f: Fixture) {
    let other = f.place.open(keyring("one")).await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..10 {
        let store = if number % 2 == 0 { f.store.clone() } else { other.clone() };
        tasks.spawn(async move {
            store.save_login(login(new_target(&format!("b{number}"), None), "a@x")).await.unwrap();
        });
    }
    tasks.join_all().await;
    let names: BTreeSet<_> = f.store.bundles().await.unwrap().into_iter().map(|bundle| bundle.name).collect();
    let expected: BTreeSet<_> = (1..=10)
        .map(|number| if number == 1 { "Codex (a@x)".into() } else { format!("Codex (a@x) {number}") })
        .chain(["Blank".to_owned()])
        .collect();
    assert_eq!(names, expected);
    other.close().await;
}

async fn stores_are_never_busy_when_many_writers_share_the_database(f: Fixture) {
    let other = f.place.open(keyring("one")).await.unwrap();
    let mut tasks = JoinSet::new();
    for writer in 0..16 {
        let store = if writer % 2 == 0 { f.store.clone() } else { other.clone() };
        tasks.spawn(async move { write_and_read(&store, writer).await });
    }
    tasks.join_all().await;
    assert_eq!(f.store.counts().await.unwrap().bundles, 1 + 16 * 5);
    other.close().await;
}

async fn write_and_read(store: &Store, writer: u32) {
    for number in 0..5 {
        let id = bundle_id(&format!("w{writer}-{number}"));
        let new = NewBundle { id: id.clone(), name: id.to_string(), description: String::new() };
        let made = store.create_bundle(new, NOW).await.unwrap();
        assert_eq!(store.bundle(&id).await.unwrap(), made);
    }
}

async fn announcements_come_in_the_order_of_the_commits(f: Fixture) {
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let store = f.store.clone();
        tasks.spawn(async move { store.insert_session(new_session(None)).await.unwrap() });
    }
    tasks.join_all().await;
    let heard: Vec<_> = f
        .heard()
        .into_iter()
        .map(|change| match change {
            identity_store::Change::Session(id) => id.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(heard.len(), 16);
    // The rows of the audit log are numbered in the order of the commits.
    let written =
        f.place.texts("SELECT subject FROM audit_log WHERE action = 'session.start' ORDER BY seq").await;
    assert_eq!(written, heard);
}

/// Callers are dropped at every step. All that is in the database was announced, and all that was announced is there.
async fn commit_is_announced_when_its_caller_is_dropped(f: Fixture) {
    for step in 0..60 {
        let id = bundle_id(&format!("b{step}"));
        let new = NewBundle { id: id.clone(), name: id.to_string(), description: String::new() };
        // The call may or may not be done by then. Together, the steps interrupt it in every state.
        let _ = tokio::time::timeout(Duration::from_micros(step * 50), f.store.create_bundle(new, NOW)).await;
    }
    // The next writer passes the gate after every commit in progress.
    f.store.put_setting("last", "", NOW).await.unwrap();
    let made = f.store.counts().await.unwrap().bundles - 1;
    assert_eq!(made, f.heard().len() as u64);
}

async fn session_ends_once_when_a_save_and_a_cancel_race(f: Fixture) {
    use identity_store::{SaveLogin, SessionEnd, SessionEnding, SessionState};

    for round in 0..10 {
        let session = new_session(None);
        f.store.insert_session(session.clone()).await.unwrap();
        let end = SessionEnd {
            state: SessionEnding::Cancelled,
            error: None,
            error_kind: None,
            hint: None,
            exit_code: None,
            revision: 1,
            now: NOW,
        };
        let bundle = format!("b{round}");
        let save = SaveLogin { session: Some(session.id.clone()), ..login(new_target(&bundle, None), "a@x") };
        let (saved, cancelled) =
            tokio::join!(f.store.save_login(save), f.store.finish_session(&session.id, end));
        assert_ne!(saved.is_ok(), cancelled.is_ok());
        let state = f.store.session(&session.id).await.unwrap().state;
        let bound = f.store.bound_account(&bundle_id(&bundle), &provider("codex")).await.unwrap();
        let expected = if saved.is_ok() { SessionState::Success } else { SessionState::Cancelled };
        assert_eq!((state, bound.is_some()), (expected, saved.is_ok()));
    }
}
