use std::collections::BTreeSet;

use identity_store::{
    Binding, Bundle, BundleEdit, BundleId, Change, DeletedBundle, DestinationBundle, History, Leftover,
    NewBundle, Status, StoreError, UnboundPolicy, UnboundRule,
};

use crate::harness::{
    Fixture, NOW, account_dir, account_id, api_key, bundle_id, login, new_target, on_both, provider, refusal,
};

on_both![
    blank_bundle_always_exists_and_cannot_be_changed,
    bundle_is_created_read_renamed_and_listed,
    bundle_names_are_unique_without_regard_to_case,
    binding_is_made_moved_and_removed,
    bundle_deletion_removes_only_its_own_accounts,
    corrupt_bundle_does_not_hide_the_others,
    bundle_keeps_its_policy_for_unbound_providers,
];

async fn blank_bundle_always_exists_and_cannot_be_changed(f: Fixture) {
    let blank = BundleId::blank();
    let expected = Bundle {
        id: blank.clone(),
        name: "Blank".into(),
        description: String::new(),
        is_blank: true,
        created_at: NOW,
        updated_at: NOW,
        bindings: Vec::new(),
        unbound: UnboundPolicy::of(UnboundRule::Sealed),
    };
    assert_eq!(f.store.bundles().await.unwrap(), [expected]);
    let account = f.bundle("Team").await;
    let account = f.login(account.id.as_str(), "a@x").await;
    let before = f.state().await;
    let protected = ("protected", "the bundle blank cannot be changed".to_owned());
    let edit = BundleEdit { name: Some("Mine".into()), description: None, unbound: None };
    assert_eq!(refusal(f.store.update_bundle(&blank, edit, NOW).await), protected);
    assert_eq!(refusal(f.store.delete_bundle(&blank, History::Keep, NOW).await), protected);
    assert_eq!(refusal(f.store.bind(&blank, &account.id, NOW).await), protected);
    assert_eq!(refusal(f.store.unbind(&blank, &provider("codex"), NOW).await), protected);
    assert_eq!(
        refusal(f.store.save_login(login(DestinationBundle::Existing(blank.clone()), "a@x")).await),
        protected
    );
    assert_eq!(refusal(f.store.save_login(login(new_target("blank", None), "a@x")).await), protected);
    assert_eq!(
        refusal(f.store.save_api_key(api_key(DestinationBundle::Existing(blank.clone()), "sk-1")).await),
        protected
    );
    let again = NewBundle { id: blank, name: "Other".into(), description: String::new() };
    assert_eq!(
        refusal(f.store.create_bundle(again, NOW).await),
        ("conflict", "bundle blank: it exists already".to_owned())
    );
    assert_eq!(f.state().await, before);
}

async fn bundle_is_created_read_renamed_and_listed(f: Fixture) {
    let new = NewBundle { id: bundle_id("team"), name: "  Team  ".into(), description: "one\ntwo".into() };
    let made = f.store.create_bundle(new, NOW + 1).await.unwrap();
    let expected = Bundle {
        id: bundle_id("team"),
        name: "Team".into(),
        description: "one\ntwo".into(),
        is_blank: false,
        created_at: NOW + 1,
        updated_at: NOW + 1,
        bindings: Vec::new(),
        unbound: UnboundPolicy::default(),
    };
    assert_eq!(made, expected);
    assert_eq!(f.heard(), [Change::Bundles]);
    assert_eq!(f.store.bundle(&made.id).await.unwrap(), expected);
    assert_eq!(f.store.bundle_named(" tEAM ").await.unwrap(), Some(expected.clone()));
    assert_eq!(f.store.bundle_named("nobody").await.unwrap(), None);

    let edit = BundleEdit { name: Some("TEAM".into()), description: None, unbound: None };
    let renamed = f.store.update_bundle(&made.id, edit, NOW + 2).await.unwrap();
    assert_eq!(renamed, Bundle { name: "TEAM".into(), updated_at: NOW + 2, ..expected.clone() });
    let edit = BundleEdit { name: None, description: Some(String::new()), unbound: None };
    let emptied = f.store.update_bundle(&made.id, edit, NOW + 3).await.unwrap();
    assert_eq!(emptied.description, "");
    assert_eq!(f.heard(), [Change::Bundles, Change::Bundles]);
    let names: Vec<_> = f.store.bundles().await.unwrap().into_iter().map(|bundle| bundle.name).collect();
    assert_eq!(names, ["Blank", "TEAM"]);
}

