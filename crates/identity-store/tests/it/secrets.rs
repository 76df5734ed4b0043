use identity_store::{DestinationBundle, Keyring, SecretError, StoreError};
use secrecy::ExposeSecret as _;

use crate::harness::{Fixture, NOW, account_id, api_key, bundle_id, key, keyring, on_both, refusal};

on_both![
    sealed_secret_opens_only_in_its_own_row_and_generation,
    secret_appears_in_no_output_table_or_file,
    keyring_opens_secrets_of_the_old_key_after_rotation,
    open_secret_fails_when_the_account_has_none,
];

/// The secret that must not appear anywhere.
const PLANTED: &str = "sk-planted-5b1f0c6e-not-to-be-found";

async fn sealed_secret_opens_only_in_its_own_row_and_generation(f: Fixture) {
    let one = f.bundle("One").await.id;
    let two = f.bundle("Two").await.id;
    let first = f
        .store
        .save_api_key(api_key(DestinationBundle::Existing(one.clone()), "sk-first"))
        .await
        .unwrap()
        .account;
    let second =
        f.store.save_api_key(api_key(DestinationBundle::Existing(two), "sk-second")).await.unwrap().account;
    f.place
        .execute(&format!(
            "CREATE TABLE old AS SELECT id, sealed_secret FROM accounts;
             UPDATE accounts SET sealed_secret = (SELECT sealed_secret FROM old WHERE old.id = '{second}')
             WHERE id = '{first}'"
        ))
        .await;
    let why = async || match f.store.open_secret(&first).await {
        Err(StoreError::Secret(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(why().await, SecretError::Mismatch);

    // An older box of the same row is refused too, because the generation has increased.
    f.store.save_api_key(api_key(DestinationBundle::Existing(one), "sk-newer")).await.unwrap();
    assert_eq!(f.store.open_secret(&first).await.unwrap().expose_secret(), "sk-newer");
    f.place
        .execute(&format!(
            "UPDATE accounts SET sealed_secret = (SELECT sealed_secret FROM old WHERE old.id = '{first}')
             WHERE id = '{first}'"
        ))
        .await;
    assert_eq!(why().await, SecretError::Mismatch);
    f.place.execute(&format!("UPDATE accounts SET sealed_secret = NULL WHERE id = '{first}'")).await;
    assert_eq!(why().await, SecretError::Absent);
}

async fn secret_appears_in_no_output_table_or_file(f: Fixture) {
    let one = f.bundle("One").await.id;
    let save = api_key(DestinationBundle::Existing(one.clone()), PLANTED);
    assert!(!format!("{save:?}").contains("planted"));
    let account = f.store.save_api_key(save).await.unwrap().account;
    let gone = api_key(DestinationBundle::Existing(bundle_id("gone")), PLANTED);
    let error = f.store.save_api_key(gone).await.unwrap_err();
    let bad = api_key(DestinationBundle::Existing(one), &format!("{PLANTED}\n"));
    let bad = f.store.save_api_key(bad).await.unwrap_err();
    let secret = f.store.open_secret(&account).await.unwrap();
    let account = f.store.account(&account).await.unwrap();
    let log = f.store.audit_log(100).await.unwrap();
    let shown = format!("{error} {error:?} {bad} {bad:?} {secret:?} {account:?} {log:?} {:?}", f.store);
    assert!(!shown.contains("planted"), "{shown}");
    assert_eq!(secret.expose_secret(), PLANTED);

    for table in ["accounts", "identity_bundles", "audit_log", "login_sessions", "crypto_keys"] {
        let rows = match f.place.kind {
            identity_store::DatabaseKind::Sqlite => continue,
            identity_store::DatabaseKind::Postgres => {
                f.place.texts(&format!("SELECT encode({table}::text::bytea, 'escape') FROM {table}")).await
            }
        };
        assert!(!rows.concat().contains("planted"), "{table}");
    }
    if f.place.kind == identity_store::DatabaseKind::Sqlite {
        let mut files = 0;
        for entry in std::fs::read_dir(f.place.directory()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(7).any(|window| window == b"planted"), "{}", path.display());
            files += 1;
        }
        assert!(files >= 3, "the database and its log were looked at");
    }
}

async fn keyring_opens_secrets_of_the_old_key_after_rotation(f: Fixture) {
    let one = f.bundle("One").await.id;
    let old = f
        .store
        .save_api_key(api_key(DestinationBundle::Existing(one.clone()), "sk-old"))
        .await
        .unwrap()
        .account;
    f.store.close().await;

    let store = f.place.open(Keyring::with_old(key("two"), vec![key("one")])).await.unwrap();
    assert_eq!(store.open_secret(&old).await.unwrap().expose_secret(), "sk-old");
    store.save_api_key(api_key(DestinationBundle::Existing(one), "sk-new")).await.unwrap();
    assert_eq!(store.open_secret(&old).await.unwrap().expose_secret(), "sk-new");
    store.close().await;

    let states = f.place.texts("SELECT key_id || ' ' || state FROM crypto_keys ORDER BY state").await;
    let (one, two) = (keyring("one").key_id(), keyring("two").key_id());
    assert_eq!(states, [format!("{two} active"), format!("{one} old")]);
    // The old key may still be needed, so neither key alone is sufficient.
    assert!(f.place.open(keyring("two")).await.is_err());
    assert!(f.place.open(keyring("one")).await.is_err());
    f.place.open(Keyring::with_old(key("two"), vec![key("one")])).await.unwrap().close().await;
}

async fn open_secret_fails_when_the_account_has_none(f: Fixture) {
    f.bundle("One").await;
    let account = f.login("one", "a@x").await;
    assert_eq!(
        refusal(f.store.open_secret(&account.id).await),
        ("secret", "the account has no sealed secret".to_owned())
    );
    assert_eq!(refusal(f.store.open_secret(&account_id("gone")).await).0, "not found");
    f.store.put_setting("alive", "yes", NOW).await.unwrap();
}
