use identity_store::maintenance::{UnfitRow, UnopenedSecret};
use identity_store::{AccountId, DestinationBundle, Keyring, Rotation, SecretError, Store};
use secrecy::ExposeSecret as _;

use crate::harness::{Fixture, NOW, api_key, key, keyring, on_both, provider};

on_both![
    rotation_moves_every_secret_to_the_new_key,
    rotation_keeps_the_old_key_when_a_secret_does_not_open,
    others_write_meanwhile
];

/// The number of secrets, which is more than two batches.
const SECRETS: usize = 230;

async fn fill(f: &Fixture, secrets: usize) -> Vec<AccountId> {
    let bundle = f.bundle("One").await.id;
    let mut accounts = Vec::new();
    for number in 0..secrets {
        let mut save = api_key(DestinationBundle::Existing(bundle.clone()), &format!("sk-{number}"));
        save.provider = provider(&format!("p{number}"));
        accounts.push(f.store.save_api_key(save).await.unwrap().account);
    }
    accounts
}

async fn assert_opens(store: &Store, accounts: &[AccountId]) {
    for (number, account) in accounts.iter().enumerate() {
        assert_eq!(store.open_secret(account).await.unwrap().expose_secret(), format!("sk-{number}"));
    }
}

async fn rotation_moves_every_secret_to_the_new_key(f: Fixture) {
    let accounts = fill(&f, SECRETS).await;
    let untouched = f.store.rotate(NOW, |_| panic!("there is nothing to do")).await.unwrap();
    assert_eq!(untouched, Rotation::default());
    f.store.close().await;

    let both = Keyring::with_old(key("two"), vec![key("one"), key("two"), key("one")]);
    assert_eq!(both.old_key_ids(), [keyring("one").key_id()]);
    let store = f.place.open(both).await.unwrap();
    let mut steps = Vec::new();
    let rotation = store.rotate(NOW, |done| steps.push(done)).await.unwrap();
    // The last secret is the key of the audit log's chain.
    assert_eq!(steps, [100, 200, 230, 231]);
    // Bundles, accounts, bindings, the mark of the authentication and the census.
    let authenticated = 2 + 230 + 230 + 2;
    let retired = vec![keyring("one").key_id()];
    let expected = Rotation { resealed: 231, authenticated, retired, ..Rotation::default() };
    assert_eq!(rotation, expected);
    store.compact().await.unwrap();
    store.close().await;

    assert!(f.place.open(keyring("one")).await.is_err());
    let store = f.place.open(keyring("two")).await.unwrap();
    assert_opens(&store, &accounts).await;
    assert_eq!(store.unfit_rows().await.unwrap(), []);
    let states: Vec<_> = store.keys().await.unwrap().into_iter().map(|key| (key.id, key.state)).collect();
    assert!(states.contains(&(keyring("one").key_id(), "retired".to_owned())), "{states:?}");
    assert!(states.contains(&(keyring("two").key_id(), "active".to_owned())), "{states:?}");
    store.close().await;
}

async fn rotation_keeps_the_old_key_when_a_secret_does_not_open(f: Fixture) {
    let accounts = fill(&f, 2).await;
    f.store.close().await;
    f.place
        .execute(&format!("UPDATE accounts SET generation = generation + 1 WHERE id = '{}'", accounts[1]))
        .await;
    let both = || Keyring::with_old(key("two"), vec![key("one")]);
    let store = f.place.open(both()).await.unwrap();
    let one = keyring("one").key_id();
    let unopened = vec![UnopenedSecret {
        table: "accounts",
        row: accounts[1].to_string(),
        reason: SecretError::Mismatch,
    }];
    let row = accounts[1].to_string();
    let unfit = vec![UnfitRow { table: "accounts", row, reason: SecretError::Altered }];
    let expected = Rotation {
        resealed: 2,
        authenticated: 2 + 1 + 2 + 2,
        unfit,
        unopened: unopened.clone(),
        retired: vec![],
        needed: vec![one],
    };
    assert_eq!(store.rotate(NOW, |_| ()).await.unwrap(), expected);
    // A second run finds the same and changes nothing. Without the account the key is retired.
    let again = Rotation { resealed: 0, authenticated: 0, ..expected };
    assert_eq!(store.rotate(NOW, |_| ()).await.unwrap(), again);
    store.delete_account(&accounts[1], NOW).await.unwrap();
    let done = Rotation { retired: vec![one], ..Rotation::default() };
    assert_eq!(store.rotate(NOW, |_| ()).await.unwrap(), done);
    assert_opens(&store, &accounts[..1]).await;
    store.close().await;
}

/// A key that is replaced while it is being sealed again keeps its newer value.
async fn others_write_meanwhile(f: Fixture) {
    let accounts = fill(&f, 120).await;
    f.store.close().await;
    let both = || Keyring::with_old(key("two"), vec![key("one")]);
    let (one, other) = (f.place.open(both()).await.unwrap(), f.place.open(both()).await.unwrap());
    let bundle = crate::harness::bundle_id("one");
    let writer = tokio::spawn(async move {
        for number in 0..40 {
            let mut save = api_key(DestinationBundle::Existing(bundle.clone()), &format!("sk-new-{number}"));
            save.provider = provider(&format!("p{number}"));
            other.save_api_key(save).await.unwrap();
        }
        other.close().await;
    });
    let rotation = one.rotate(NOW, |_| ()).await.unwrap();
    writer.await.unwrap();
    assert_eq!(rotation.retired, [keyring("one").key_id()]);
    one.close().await;
    let store = f.place.open(keyring("two")).await.unwrap();
    for (number, account) in accounts.iter().enumerate() {
        let expected = if number < 40 { format!("sk-new-{number}") } else { format!("sk-{number}") };
        assert_eq!(store.open_secret(account).await.unwrap().expose_secret(), expected);
    }
    store.close().await;
}