async fn bundle_names_are_unique_without_regard_to_case(f: Fixture) {
    f.bundle("Team").await;
    f.bundle("Other").await;
    let before = f.state().await;
    let new =
        |id: &str, name: &str| NewBundle { id: bundle_id(id), name: name.into(), description: String::new() };
    let taken = |name: &str| ("conflict", format!("bundle name {name}: another bundle has it"));
    assert_eq!(refusal(f.store.create_bundle(new("x", "TEAM"), NOW).await), taken("TEAM"));
    assert_eq!(refusal(f.store.create_bundle(new("x", "blank"), NOW).await), taken("blank"));
    assert_eq!(
        refusal(f.store.create_bundle(new("team", "Free"), NOW).await),
        ("conflict", "bundle team: it exists already".to_owned())
    );
    let edit = |name: &str| BundleEdit { name: Some(name.into()), description: None, unbound: None };
    assert_eq!(refusal(f.store.update_bundle(&bundle_id("other"), edit("team"), NOW).await), taken("team"));
    for (name, text) in [
        ("", "invalid name: it is empty"),
        ("a\u{7}", "invalid name: it has a control character"),
        (&*"x".repeat(101), "invalid name: it is longer than 100 characters"),
    ] {
        assert_eq!(
            refusal(f.store.create_bundle(new("x", name), NOW).await),
            ("invalid name", text.to_owned())
        );
    }
    let missing = ("not found", "no bundle gone".to_owned());
    assert_eq!(refusal(f.store.update_bundle(&bundle_id("gone"), edit("New"), NOW).await), missing);
    assert_eq!(refusal(f.store.delete_bundle(&bundle_id("gone"), History::Keep, NOW).await), missing);
    assert_eq!(refusal(f.store.bundle(&bundle_id("gone")).await), missing);
    assert_eq!(f.state().await, before);
}

async fn binding_is_made_moved_and_removed(f: Fixture) {
    f.bundle("One").await;
    f.bundle("Two").await;
    let first = f.login("one", "a@x").await;
    let second = f.login("two", "b@x").await;
    f.heard();
    let bundle = f.store.bind(&bundle_id("one"), &second.id, NOW + 5).await.unwrap();
    let binding = Binding { provider: provider("codex"), account: second.id.clone(), status: Status::Valid };
    assert_eq!((bundle.bindings, bundle.updated_at), (vec![binding], NOW + 5));
    assert_eq!(
        f.heard(),
        [
            Change::Bindings(bundle_id("one")),
            Change::Account(second.id.clone()),
            Change::Account(first.id.clone())
        ]
    );
    assert_eq!(f.store.account(&second.id).await.unwrap().bound_to, [bundle_id("one"), bundle_id("two")]);
    assert_eq!(f.store.account(&first.id).await.unwrap().bound_to, []);

    // A binding that already exists is neither written nor announced.
    let before = f.state().await;
    f.store.bind(&bundle_id("one"), &second.id, NOW + 6).await.unwrap();
    assert_eq!((f.state().await, f.heard()), (before, vec![]));

    let bundle = f.store.unbind(&bundle_id("one"), &provider("codex"), NOW + 7).await.unwrap();
    assert_eq!(bundle.bindings, []);
    assert_eq!(f.heard(), [Change::Bindings(bundle_id("one")), Change::Account(second.id.clone())]);
    let before = f.state().await;
    assert_eq!(
        refusal(f.store.unbind(&bundle_id("one"), &provider("codex"), NOW).await),
        ("not found", "no binding one codex".to_owned())
    );
    assert_eq!(
        refusal(f.store.bind(&bundle_id("one"), &account_id("gone"), NOW).await),
        ("not found", "no account gone".to_owned())
    );
    assert_eq!(
        refusal(f.store.bind(&bundle_id("gone"), &second.id, NOW).await),
        ("not found", "no bundle gone".to_owned())
    );
    assert_eq!((f.state().await, f.heard()), (before, vec![]));
}

