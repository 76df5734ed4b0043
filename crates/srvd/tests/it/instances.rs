//! Agent instances over the wire.

use serde_json::{Value, json};

use crate::logins::log_in;
use crate::support::fake;
use crate::support::{Home, credentials};

#[tokio::test(flavor = "multi_thread")]
async fn instance_launches_with_the_accounts_of_its_bundle() {
    let daemon = fake::home(fake::HAPPY).start();
    let login = log_in(&daemon, json!({"recipe": "pipe", "bundleName": "Work"})).await;
    let bundle = &login["bundleId"];
    let made = daemon.call("instance.create", json!({"definitionId": "reviewer", "bundleId": ""})).await;
    let facts = ["definitionId", "name", "bundleId"].map(|field| made[field].clone());
    assert_eq!(facts, [json!("reviewer"), json!("reviewer"), Value::Null]);
    let id = &made["id"];
    // Without a bundle, the instance runs without an identity.
    let launch = daemon.call("launch.resolve", json!({"instanceId": id})).await;
    let empty = daemon.home.dir("data/identities/blank/fake");
    assert_eq!(credentials(&launch), json!({"FAKE_HOME": empty}));

    let moved = daemon.call("instance.update", json!({"instanceId": id, "bundleId": bundle})).await;
    assert_eq!(&moved["bundleId"], bundle);
    let launch = daemon.call("launch.resolve", json!({"instanceId": id})).await;
    assert_eq!(launch["accounts"][0]["accountId"], login["accountId"]);
    assert_eq!(daemon.call("launch.ready", json!({"instanceId": id})).await["ready"], true);
    let listed = daemon.call("instance.list", json!({"bundleId": bundle})).await;
    assert_eq!(listed["instances"].as_array().unwrap().len(), 1);

    let gone = daemon.call("bundle.delete", json!({"bundleId": bundle})).await;
    assert_eq!(gone["instancesAffected"], 1);
    let listed = daemon.call("instance.list", json!({})).await;
    assert_eq!(listed["instances"][0]["bundleId"], Value::Null);
    assert_eq!(daemon.call("instance.end", json!({"instanceId": id})).await, json!({"ended": true}));
    assert_eq!(daemon.call("instance.end", json!({"instanceId": id})).await, json!({"ended": false}));
    assert_eq!(daemon.call("instance.list", json!({})).await, json!({"instances": []}));
    let all = daemon.call("instance.list", json!({"includeEnded": true})).await;
    assert!(all["instances"][0]["endedAt"].is_i64(), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn instance_calls_are_refused_when_their_ids_are_invalid_or_unknown() {
    let daemon = Home::new().start();
    let unknown = "01990000-0000-7000-8000-000000000000";
    for (method, params, code) in [
        ("instance.create", json!({"definitionId": ""}), 1005),
        ("instance.create", json!({"definitionId": "a", "bundleId": "../x"}), 1005),
        ("instance.create", json!({"definitionId": "a", "bundleId": "nobody"}), 1001),
        ("instance.list", json!({"bundleId": "nobody"}), 1001),
        ("instance.update", json!({"instanceId": unknown, "bundleId": ""}), 1001),
        ("instance.end", json!({"instanceId": "No such"}), 1005),
        ("launch.resolve", json!({"instanceId": unknown}), 1001),
        ("launch.resolve", json!({"instanceId": unknown, "bundleId": "blank"}), 1005),
    ] {
        assert_eq!(daemon.refused(method, params.clone()).await.0, code, "{method} {params}");
    }
}
