//! Bundles and accounts over the wire.

use serde_json::{Value, json};

use crate::support::{Daemon, Home, event};

async fn key(daemon: &Daemon, provider: &str, bundle: &Value) -> Value {
    let params = json!({
        "providerId": provider, "apiKey": "sk-ant-0123456789abcdefghijklmnopqrstuvwxyz0123456789", "accountName": "key",
        "intoBundleId": bundle, "validate": false,
    });
    daemon.call("auth.submitapikey", params).await["accountId"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_is_created_renamed_fetched_and_deleted() {
    let daemon = Home::new().start();
    let client = daemon.client().await;
    let mut events = client.subscribe(["identitybundles:changed"]).await.unwrap();
    let made = daemon.call("bundle.create", json!({"name": " Work ", "description": "at work"})).await;
    event(&mut events, "identitybundles:changed").await;
    assert_eq!(
        (&made["name"], &made["isBlank"], &made["bindings"]),
        (&json!("Work"), &json!(false), &json!([]))
    );
    let id = made["id"].clone();
    assert_eq!(daemon.refused("bundle.create", json!({"name": "WORK"})).await.0, 1002);
    assert_eq!(daemon.refused("bundle.create", json!({"name": ""})).await.0, 1005);
    let renamed = daemon.call("bundle.update", json!({"bundleId": id, "name": "Office"})).await;
    assert_eq!((&renamed["name"], &renamed["description"]), (&json!("Office"), &json!("at work")));
    assert_eq!(daemon.call("bundle.get", json!({"bundleId": id})).await, renamed);
    let gone = daemon.call("bundle.delete", json!({"bundleId": id})).await;
    assert_eq!(gone, json!({"deleted": true, "accountsDeleted": 0, "instancesAffected": 0, "cleanup": []}));
    assert_eq!(daemon.refused("bundle.get", json!({"bundleId": id})).await.0, 1001);
}

#[tokio::test(flavor = "multi_thread")]
async fn blank_bundle_refuses_update_delete_and_bind() {
    let daemon = Home::new().start();
    let blank = daemon.call("bundle.get", json!({"bundleId": "blank"})).await;
    assert_eq!(blank["isBlank"], true);
    let work = daemon.call("bundle.create", json!({"name": "Work"})).await;
    let account = key(&daemon, "anthropic", &work["id"]).await;
    for (method, params) in [
        ("bundle.update", json!({"bundleId": "blank", "name": "x"})),
        ("bundle.delete", json!({"bundleId": "blank"})),
        ("bundle.bind", json!({"bundleId": "blank", "accountId": account})),
    ] {
        let (code, data) = daemon.refused(method, params).await;
        assert_eq!((code, data["field"].as_str()), (1005, Some("bundleId")), "{method}");
    }
    assert_eq!(daemon.call("bundle.get", json!({"bundleId": "blank"})).await, blank);
}

#[tokio::test(flavor = "multi_thread")]
async fn account_changes_are_announced_for_each_bundle_that_binds_it() {
    let daemon = Home::new().start();
    let one = daemon.call("bundle.create", json!({"name": "one"})).await["id"].clone();
    let two = daemon.call("bundle.create", json!({"name": "two"})).await["id"].clone();
    let account = key(&daemon, "anthropic", &one).await;
    let client = daemon.client().await;
    let mut events = client.subscribe(["identitybundlebindings:changed:*"]).await.unwrap();
    let topic = |bundle: &Value| format!("identitybundlebindings:changed:{}", bundle.as_str().unwrap());

    let bound = daemon.call("bundle.bind", json!({"bundleId": two, "accountId": account})).await;
    assert_eq!(
        bound["bindings"],
        json!([{"providerId": "anthropic", "accountId": account, "status": "unknown"}])
    );
    event(&mut events, &topic(&two)).await;
    let unbound = daemon.call("bundle.unbind", json!({"bundleId": one, "providerId": "Anthropic"})).await;
    assert_eq!(unbound["bindings"], json!([]));
    event(&mut events, &topic(&one)).await;
    assert_eq!(
        daemon.refused("bundle.unbind", json!({"bundleId": one, "providerId": "anthropic"})).await.0,
        1001
    );

    let renamed = daemon.call("account.update", json!({"accountId": account, "displayName": "Mine"})).await;
    assert_eq!(renamed["displayName"], "Mine");
    assert_eq!(daemon.call("account.list", json!({"bundleId": two})).await["accounts"], json!([renamed]));
    assert_eq!(daemon.call("account.list", json!({"bundleId": one})).await["accounts"], json!([]));
    assert_eq!(daemon.call("account.list", json!({"providerId": "openai"})).await["accounts"], json!([]));
    let gone = daemon.call("account.delete", json!({"accountId": account})).await;
    assert_eq!(gone, json!({"deleted": true, "unboundFrom": [two], "instancesAffected": 0, "cleanup": []}));
    event(&mut events, &topic(&two)).await;
    assert_eq!(daemon.call("bundle.get", json!({"bundleId": two})).await["bindings"], json!([]));
    assert_eq!(daemon.refused("account.get", json!({"accountId": account})).await.0, 1001);
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_deletion_deletes_only_the_accounts_no_other_bundle_binds() {
    let daemon = Home::new().start();
    let one = daemon.call("bundle.create", json!({"name": "one"})).await["id"].clone();
    let two = daemon.call("bundle.create", json!({"name": "two"})).await["id"].clone();
    let shared = key(&daemon, "anthropic", &one).await;
    let own = key(&daemon, "moonshot", &one).await;
    daemon.call("bundle.bind", json!({"bundleId": two, "accountId": shared})).await;
    let gone = daemon.call("bundle.delete", json!({"bundleId": one})).await;
    assert_eq!(gone["accountsDeleted"], 1);
    assert_eq!(daemon.call("account.get", json!({"accountId": shared})).await["boundTo"], json!([two]));
    assert_eq!(daemon.refused("account.get", json!({"accountId": own})).await.0, 1001);
}
