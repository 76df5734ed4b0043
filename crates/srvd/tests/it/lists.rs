//! Tests of lists: filters, orders and pages.

use serde_json::{Value, json};

use crate::support::{Daemon, Home};

async fn add(daemon: &Daemon, bundle: &Value, provider: &str, name: &str) -> Value {
    let params = json!({
        "providerId": provider, "intoBundleId": bundle, "apiKey": "sk-ant-0123456789abcdef0123456789",
        "accountName": name, "validate": false,
    });
    let stored = daemon.call("auth.submitApiKey", params).await;
    assert!(stored.get("error").is_none() && stored["statusReason"].is_string(), "{stored}");
    stored["accountId"].clone()
}

fn names(list: &Value) -> Vec<&str> {
    list["accounts"].as_array().unwrap().iter().map(|account| account["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn account_list_has_filters_orders_and_pages() {
    let daemon = Home::new().start();
    let mut bundles = Vec::new();
    for (name, account) in [("b", "Delta"), ("A", "alpha_1"), ("c", "beta"), ("d", "Gamma")] {
        let bundle = daemon.call("bundle.create", json!({"name": name})).await["id"].clone();
        let provider = if account == "beta" { "openai" } else { "anthropic" };
        add(&daemon, &bundle, provider, account).await;
        bundles.push(bundle);
    }
    let list = async |params: Value| daemon.call("account.list", params).await;
    assert_eq!(names(&list(json!({})).await), ["Delta", "alpha_1", "beta", "Gamma"]);
    assert_eq!(names(&list(json!({"sort": "name"})).await), ["alpha_1", "beta", "Delta", "Gamma"]);
    assert_eq!(names(&list(json!({"sort": "providerId", "limit": 9})).await).last(), Some(&"beta"));
    assert_eq!(names(&list(json!({"name": "A_1"})).await), ["alpha_1"]);
    assert_eq!(names(&list(json!({"name": "%"})).await), Vec::<&str>::new());
    assert_eq!(names(&list(json!({"providerId": "openai", "status": "unknown"})).await), ["beta"]);
    assert_eq!(names(&list(json!({"status": "valid"})).await), Vec::<&str>::new());
    assert_eq!(names(&list(json!({"bundleId": bundles[0], "limit": 1})).await), ["Delta"]);

    for sort in ["createdAt", "name", "providerId", "status"] {
        let (mut seen, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let mut params = json!({"sort": sort, "limit": 1});
            if cursor.is_string() {
                params["cursor"] = cursor;
            }
            let page = list(params).await;
            assert_eq!(names(&page).len(), 1, "{sort}");
            seen.extend(names(&page).iter().map(|&name| name.to_owned()));
            cursor = page["nextCursor"].clone();
            if cursor.is_null() {
                break;
            }
            let other = if sort == "name" { "status" } else { "name" };
            let wrong =
                daemon.refused("account.list", json!({"sort": other, "cursor": cursor, "limit": 1})).await;
            assert_eq!(wrong.0, 1005, "a cursor of another order is accepted");
        }
        assert_eq!(seen, names(&list(json!({"sort": sort})).await), "{sort}");
    }
    for bad in [json!({"limit": 0}), json!({"limit": 1001}), json!({"cursor": "x"}), json!({"sort": "age"})] {
        assert_eq!(daemon.refused("account.list", bad.clone()).await.0, 1005, "{bad}");
    }
    let listed = daemon.call("bundle.list", json!({})).await;
    let order: Vec<&str> =
        listed["bundles"].as_array().unwrap().iter().map(|bundle| bundle["name"].as_str().unwrap()).collect();
    assert_eq!(order, ["A", "b", "Blank", "c", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_list_has_filters_and_pages_from_the_newest_row() {
    let daemon = Home::new().start();
    for name in ["one", "two", "three"] {
        daemon.call("bundle.create", json!({"name": name})).await;
    }
    let list = async |params: Value| daemon.call("audit.list", params).await;
    let created = list(json!({"action": "bundle.create", "outcome": "ok"})).await;
    let rows = created["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert!(rows.windows(2).all(|pair| pair[0]["seq"].as_i64() > pair[1]["seq"].as_i64()), "{created}");
    assert!(rows[0]["actor"].as_str().unwrap().starts_with("unix:"), "{created}");
    let first = list(json!({"action": "bundle.", "limit": 2})).await;
    let rest = list(json!({"action": "bundle.", "limit": 2, "cursor": first["nextCursor"]})).await;
    assert_eq!([&first["rows"][0], &first["rows"][1], &rest["rows"][0]], [&rows[0], &rows[1], &rows[2]]);
    assert!(rest.get("nextCursor").is_none(), "{rest}");
    let subject = rows[1]["subject"].as_str().unwrap();
    assert_eq!(list(json!({"subject": subject, "action": "bundle.create"})).await["rows"], json!([rows[1]]));
    assert_eq!(list(json!({"actor": "nobody"})).await["rows"], json!([]));
    assert_eq!(list(json!({"since": 9_000_000_000_000_000_i64})).await["rows"], json!([]));
    assert_eq!(daemon.refused("audit.list", json!({"limit": 0})).await.0, 1005);
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_list_has_filters_and_pages() {
    let daemon = crate::support::fake::home("out https://login.fake.test/x\nhang\n").start();
    let mut sessions = Vec::new();
    for name in ["one", "two"] {
        let bundle = daemon.call("bundle.create", json!({"name": name})).await["id"].clone();
        let params = json!({"providerId": "fake", "intoBundleId": bundle, "recipe": "pipe"});
        let id = daemon.call("auth.start", params).await["sessionId"].clone();
        let session = daemon.session(id.as_str().unwrap(), |session| session["authUrl"].is_string()).await;
        assert_eq!((&session["recipe"], &session["targetBundleId"]), (&json!("pipe"), &bundle));
        assert!(session["paste"]["shapes"].as_array().is_some_and(|shapes| !shapes.is_empty()), "{session}");
        sessions.push((id, bundle));
    }
    let ids = |list: &Value| -> Vec<Value> {
        list["sessions"].as_array().unwrap().iter().map(|one| one["sessionId"].clone()).collect()
    };
    let list = async |params: Value| daemon.call("auth.list", params).await;
    let all = ids(&list(json!({})).await);
    assert_eq!(all.len(), 2);
    assert_eq!(ids(&list(json!({"bundleId": sessions[0].1})).await), std::slice::from_ref(&sessions[0].0));
    assert_eq!(ids(&list(json!({"providerId": "fake", "status": "url-available"})).await), all);
    assert_eq!(ids(&list(json!({"status": "failed"})).await), Vec::<Value>::new());
    let first = list(json!({"limit": 1})).await;
    let second = list(json!({"limit": 1, "cursor": first["nextCursor"]})).await;
    assert_eq!([ids(&first), ids(&second)].concat(), all);
    assert!(second.get("nextCursor").is_none(), "{second}");
    assert_eq!(daemon.refused("auth.list", json!({"providerId": "nobody"})).await.0, 1003);

    // To a client, the end by a shutdown is the same as one by a crash.
    let (_, home) = daemon.stop();
    let daemon = home.start();
    let ended = daemon.call("auth.list", json!({"limit": 2})).await["sessions"].take();
    for session in ended.as_array().unwrap() {
        assert_eq!(
            (&session["status"], &session["errorKind"]),
            (&json!("failed"), &json!("daemon_restarted"))
        );
    }
}
