//! Agent instances, and the tombstones of items that must not come back.

use identity_store::{
    BundleId, DestinationBundle, History, Instance, InstanceFilter, InstanceId, NewInstance,
};

use crate::adopt::own;
use crate::harness::{Fixture, NOW, api_key, bundle_id, login, new_target, on_both, provider, refusal};

on_both![
    instance_can_be_moved_between_bundles_until_it_ends,
    bundle_deletion_detaches_its_instances,
    backfill_moves_running_instances_without_bundle_once,
    instance_calls_change_nothing_when_refused,
    store_keeps_only_last_thousand_ended_instances,
    store_remembers_provider_as_declined_when_its_login_is_removed,
];

fn new(definition: &str, bundle: Option<&str>) -> NewInstance {
    NewInstance { definition: definition.into(), name: None, bundle: bundle.map(bundle_id) }
}

fn running() -> InstanceFilter {
    InstanceFilter::default()
}

async fn instance_can_be_moved_between_bundles_until_it_ends(f: Fixture) {
    let one = f.bundle("One").await.id;
    let made = NewInstance { name: Some(" Reviewer ".into()), ..new("agent-1", Some("one")) };
    let made = f.store.create_instance(made, NOW).await.unwrap();
    let expected = Instance {
        id: made.id.clone(),
        definition: "agent-1".into(),
        name: "Reviewer".into(),
        bundle: Some(one.clone()),
        created_at: NOW,
        updated_at: NOW,
        ended_at: None,
    };
    assert_eq!(made, expected);
    let unnamed = f.store.create_instance(new("agent-2", None), NOW + 1).await.unwrap();
    assert_eq!((unnamed.name.as_str(), &unnamed.bundle), ("agent-2", &None));
    assert_eq!(f.store.instances(running()).await.unwrap(), [made.clone(), unnamed.clone()]);
    let under_one = InstanceFilter { bundle: Some(one.clone()), ended: false };
    assert_eq!(f.store.instances(under_one).await.unwrap(), std::slice::from_ref(&made));

    let moved = f.store.move_instance(&unnamed.id, Some(&one), NOW + 2).await.unwrap();
    assert_eq!((moved.bundle.as_ref(), moved.updated_at), (Some(&one), NOW + 2));
    assert_eq!(f.store.move_instance(&unnamed.id, None, NOW + 3).await.unwrap().bundle, None);

    assert!(f.store.end_instance(&made.id, NOW + 4).await.unwrap());
    assert!(!f.store.end_instance(&made.id, NOW + 5).await.unwrap());
    assert_eq!(f.store.instance(&made.id).await.unwrap().ended_at, Some(NOW + 4));
    assert_eq!(f.store.instances(running()).await.unwrap().len(), 1);
    let all = InstanceFilter { ended: true, ..running() };
    assert_eq!(f.store.instances(all).await.unwrap().len(), 2);
    let late = f.store.move_instance(&made.id, Some(&one), NOW + 6).await;
    assert_eq!(refusal(late), ("conflict", format!("instance {}: it has ended", made.id)));
}

async fn bundle_deletion_detaches_its_instances(f: Fixture) {
    let one = f.bundle("One").await.id;
    let made = f.store.create_instance(new("agent", Some("one")), NOW).await.unwrap();
    let ended = f.store.create_instance(new("agent", Some("one")), NOW).await.unwrap();
    f.store.end_instance(&ended.id, NOW).await.unwrap();
    assert_eq!(f.store.delete_bundle(&one, History::Keep, NOW + 1).await.unwrap().instances, 1);
    assert_eq!(f.store.instance(&made.id).await.unwrap().bundle, None);
    assert_eq!(f.store.instance(&ended.id).await.unwrap().bundle, None);
}

