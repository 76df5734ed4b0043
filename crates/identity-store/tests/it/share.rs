use identity_store::{
    BundleId, Change, DestinationBundle, History, LONGEST_CHAIN, LoginCredential, SharePolicy, ShareSource,
};
use secrecy::SecretString;

use crate::harness::{Fixture, NOW, api_key, bundle_id, login, new_target, on_both, refusal};

on_both![
    new_bundle_has_the_persons_setup_unless_a_machine_uses_it,
    share_policy_is_changed_announced_and_kept,
    share_policy_is_refused_when_bundles_would_share_in_a_circle,
    share_chain_ends_at_a_deleted_bundle_and_follows_no_changed_row,
    share_policy_that_cannot_be_read_is_reported,
];

async fn policy(f: &Fixture, id: &str) -> SharePolicy {
    f.store.share_chain(&bundle_id(id)).await.unwrap().remove(0).1
}

fn of(id: &str) -> SharePolicy {
    SharePolicy { source: ShareSource::Bundle(bundle_id(id)), history: false }
}

async fn new_bundle_has_the_persons_setup_unless_a_machine_uses_it(f: Fixture) {
    f.bundle("Made").await;
    f.store.save_login(login(new_target("login", None), "a@x")).await.unwrap();
    f.store.save_api_key(api_key(new_target("key", None), "sk-1")).await.unwrap();
    let token = LoginCredential::Token(SecretString::from("shown-once"));
    let robot = identity_store::SaveLogin { credential: token, ..login(new_target("robot", None), "b@x") };
    f.store.save_login(robot).await.unwrap();
    for (id, expected) in [
        ("made", SharePolicy::MINE),
        ("login", SharePolicy::MINE),
        ("key", SharePolicy::MINE),
        ("robot", SharePolicy::NOTHING),
        ("blank", SharePolicy::NOTHING),
    ] {
        assert_eq!(policy(&f, id).await, expected, "{id}");
    }
    // A login into a bundle that exists changes nothing.
    f.store.set_share_policy(&bundle_id("made"), SharePolicy::NOTHING, NOW).await.unwrap();
    f.store.save_login(login(DestinationBundle::Existing(bundle_id("made")), "c@x")).await.unwrap();
    assert_eq!(policy(&f, "made").await, SharePolicy::NOTHING);
}

async fn share_policy_is_changed_announced_and_kept(f: Fixture) {
    f.bundle("Work").await;
    f.heard();
    let wanted = SharePolicy { source: ShareSource::Nothing, history: true };
    f.store.set_share_policy(&bundle_id("work"), wanted.clone(), NOW + 1).await.unwrap();
    assert_eq!((policy(&f, "work").await, f.heard()), (wanted.clone(), vec![Change::Bundles]));
    let before = f.state().await;
    f.store.set_share_policy(&bundle_id("work"), wanted, NOW + 2).await.unwrap();
    assert_eq!((f.state().await, f.heard()), (before, vec![]));
    assert_eq!(
        refusal(f.store.set_share_policy(&BundleId::blank(), SharePolicy::MINE, NOW).await),
        ("protected", "the bundle blank cannot be changed".to_owned())
    );
    let missing = ("not found", "no bundle gone".to_owned());
    assert_eq!(refusal(f.store.set_share_policy(&bundle_id("gone"), SharePolicy::MINE, NOW).await), missing);
    assert_eq!(refusal(f.store.set_share_policy(&bundle_id("work"), of("gone"), NOW).await), missing);
    assert_eq!(refusal(f.store.share_chain(&bundle_id("gone")).await), missing);
}

async fn share_policy_is_refused_when_bundles_would_share_in_a_circle(f: Fixture) {
    let names: Vec<String> = (0..=LONGEST_CHAIN).map(|number| format!("b{number}")).collect();
    for name in &names {
        f.bundle(name).await;
    }
    let circle = |id: &str| ("conflict", format!("bundle {id}: the bundle would take its setup from itself"));
    let set = async |id: &str, other: &str| f.store.set_share_policy(&bundle_id(id), of(other), NOW).await;
    assert_eq!(refusal(set("b0", "b0").await), circle("b0"));
    set("b1", "b0").await.unwrap();
    assert_eq!(refusal(set("b0", "b1").await), circle("b1"));
    for pair in names.windows(2).take(LONGEST_CHAIN - 1).skip(1) {
        set(&pair[1], &pair[0]).await.unwrap();
    }
    let last = names.len() - 1;
    assert_eq!(
        refusal(set("b0", &names[last - 1]).await),
        circle(&names[last - 1]),
        "the chain leads back to the bundle"
    );
    assert_eq!(
        refusal(set(&names[last], &names[last - 1]).await),
        (
            "conflict",
            format!("bundle {}: too many bundles take their setup from each other", names[last - 1])
        )
    );
}

async fn share_chain_ends_at_a_deleted_bundle_and_follows_no_changed_row(f: Fixture) {
    for name in ["a", "b", "c"] {
        f.bundle(name).await;
    }
    f.store.set_share_policy(&bundle_id("b"), of("a"), NOW).await.unwrap();
    f.store.set_share_policy(&bundle_id("c"), of("b"), NOW).await.unwrap();
    let ids = async |id: &str| -> Vec<String> {
        let chain = f.store.share_chain(&bundle_id(id)).await.unwrap();
        chain.into_iter().map(|(bundle, _)| bundle.to_string()).collect()
    };
    assert_eq!(ids("c").await, ["c", "b", "a"]);
    f.place.execute("UPDATE identity_bundles SET share = 'bundle:c' WHERE id = 'a'").await;
    // A row that another program changed is not followed.
    assert_eq!(refusal(f.store.share_chain(&bundle_id("c")).await).0, "corrupt");
    f.store.delete_bundle(&bundle_id("a"), History::Keep, NOW).await.unwrap();
    assert_eq!(ids("c").await, ["c", "b"]);
}

async fn share_policy_that_cannot_be_read_is_reported(f: Fixture) {
    f.bundle("Work").await;
    f.place.execute("UPDATE identity_bundles SET share = 'theirs' WHERE id = 'work'").await;
    let error = refusal(f.store.share_chain(&bundle_id("work")).await);
    assert_eq!(error.0, "corrupt", "{error:?}");
    assert_eq!(f.store.bundles().await.unwrap().len(), 1, "the other bundles are listed");
}
