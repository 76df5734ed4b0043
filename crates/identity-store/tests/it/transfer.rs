use identity_store::{DestinationBundle, History, LeftOut, Status};
use secrecy::ExposeSecret as _;

use crate::harness::{Fixture, NOW, api_key, bundle_id, keyring, on_both, provider, refusal};

on_both![
    bundle_import_adds_a_copy_and_keeps_ids_that_are_free,
    bundle_export_leaves_out_a_login_in_a_directory,
    refused_import_or_export_changes_nothing,
];

async fn filled(f: &Fixture) {
    f.bundle("One").await;
    for (name, secret) in [("openai", "sk-planted-openai"), ("groq", "sk-planted-groq-0123456789")] {
        let mut save = api_key(DestinationBundle::Existing(bundle_id("one")), secret);
        save.provider = provider(name);
        f.store.save_api_key(save).await.unwrap();
    }
}

async fn bundle_import_adds_a_copy_and_keeps_ids_that_are_free(f: Fixture) {
    filled(&f).await;
    let (portable, left_out) = f.store.export_bundle(&bundle_id("one"), NOW).await.unwrap();
    assert_eq!(left_out, []);
    assert!(!format!("{portable:?}").contains("planted"));
    let log = f.store.audit_log(3).await.unwrap();
    let told: Vec<_> = log.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(told, ["bundle.export", "account.export", "account.export"]);
    let before = f.state().await;

    let imported = f.store.import_bundle(portable.clone(), NOW).await.unwrap();
    assert_eq!(imported.name, "One 2");
    assert_ne!(imported.bundle, bundle_id("one"));
    let (bundles, accounts, ..) = f.state().await;
    assert!(before.0.iter().all(|old| bundles.contains(old)), "what was there is as it was");
    assert!(before.1.accounts.iter().all(|old| accounts.accounts.contains(old)));
    for (id, original) in imported.accounts.iter().zip(&portable.accounts) {
        let account = f.store.account(id).await.unwrap();
        assert_ne!(*id, original.id);
        assert_eq!((account.status, account.bound_to), (Status::Unknown, vec![imported.bundle.clone()]));
        assert_eq!((account.provider, account.name), (original.provider.clone(), original.name.clone()));
        let secret = f.store.open_secret(id).await.unwrap();
        assert_eq!(secret.expose_secret(), original.secret.expose_secret());
    }
    assert_eq!(f.store.account(&imported.accounts[0]).await.unwrap().masked_tail.as_deref(), Some("6789"));

    // Ids that are free are kept.
    f.store.delete_bundle(&bundle_id("one"), History::Keep, NOW).await.unwrap();
    let back = f.store.import_bundle(portable.clone(), NOW).await.unwrap();
    assert_eq!(back.bundle, bundle_id("one"));
    assert_eq!(back.name, "One");
    assert_eq!(back.accounts, portable.accounts.iter().map(|a| a.id.clone()).collect::<Vec<_>>());
    assert_eq!(f.store.check_audit().await.unwrap().fault, None);
}

async fn bundle_export_leaves_out_a_login_in_a_directory(f: Fixture) {
    filled(&f).await;
    f.login("one", "a@x").await;
    let (portable, left_out) = f.store.export_bundle(&bundle_id("one"), NOW).await.unwrap();
    assert_eq!(portable.accounts.len(), 2);
    let expected = LeftOut {
        provider: provider("codex"),
        name: left_out[0].name.clone(),
        email: Some("a@x".into()),
        is_login: true,
    };
    assert_eq!(left_out, [expected]);
    assert_eq!(refusal(f.store.export_bundle(&bundle_id("gone"), NOW).await.map(|_| ())).0, "not found");
}

async fn refused_import_or_export_changes_nothing(f: Fixture) {
    filled(&f).await;
    let (portable, _) = f.store.export_bundle(&bundle_id("one"), NOW).await.unwrap();
    let before = f.state().await;
    let mut twice = portable.clone();
    twice.accounts[1].provider = twice.accounts[0].provider.clone();
    let mut bad_secret = portable.clone();
    bad_secret.accounts[1].secret = "a\nb".into();
    let mut bad_name = portable;
    bad_name.name = String::new();
    for bad in [twice, bad_secret, bad_name] {
        assert_eq!(refusal(f.store.import_bundle(bad, NOW).await).0, "invalid name");
        assert_eq!(f.state().await, before);
    }
    // No secret is exported if one box cannot be opened.
    f.store.close().await;
    f.place.execute("UPDATE accounts SET sealed_secret = NULL").await;
    let store = f.place.open(keyring("one")).await.unwrap();
    assert_eq!(refusal(store.export_bundle(&bundle_id("one"), NOW).await.map(|_| ())).0, "secret");
    assert_eq!(store.audit_log(1000).await.unwrap().len(), before.2);
    store.close().await;
}
