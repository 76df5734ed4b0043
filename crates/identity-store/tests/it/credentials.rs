use identity_store::{
    AccountFilter, CorruptRow, KeyPlace, SaveApiKey, SecretError, SecretRef, StoreError, Target,
};
use secrecy::ExposeSecret as _;

use crate::harness::{Fixture, api_key, bundle_id, on_both, provider};

on_both![
    a_bundle_has_its_accounts_with_their_secrets,
    a_key_elsewhere_leaves_nothing_sealed,
    what_cannot_be_read_or_opened_is_said,
];

/// Each account's provider with the secret in its row.
async fn secrets(f: &Fixture, bundle: &str, of: Option<&str>) -> Vec<(String, Option<String>)> {
    let of = of.map(provider);
    let found = f.store.credentials(&bundle_id(bundle), of.as_ref()).await.unwrap();
    assert_eq!(found.corrupt, []);
    let secret = |held: identity_store::Held| {
        let opened = held.secret.map(|secret| secret.unwrap().expose_secret().to_owned());
        (held.account.provider.to_string(), opened)
    };
    found.held.into_iter().map(secret).collect()
}

async fn a_bundle_has_its_accounts_with_their_secrets(f: Fixture) {
    f.bundle("One").await;
    let two = f.bundle("Two").await.id;
    let login = f.login("one", "a@x").await;
    for (bundle, key) in [("one", "sk-one"), ("two", "sk-two")] {
        let mut save = api_key(Target::Existing(bundle_id(bundle)), key);
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
    // The accounts are the ones that a list shows.
    let filter = AccountFilter { provider: None, bundle: Some(bundle_id("one")) };
    let listed = f.store.accounts(filter).await.unwrap().accounts;
    let found = f.store.credentials(&bundle_id("one"), None).await.unwrap().held;
    assert_eq!(found.into_iter().map(|held| held.account).collect::<Vec<_>>(), listed);
}

async fn a_key_elsewhere_leaves_nothing_sealed(f: Fixture) {
    let one = f.bundle("One").await.id;
    let save = |key: KeyPlace| SaveApiKey { key, ..api_key(Target::Existing(one.clone()), "") };
    let sealed =
        f.store.save_api_key(api_key(Target::Existing(one.clone()), "sk-0123456789abcdef")).await.unwrap();
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

async fn what_cannot_be_read_or_opened_is_said(f: Fixture) {
    let one = f.bundle("One").await.id;
    let login = f.login("one", "a@x").await.id;
    let key = f.store.save_api_key(api_key(Target::Existing(one.clone()), "sk-one")).await.unwrap().account;
    f.place.execute(&format!("UPDATE accounts SET secret_ref = '{{' WHERE id = '{login}'")).await;
    f.place.execute(&format!("UPDATE accounts SET sealed_secret = NULL WHERE id = '{key}'")).await;
    let found = f.store.credentials(&one, None).await.unwrap();
    let reason = "its secret reference is not valid (line 1, column 1)".to_owned();
    assert_eq!(found.corrupt, [CorruptRow { id: login.to_string(), reason }]);
    let [held] = &found.held[..] else { panic!("{found:?}") };
    assert!(matches!(held.secret, Some(Err(StoreError::Secret(SecretError::Absent)))), "{found:?}");
}