async fn backfill_moves_running_instances_without_bundle_once(f: Fixture) {
    let default = BundleId::default_bundle();
    let missing = f.store.backfill_instances(&default, NOW).await;
    assert_eq!(refusal(missing), ("not found", "no bundle default".to_owned()));
    f.bundle("One").await;
    let placed = f.store.create_instance(new("agent", Some("one")), NOW).await.unwrap();
    let homeless = f.store.create_instance(new("agent", None), NOW).await.unwrap();
    let blank = f.store.create_instance(new("agent", Some("blank")), NOW).await.unwrap();
    let ended = f.store.create_instance(new("agent", None), NOW).await.unwrap();
    f.store.end_instance(&ended.id, NOW).await.unwrap();
    f.store.adopt_logins(vec![own("codex", "/home/u/.codex", "a@x")], NOW).await.unwrap();

    assert_eq!(f.store.backfill_instances(&default, NOW + 1).await.unwrap(), 2);
    assert_eq!(f.store.backfill_instances(&default, NOW + 2).await.unwrap(), 0);
    for (instance, bundle) in [
        (&placed, Some(bundle_id("one"))),
        (&homeless, Some(default.clone())),
        (&blank, Some(default)),
        (&ended, None),
    ] {
        assert_eq!(f.store.instance(&instance.id).await.unwrap().bundle, bundle);
    }
}

async fn instance_calls_change_nothing_when_refused(f: Fixture) {
    let before = f.state().await;
    for (instance, text) in [
        (new("", None), "invalid definition_id: it is empty"),
        (
            NewInstance { name: Some("a\nb".into()), ..new("agent", None) },
            "invalid name: it has a control character",
        ),
        (new("agent", Some("nobody")), "no bundle nobody"),
    ] {
        assert_eq!(refusal(f.store.create_instance(instance, NOW).await).1, text);
    }
    let unknown = InstanceId::generate();
    for refused in [
        f.store.instance(&unknown).await.map(drop),
        f.store.move_instance(&unknown, None, NOW).await.map(drop),
        f.store.end_instance(&unknown, NOW).await.map(drop),
    ] {
        assert_eq!(refusal(refused), ("not found", format!("no instance {unknown}")));
    }
    assert_eq!(f.state().await, before);
}

async fn store_keeps_only_last_thousand_ended_instances(f: Fixture) {
    let mut last = None;
    for number in 0..1003 {
        let made = f.store.create_instance(new("agent", None), NOW).await.unwrap();
        assert!(f.store.end_instance(&made.id, NOW + number).await.unwrap());
        last = Some(made.id);
    }
    let all = InstanceFilter { ended: true, ..running() };
    assert_eq!(f.store.instances(all).await.unwrap().len(), 1000);
    assert!(f.store.instance(&last.unwrap()).await.is_ok());
}

async fn store_remembers_provider_as_declined_when_its_login_is_removed(f: Fixture) {
    let declined = async || f.store.declined_providers().await.unwrap();
    f.bundle("One").await;
    let one = f.login("one", "a@x").await;
    let key = f.store.save_api_key(api_key(new_target("keys", None), "sk-1")).await.unwrap();
    f.store.delete_account(&key.account, NOW).await.unwrap();
    assert_eq!(declined().await, []);
    f.store.delete_account(&one.id, NOW).await.unwrap();
    assert_eq!(declined().await, [provider("codex")]);

    let claude = |target| identity_store::SaveLogin { provider: provider("claude"), ..login(target, "a@x") };
    f.store.save_login(claude(new_target("two", None))).await.unwrap();
    f.store.unbind(&bundle_id("two"), &provider("claude"), NOW).await.unwrap();
    assert_eq!(
        declined().await,
        [provider("codex")],
        "another bundle's binding says nothing of the user's own login"
    );
    f.store.save_login(claude(DestinationBundle::Existing(bundle_id("two")))).await.unwrap();
    f.store.delete_bundle(&bundle_id("two"), History::Keep, NOW).await.unwrap();
    assert_eq!(declined().await, [provider("claude"), provider("codex")]);

    f.store.adopt_logins(vec![own("gemini", "/home/u", "a@x")], NOW).await.unwrap();
    f.store.unbind(&BundleId::default_bundle(), &provider("gemini"), NOW).await.unwrap();
    assert_eq!(declined().await.len(), 3);
}
