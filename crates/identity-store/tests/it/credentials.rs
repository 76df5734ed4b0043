use std::sync::Arc;
use std::task::{Context, Waker};

use identity_store::{
    AccountFilter, BoundCredential, CorruptRow, DestinationBundle, KeyPlace, SaveApiKey, SecretError,
    SecretRef, StoreError,
};
use secrecy::ExposeSecret as _;

use crate::harness::{Fixture, api_key, bundle_id, on_both, provider, run_local};

on_both![
    credentials_hold_the_accounts_of_the_bundle_with_their_secrets,
    api_key_leaves_no_sealed_secret_when_kept_elsewhere,
    credentials_answer_each_caller_when_many_ask_at_once,
    credentials_answer_other_callers_when_the_first_is_cancelled,
    credentials_report_rows_that_cannot_be_read_or_opened,
];

/// Returns each account's provider with the secret in its row.
async fn secrets(f: &Fixture, bundle: &str, of: Option<&str>) -> Vec<(String, Option<String>)> {
    let of = of.map(provider);
    let found = f.store.credentials(&bundle_id(bundle), of.as_ref()).await.unwrap();
    assert_eq!(found.corrupt, []);
    opened(found.held)
}

fn opened(held: Vec<BoundCredential>) -> Vec<(String, Option<String>)> {
    let secret = |held: BoundCredential| {
        let opened = held.secret.map(|secret| secret.unwrap().expose_secret().to_owned());
        (held.account.provider.to_string(), opened)
    };
    held.into_iter().map(secret).collect()
}

async fn credentials_hold_the_accounts_of_the_bundle_with_their_secrets(f: Fixture) {
    f.bundle("One").await;
    let two = f.bundle("Two").await.id;
    let login = f.login("one", "a@x").await;
    for (bundle, key) in [("one", "sk-one"), ("two", "sk-two")] {
        let mut save = api_key(DestinationBundle::Existing(bundle_id(bundle)), key);
        save.now += 1;
        f.store.save_api_key(save).await.unwrap();
    }
    f.store.bind(&two, &login.id, 5).await.unwrap();
    let (codex, openai) =
        (|| ("codex".to_owned(), None), |key: &str| ("openai".to_owned(), Some(key.to_owned())));
    assert_eq!(secrets(&f, "one", None).await, [codex(), openai("sk-one")]);
    assert_eq!(secrets(&f, "two", None).await, [codex(), openai("sk-two")]);
    assert_eq!(secrets(&f, "two", Some("openai")).await, [openai("sk-two")]);
    assert_eq!(secrets(&f, "two", Some("claude")).await, []);
    assert_eq!(secrets(&f, "none", None).await, []);
    // The accounts are the same as those of a list.
    let filter = AccountFilter { provider: None, bundle: Some(bundle_id("one")) };
    let listed = f.store.accounts(filter).await.unwrap().accounts;
    let found = f.store.credentials(&bundle_id("one"), None).await.unwrap().held;
    assert_eq!(found.into_iter().map(|held| (*held.account).clone()).collect::<Vec<_>>(), listed);
}

async fn api_key_leaves_no_sealed_secret_when_kept_elsewhere(f: Fixture) {
    let one = f.bundle("One").await.id;
    let save = |key: KeyPlace| SaveApiKey { key, ..api_key(DestinationBundle::Existing(one.clone()), "") };
    let sealed = f
        .store
        .save_api_key(api_key(DestinationBundle::Existing(one.clone()), "sk-0123456789abcdef"))
        .await
        .unwrap();
    let argv = || vec!["/usr/bin/pass".to_owned(), "show".to_owned()];
    for (key, expected) in [
        (KeyPlace::Env("WORK_KEY".to_owned()), SecretRef::Env { var: "WORK_KEY".to_owned() }),
        (KeyPlace::Command(argv()), SecretRef::Command { argv: argv() }),
    ] {
        let saved = f.store.save_api_key(save(key)).await.unwrap();
        assert_eq!(saved.account, sealed.account, "the key is replaced in its row");
        let account = f.store.account(&saved.account).await.unwrap();
        assert_eq!((account.secret_ref, account.masked_tail), (expected, None));
        assert_eq!(secrets(&f, "one", None).await, [("openai".to_owned(), None)]);
        assert!(matches!(
            f.store.open_secret(&saved.account).await,
            Err(StoreError::Secret(SecretError::Absent))
        ));
    }
}

