use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use identity_store::{Announce, Change, Counts, DatabaseKind, DestinationBundle, NewBundle, StoreError};

use crate::harness::{Fixture, NOW, api_key, bundle_id, keyring, on_both, refusal};

on_both![
    copy_is_unsupported_when_the_database_is_a_server,
    error_text_holds_no_text_of_the_database,
    store_reports_kind_schema_version_and_counts,
    store_reads_back_settings_and_refuses_empty_name,
    listener_receives_only_committed_changes,
    store_keeps_working_when_listener_panics,
    store_reports_unavailable_when_closed,
];

async fn store_reports_kind_schema_version_and_counts(f: Fixture) {
    assert_eq!(f.store.kind(), f.place.kind);
    assert_eq!(f.store.schema_version().await.unwrap(), 8);
    f.store.ping().await.unwrap();
    let empty = Counts { bundles: 1, accounts: 0, bindings: 0, live_sessions: 0 };
    assert_eq!(f.store.counts().await.unwrap(), empty);
    let one = f.bundle("One").await.id;
    f.login("one", "a@x").await;
    f.store.save_api_key(api_key(DestinationBundle::Existing(one), "sk-1")).await.unwrap();
    let filled = Counts { bundles: 2, accounts: 2, bindings: 2, live_sessions: 0 };
    assert_eq!(f.store.counts().await.unwrap(), filled);
    let expected = match f.place.kind {
        DatabaseKind::Sqlite => "Store { kind: Sqlite, .. }",
        DatabaseKind::Postgres => "Store { kind: Postgres, .. }",
    };
    assert_eq!(format!("{:?}", f.store), expected);
}

async fn store_reads_back_settings_and_refuses_empty_name(f: Fixture) {
    assert_eq!(f.store.setting("active_forge").await.unwrap(), None);
    f.store.put_setting("active_forge", "one", NOW).await.unwrap();
    f.store.put_setting("active_forge", "two", NOW + 1).await.unwrap();
    f.store.put_setting("empty", "", NOW).await.unwrap();
    assert_eq!(f.store.setting("active_forge").await.unwrap().as_deref(), Some("two"));
    assert_eq!(f.store.setting("empty").await.unwrap().as_deref(), Some(""));
    assert_eq!(refusal(f.store.put_setting("", "x", NOW).await).0, "invalid name");
}

/// When a change is announced, a separate reader already sees it. A refused write is not announced.
async fn listener_receives_only_committed_changes(f: Fixture) {
    f.store.close().await;
    let reader = f.place.open(keyring("one")).await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (runtime, notes, store) = (tokio::runtime::Handle::current(), Arc::clone(&seen), reader.clone());
    let announce: Announce = Arc::new(move |changes: &[Change]| {
        let bundles = tokio::task::block_in_place(|| runtime.block_on(store.bundles())).unwrap();
        notes.lock().unwrap().push((changes.to_vec(), bundles.len()));
    });
    let store = identity_store::Store::open(f.place.options(announce), keyring("one")).await.unwrap();
    let new = || NewBundle { id: bundle_id("one"), name: "One".into(), description: String::new() };
    store.create_bundle(new(), NOW).await.unwrap();
    assert_eq!(refusal(store.create_bundle(new(), NOW).await).0, "conflict");
    assert_eq!(*seen.lock().unwrap(), [(vec![Change::Bundles], 2)]);
    store.close().await;
    reader.close().await;
}

async fn store_keeps_working_when_listener_panics(f: Fixture) {
    let called = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&called);
    let announce: Announce = Arc::new(move |_| {
        flag.store(true, Ordering::SeqCst);
        panic!("the listener's own fault");
    });
    let store = identity_store::Store::open(f.place.options(announce), keyring("one")).await.unwrap();
    for name in ["one", "two"] {
        let new = NewBundle { id: bundle_id(name), name: name.into(), description: String::new() };
        assert_eq!(store.create_bundle(new, NOW).await.unwrap().name, name);
    }
    assert!(called.load(Ordering::SeqCst));
    store.close().await;
}

async fn store_reports_unavailable_when_closed(f: Fixture) {
    f.store.close().await;
    assert_eq!(refusal(f.store.bundles().await).0, "unavailable");
    assert_eq!(refusal(f.store.ping().await).0, "unavailable");
    assert_eq!(refusal(f.store.put_setting("a", "b", NOW).await).0, "unavailable");
}

async fn copy_is_unsupported_when_the_database_is_a_server(f: Fixture) {
    let directory = tempfile::tempdir().unwrap();
    let copied = f.store.copy_into(&directory.path().join("copy.db")).await;
    match f.place.kind {
        DatabaseKind::Sqlite => copied.unwrap(),
        DatabaseKind::Postgres => assert!(matches!(
            copied,
            Err(StoreError::Unsupported { operation: "copy", database: DatabaseKind::Postgres, .. })
        )),
    }
}

/// The text of the database is in the error's source, for the log.
async fn error_text_holds_no_text_of_the_database(f: Fixture) {
    f.place.execute("DROP TABLE tombstones").await;
    let error = f.store.leftovers().await.unwrap_err();
    assert!(matches!(error, StoreError::Database(_)), "{error:?}");
    assert_eq!(error.to_string(), "the database refused a statement");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("tombstones"), "{source}");
}
