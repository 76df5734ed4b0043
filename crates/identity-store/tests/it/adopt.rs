use identity_store::{
    AdoptedLogin, Change, DestinationBundle, Evidence, NewInstance, OwnLogin, SecretRef, Status, StoreError,
};

use crate::harness::{
    Fixture, NOW, account_id, api_key, bundle_id, login, new_target, on_both, provider, refusal,
};

on_both![
    adoption_makes_one_bundle_and_announces_it_once,
    adoption_keeps_the_other_logins_when_one_is_refused,
    adoption_reuses_the_account_when_the_directory_is_the_same,
    adoption_is_rolled_back_when_a_write_fails,
    store_lists_bound_providers_and_perishable_accounts,
];

async fn store_lists_bound_providers_and_perishable_accounts(f: Fixture) {
    let default = identity_store::BundleId::default_bundle();
    let known = async || {
        let store = &f.store;
        (store.bound_providers().await.unwrap(), store.has_bundle(&default).await.unwrap())
    };
    assert_eq!(known().await, (vec![], false));
    f.bundle("One").await;
    f.bundle("Two").await;
    let first = f.login("one", "a@x").await;
    let second = f.login("two", "b@x").await;
    let key = api_key(DestinationBundle::Existing(bundle_id("one")), "sk-1");
    let key = f.store.save_api_key(key).await.unwrap().account;
    f.store.adopt_logins(vec![own("claude", "/home/u/.claude", "c@x")], NOW).await.unwrap();
    assert_eq!(known().await, (["claude", "codex", "openai"].map(provider).to_vec(), true));
    let perishable = f.store.perishable_accounts().await.unwrap();
    assert!(perishable.contains(&first.id) && perishable.contains(&second.id) && !perishable.contains(&key));
    assert_eq!(perishable.len(), 3);
    let none = account_id("none");
    let some = f.store.perishable_among(&[second.id.clone(), key, none, first.id.clone()]).await.unwrap();
    assert_eq!(some, [second.id.clone(), first.id.clone()]);
}

pub(crate) fn own(id: &str, dir: &str, email: &str) -> OwnLogin {
    OwnLogin {
        provider: provider(id),
        provider_name: id.to_uppercase(),
        dir: dir.into(),
        email: Some(email.into()),
        subject: None,
        expires_at: Some(NOW + 1000),
        login_deadline_at: Some(NOW + 5000),
    }
}

async fn adoption_makes_one_bundle_and_announces_it_once(f: Fixture) {
    f.bundle("other").await;
    let taken = identity_store::BundleEdit { name: Some("DEFAULT".into()), description: None, unbound: None };
    f.store.update_bundle(&bundle_id("other"), taken, NOW).await.unwrap();
    f.heard();
    let expired = OwnLogin { expires_at: Some(NOW), ..own("claude", "/home/u/.claude", "b@x") };
    let adopted =
        f.store.adopt_logins(vec![own("codex", "/home/u/.codex", "a@x"), expired], NOW).await.unwrap();
    assert!(adopted.bundle_created);
    let ids: Vec<_> = adopted.outcomes.into_iter().map(|outcome| outcome.unwrap().account).collect();
    let bundle = f.store.bundle(&bundle_id("default")).await.unwrap();
    assert_eq!((bundle.name.as_str(), bundle.bindings.len()), ("Default 2", 2));
    let codex = f.store.account(&ids[0]).await.unwrap();
    assert_eq!(codex.secret_ref, SecretRef::ConfigDir { dir: "/home/u/.codex".into(), adopted: true });
    assert_eq!(
        (codex.name.as_str(), codex.status, codex.evidence),
        ("CODEX (a@x)", Status::Valid, Evidence::File)
    );
    assert_eq!((codex.expires_at, codex.login_deadline_at), (Some(NOW + 1000), Some(NOW + 5000)));
    assert_eq!(f.store.account(&ids[1]).await.unwrap().status, Status::Expired);
    assert_eq!(
        f.heard(),
        [
            Change::Bundles,
            Change::Bindings(bundle_id("default")),
            Change::Account(ids[0].clone()),
            Change::Account(ids[1].clone()),
        ]
    );
    let before = f.state().await;
    let again = f.store.adopt_logins(vec![own("codex", "/home/u/.codex", "a@x")], NOW).await.unwrap();
    assert!(!again.bundle_created);
    assert_eq!(
        again.outcomes.into_iter().map(refusal).collect::<Vec<_>>(),
        [("conflict", "binding codex: a bundle has one already".to_owned())]
    );
    assert!(f.store.adopt_logins(vec![], NOW).await.unwrap().outcomes.is_empty());
    assert_eq!((f.state().await, f.heard()), (before, vec![]));
}