/// There are more callers than one statement answers, two with the same question, and one whose account cannot be read.
async fn credentials_answer_each_caller_when_many_ask_at_once(f: Fixture) {
    for name in ["One", "Two", "Three"] {
        let bundle = f.bundle(name).await.id;
        f.login(bundle.as_str(), "a@x").await;
        f.store
            .save_api_key(api_key(DestinationBundle::Existing(bundle), &format!("sk-{name}")))
            .await
            .unwrap();
    }
    let broken = f.store.bound_account(&bundle_id("three"), &provider("codex")).await.unwrap().unwrap().id;
    f.place.execute(&format!("UPDATE accounts SET secret_ref = '{{' WHERE id = '{broken}'")).await;
    let key = |key: &str| vec![("openai".to_owned(), Some(key.to_owned()))];
    let both = |text: &str| [vec![("codex".to_owned(), None)], key(text)].concat();
    let cases = [
        ("one", None, both("sk-One"), 0),
        ("two", Some("openai"), key("sk-Two"), 0),
        ("none", None, vec![], 0),
        ("two", None, both("sk-Two"), 0),
        ("three", None, key("sk-Three"), 1),
        ("one", Some("claude"), vec![], 0),
    ];
    let ask = |number: usize| {
        let (bundle, of, ..) = &cases[number % cases.len()];
        let (store, bundle, of) = (f.store.clone(), bundle_id(bundle), of.map(provider));
        tokio::spawn(async move { store.credentials(&bundle, of.as_ref()).await.unwrap() })
    };
    let asked: Vec<_> = (0..150).map(ask).collect();
    for (number, answer) in asked.into_iter().enumerate() {
        let (bundle, of, held, corrupt) = &cases[number % cases.len()];
        let found = answer.await.unwrap();
        assert_eq!((opened(found.held), found.corrupt.len()), (held.clone(), *corrupt), "{bundle} {of:?}");
    }
}

/// On one thread no reader runs before all have asked. Callers that are answered by one statement share its accounts.
#[tokio::test]
async fn credentials_are_read_once_when_callers_ask_at_once() {
    run_local(async |f: Fixture| {
        f.bundle("One").await;
        f.login("one", "a@x").await;
        let one = bundle_id("one");
        let mut calls: Vec<_> = (0..64).map(|_| Box::pin(f.store.credentials(&one, None))).collect();
        for call in &mut calls {
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        let mut accounts = Vec::new();
        for call in calls {
            accounts.push(call.await.unwrap().held.remove(0).account);
        }
        assert!(accounts.iter().all(|account| Arc::ptr_eq(account, &accounts[0])));
    })
    .await;
}

async fn credentials_answer_other_callers_when_the_first_is_cancelled(f: Fixture) {
    f.bundle("One").await;
    f.store.save_api_key(api_key(DestinationBundle::Existing(bundle_id("one")), "sk-one")).await.unwrap();
    let one = bundle_id("one");
    // The first caller sends the reader. No task has run since then.
    let mut first = Box::pin(f.store.credentials(&one, None));
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(first);
    assert_eq!(secrets(&f, "one", None).await, [("openai".to_owned(), Some("sk-one".to_owned()))]);
    let waiting = f.store.credentials(&one, None);
    f.store.close().await;
    assert!(matches!(waiting.await, Err(StoreError::Unavailable(_))));
}

async fn credentials_report_rows_that_cannot_be_read_or_opened(f: Fixture) {
    let one = f.bundle("One").await.id;
    let login = f.login("one", "a@x").await.id;
    let key = f
        .store
        .save_api_key(api_key(DestinationBundle::Existing(one.clone()), "sk-one"))
        .await
        .unwrap()
        .account;
    f.place.execute(&format!("UPDATE accounts SET secret_ref = '{{' WHERE id = '{login}'")).await;
    f.place.execute(&format!("UPDATE accounts SET sealed_secret = NULL WHERE id = '{key}'")).await;
    let found = f.store.credentials(&one, None).await.unwrap();
    let reason = crate::harness::ALTERED.to_owned();
    assert_eq!(found.corrupt, [CorruptRow { id: login.to_string(), reason }]);
    let [held] = &found.held[..] else { panic!("{found:?}") };
    let Some(Err(error)) = &held.secret else { panic!("{found:?}") };
    assert!(matches!(**error, StoreError::Secret(SecretError::Absent)), "{found:?}");
}
