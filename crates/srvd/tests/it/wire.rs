//! Tests of the documented protocol: the document in the repository, and the names that other tests rely on.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::Home;

const METHODS: [&str; 85] = [
    "account.delete",
    "account.discardstray",
    "account.get",
    "account.keepalive",
    "account.keepstray",
    "account.list",
    "account.refreshstatus",
    "account.refused",
    "account.revoke",
    "account.strays",
    "account.update",
    "agent.delete",
    "audit.list",
    "auth.cancel",
    "auth.list",
    "auth.poll",
    "auth.start",
    "auth.submitapikey",
    "auth.submitcallback",
    "bundle.bind",
    "bundle.create",
    "bundle.delete",
    "bundle.get",
    "bundle.list",
    "bundle.unbind",
    "bundle.update",
    "console.end",
    "console.open",
    "console.sessions",
    "declared.list",
    "declared.reload",
    "doctor.run",
    "ephemeral.clear",
    "ephemeral.put",
    "events.subscribe",
    "events.unsubscribe",
    "forge.branches",
    "forge.createpull",
    "forge.credential",
    "forge.issues",
    "forge.pulls",
    "forge.rejected",
    "forge.repo",
    "forge.repos",
    "forge.request",
    "forge.unwatch",
    "forge.watch",
    "forge.watched",
    "forge.whoami",
    "instance.create",
    "instance.end",
    "instance.list",
    "instance.update",
    "launch.ready",
    "launch.resolve",
    "launch.suggest",
    "operator.active",
    "operator.cancel",
    "operator.clearactive",
    "operator.delete",
    "operator.list",
    "operator.poll",
    "operator.setactive",
    "operator.start",
    "operator.upsert",
    "pair.answer",
    "pair.poll",
    "pair.start",
    "profile.best",
    "profile.delete",
    "profile.list",
    "profile.reorder",
    "profile.upsert",
    "provider.list",
    "quota.get",
    "quota.list",
    "quota.refresh",
    "share.get",
    "share.set",
    "srvd.info",
    "srvd.ping",
    "tokens.list",
    "tokens.revoke",
    "user.delete",
    "rpc.discover",
];

#[test]
fn protocol_document_matches_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let written = std::fs::read_to_string(path).unwrap();
    let made = Home::new().run(&["protocol"]);
    assert!(made.status.success());
    assert!(
        written.as_bytes() == made.stdout,
        "docs/protocol.md is stale; run: cargo run -p srvd -- protocol > docs/protocol.md"
    );
}