async fn bundle_deletion_removes_only_its_own_accounts(f: Fixture) {
    let one = f.bundle("One").await.id;
    f.bundle("Two").await;
    let shared = f.login("two", "a@x").await;
    f.store.bind(&one, &shared.id, NOW).await.unwrap();
    let own = f
        .store
        .save_api_key(api_key(DestinationBundle::Existing(one.clone()), "sk-own"))
        .await
        .unwrap()
        .account;
    let (bundle, account) = (f.store.bundle(&one).await.unwrap(), f.store.account(&own).await.unwrap());
    f.heard();

    let deleted = f.store.delete_bundle(&one, History::Remove, NOW + 1).await.unwrap();
    assert_eq!(deleted, DeletedBundle { bundle, accounts: vec![account], instances: 0, leftovers: vec![] });
    assert_eq!(
        f.heard(),
        [
            Change::Bundles,
            Change::Bindings(one.clone()),
            Change::Account(shared.id.clone()),
            Change::Account(own.clone()),
        ]
    );
    assert_eq!(refusal(f.store.account(&own).await), ("not found", format!("no account {own}")));
    assert_eq!(f.store.account(&shared.id).await.unwrap().bound_to, [bundle_id("two")]);
    assert_eq!(f.store.bound_account(&one, &provider("codex")).await.unwrap(), None);

    let gone = f.store.delete_bundle(&bundle_id("two"), History::Remove, NOW + 2).await.unwrap();
    let leftover =
        Leftover { provider: provider("codex"), dir: account_dir(&shared), history: History::Remove };
    assert_eq!(gone.leftovers, std::slice::from_ref(&leftover));
    assert_eq!(f.store.leftovers().await.unwrap(), [leftover]);
}

async fn corrupt_bundle_does_not_hide_the_others(f: Fixture) {
    f.bundle("Team").await;
    f.place
        .execute(
            "INSERT INTO identity_bundles (id, name, name_key, description, created_at, updated_at)
             VALUES ('../bad', 'Bad', 'bad', '', 1, 1)",
        )
        .await;
    let names: Vec<_> = f.store.bundles().await.unwrap().into_iter().map(|bundle| bundle.name).collect();
    assert_eq!(names, ["Blank", "Team"]);
    assert_eq!(refusal(f.store.bundle_named("bad").await).0, "corrupt");
}

async fn bundle_keeps_its_policy_for_unbound_providers(f: Fixture) {
    let new = NewBundle { id: bundle_id("team"), name: "Team".into(), description: String::new() };
    let made = f.store.create_bundle(new, NOW).await.unwrap();
    assert_eq!(made.unbound, UnboundPolicy::of(UnboundRule::Tools));
    let mut policy = UnboundPolicy::of(UnboundRule::Sealed);
    policy.decide("github".parse().unwrap(), true);
    policy.decide("aws".parse().unwrap(), false);
    policy.decide("aws".parse().unwrap(), true);
    let edit = BundleEdit { name: None, description: None, unbound: Some(policy.clone()) };
    assert_eq!(f.store.update_bundle(&made.id, edit, NOW + 1).await.unwrap().unbound, policy);
    assert_eq!(f.store.launch_policy(&made.id).await.unwrap(), (policy.clone(), BTreeSet::new()));
    let rules = ["github", "aws", "claude"].map(|provider| policy.rule_for(provider));
    assert_eq!(rules, [UnboundRule::Own, UnboundRule::Own, UnboundRule::Sealed]);
    let unknown = f.store.launch_policy(&bundle_id("none")).await.unwrap_err();
    assert!(matches!(unknown, StoreError::NotFound { .. }), "{unknown}");
}