async fn adoption_keeps_the_other_logins_when_one_is_refused(f: Fixture) {
    f.store.save_login(login(new_target("work", Some("Work")), "a@x")).await.unwrap();
    let before = f.state().await;
    f.heard();
    let bad = || vec![own("codex", "/home/u/.codex", "a@x"), own("claude", "relative", "b@x")];
    let refused = f.store.adopt_logins(bad(), NOW).await.unwrap();
    assert!(!refused.bundle_created);
    let kinds: Vec<_> = refused.outcomes.into_iter().map(|outcome| refusal(outcome).0).collect();
    assert_eq!(kinds, ["conflict", "invalid name"]);
    assert_eq!((f.state().await, f.heard()), (before, vec![]), "nothing was adopted, so nothing was made");

    let mut logins = bad();
    logins.push(own("gemini", "/home/u", "c@x"));
    let adopted = f.store.adopt_logins(logins, NOW).await.unwrap();
    let kept: Vec<bool> = adopted.outcomes.iter().map(Result::is_ok).collect();
    assert_eq!((adopted.bundle_created, kept), (true, vec![false, false, true]));
    assert_eq!(f.store.bundle(&bundle_id("default")).await.unwrap().bindings.len(), 1);
}

async fn adoption_reuses_the_account_when_the_directory_is_the_same(f: Fixture) {
    let logins = || vec![own("codex", "/home/u/.codex", "a@x")];
    let adopt = async |logins: Vec<OwnLogin>| -> Result<AdoptedLogin, StoreError> {
        f.store.adopt_logins(logins, NOW).await.unwrap().outcomes.remove(0)
    };
    let first = adopt(logins()).await.unwrap();
    f.store.unbind(&bundle_id("default"), &provider("codex"), NOW).await.unwrap();
    let again = adopt(logins()).await.unwrap();
    assert_eq!(again, AdoptedLogin { account: first.account.clone(), reused: true });
    f.store.unbind(&bundle_id("default"), &provider("codex"), NOW).await.unwrap();
    let before = f.state().await;
    let stranger = adopt(vec![own("codex", "/home/u/.codex", "eve@x")]).await;
    assert_eq!(refusal(stranger).0, "identity mismatch");
    assert_eq!(f.state().await, before);
    let elsewhere = adopt(vec![own("codex", "/home/v/.codex", "a@x")]).await.unwrap();
    assert!(!elsewhere.reused && elsewhere.account != first.account);
}

/// The database refuses writes to one table after another. Nothing of the failed run stays, and the next run succeeds.
async fn adoption_is_rolled_back_when_a_write_fails(f: Fixture) {
    let new = NewInstance { definition: "agent".into(), name: None, bundle: None };
    f.store.create_instance(new, NOW).await.unwrap();
    let logins = || vec![own("codex", "/home/u/.codex", "a@x"), own("claude", "/home/u/.claude", "b@x")];
    f.heard();
    for table in ["identity_bundles", "accounts", "identity_bindings", "audit_log"] {
        let before = f.state().await;
        refuse(&f, table, "INSERT").await;
        f.store.adopt_logins(logins(), NOW).await.unwrap_err();
        allow(&f, table).await;
        assert_eq!((f.state().await, f.heard()), (before, vec![]), "{table}");
    }
    let adopted = f.store.adopt_logins(logins(), NOW).await.unwrap();
    assert!(adopted.outcomes.iter().all(Result::is_ok));
    let default = bundle_id("default");
    refuse(&f, "agent_instances", "UPDATE").await;
    f.store.backfill_instances(&default, NOW).await.unwrap_err();
    allow(&f, "agent_instances").await;
    assert_eq!(f.store.backfill_instances(&default, NOW).await.unwrap(), 1);
    f.store.save_login(login(DestinationBundle::Existing(default), "a@x")).await.unwrap();
}

async fn refuse(f: &Fixture, table: &str, what: &str) {
    let text = match f.place.kind {
        identity_store::DatabaseKind::Sqlite => format!(
            "CREATE TRIGGER planted BEFORE {what} ON {table} BEGIN SELECT RAISE(ABORT, 'planted'); END"
        ),
        identity_store::DatabaseKind::Postgres => format!(
            "CREATE OR REPLACE FUNCTION planted() RETURNS trigger AS 'BEGIN RAISE EXCEPTION ''planted''; END' \
             LANGUAGE plpgsql; CREATE TRIGGER planted BEFORE {what} ON {table} FOR EACH ROW EXECUTE FUNCTION planted()"
        ),
    };
    f.place.execute(&text).await;
}

async fn allow(f: &Fixture, table: &str) {
    let text = match f.place.kind {
        identity_store::DatabaseKind::Sqlite => "DROP TRIGGER planted".to_owned(),
        identity_store::DatabaseKind::Postgres => format!("DROP TRIGGER planted ON {table}"),
    };
    f.place.execute(&text).await;
}