#[test]
fn providers_document_matches_the_registry() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers.md");
    let written = std::fs::read_to_string(path).unwrap();
    let made = Home::new().run(&["providers", "doc"]);
    assert!(made.status.success());
    assert!(
        written.as_bytes() == made.stdout,
        "docs/providers.md is stale; run: cargo run -p srvd -- providers doc > docs/providers.md"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn discover_lists_every_method_and_resolves_every_reference() {
    let daemon = Home::new().start();
    let document = daemon.call("rpc.discover", json!({})).await;
    let methods = document["methods"].as_array().unwrap();
    let mut names: Vec<&str> = methods.iter().map(|method| method["name"].as_str().unwrap()).collect();
    names.push("rpc.discover");
    assert_eq!(names, METHODS);
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference} does not resolve");
                }
                open.extend(members.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn call_with_an_unknown_target_fails_with_the_documented_error_kind() {
    let daemon = Home::new().start();
    let nobody = "nobody";
    for (method, params, code, kind) in [
        ("bundle.get", json!({"bundleId": nobody}), 1001, "not_found"),
        ("bundle.update", json!({"bundleId": nobody, "name": "x"}), 1001, "not_found"),
        ("bundle.delete", json!({"bundleId": nobody}), 1001, "not_found"),
        ("bundle.bind", json!({"bundleId": nobody, "accountId": nobody}), 1001, "not_found"),
        ("bundle.unbind", json!({"bundleId": nobody, "providerId": "codex"}), 1001, "not_found"),
        ("bundle.unbind", json!({"bundleId": nobody, "providerId": nobody}), 1003, "unknown_provider"),
        ("account.get", json!({"accountId": nobody}), 1001, "not_found"),
        ("account.update", json!({"accountId": nobody, "name": "x"}), 1001, "not_found"),
        ("account.delete", json!({"accountId": nobody}), 1001, "not_found"),
        ("account.revoke", json!({"accountId": nobody}), 1001, "not_found"),
        ("account.refreshstatus", json!({"accountId": nobody}), 1001, "not_found"),
        ("account.list", json!({"bundleId": nobody}), 1001, "not_found"),
        ("account.list", json!({"providerId": nobody}), 1003, "unknown_provider"),
        ("auth.poll", json!({"sessionId": nobody}), 1001, "not_found"),
        ("auth.poll", json!({"sessionId": nobody, "waitMs": 30_001}), 1005, "invalid_input"),
        ("auth.poll", json!({}), -32602, "invalid_params"),
        ("bundle.nothing", json!({}), -32601, "method_not_found"),
        ("rpc.nothing", json!({}), -32601, "method_not_found"),
        ("events.subscribe", json!({"topics": []}), -32602, "invalid_params"),
    ] {
        let (got, data) = daemon.refused(method, params.clone()).await;
        assert_eq!((got, data["kind"].as_str().unwrap()), (code, kind), "{method} {params}");
    }
    assert_eq!(
        daemon.call("events.unsubscribe", json!({"subscriptionId": nobody})).await,
        json!({"removed": false})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_list_contains_the_fields_that_a_frontend_needs() {
    let daemon = crate::support::fake::home("out fakecli 1.2.3\n").start();
    let listed = daemon.call("provider.list", json!({})).await;
    let find = |id: &str| {
        listed["providers"].as_array().unwrap().iter().find(|known| known["id"] == id).unwrap().clone()
    };
    let path = daemon.home.dir("bin/fakecli");
    let login = |id: &str, kind: &str, label: &str, paste: bool| {
        json!({
            "id": id, "kind": kind, "label": label, "takesPaste": paste, "needsPaste": paste, "holdsPorts": [],
            "opensBrowser": kind == "browser", "showsCode": kind == "device_code",
        })
    };
    assert_eq!(
        find("fake"),
        json!({
            "id": "fake", "aliases": ["fake-cli"], "displayName": "Fake", "class": "oauth", "requiresTty": false,
            "cli": {"found": true, "path": path, "tested": "1.2.3", "untested": false, "version": "1.2.3", "install": "build the examples of auth-spawner"},
            "loginKinds": ["pipe", "pty", "device", "token"],
            "icon": "fake",
            "logins": [
                login("pipe", "browser", "Browser", true),
                login("pty", "browser", "Browser", true),
                login("device", "device_code", "Code on any device", false),
                login("token", "browser", "Long-lived token", true),
            ],
        })
    );
    let anthropic = find("anthropic");
    assert_eq!((&anthropic["class"], &anthropic["loginKinds"]), (&json!("api_key"), &json!(["api_key"])));
    assert_eq!((&anthropic["keyPrefix"], &anthropic["icon"]), (&json!("sk-ant-"), &json!("anthropic")));
    assert_eq!(anthropic["keyUrl"], "https://console.anthropic.com/settings/keys");
    assert_eq!(anthropic["cli"], json!({"found": false, "untested": false}));
    assert_eq!(find("claude")["cli"]["found"], false);

    let one = daemon.call("provider.list", json!({"providerId": "fake-cli"})).await;
    assert_eq!(one["providers"], json!([find("fake")]));
    assert_eq!(daemon.refused("provider.list", json!({"providerId": "nobody"})).await.0, 1003);
}
