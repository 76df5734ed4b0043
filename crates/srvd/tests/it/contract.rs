//! Tests of the `OpenRPC` document against the running daemon.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use rpc_engine::RpcError;
use serde_json::{Value, json};

use crate::support::{Daemon, Home, fake};

/// Returns the document of the built program.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let made = Home::new().run(&["protocol", "--openrpc"]);
        serde_json::from_slice(&made.stdout).unwrap()
    })
}

fn method(name: &str) -> Option<&'static Value> {
    let mut methods = document()["methods"].as_array().unwrap().iter();
    methods.find(|one| {
        one["name"] == name || one["x-alias"].as_array().is_some_and(|all| all.contains(&name.into()))
    })
}

/// Checks that the document lists an error for its method, and each member of the error's data. Every test that expects
/// an error runs this.
pub(crate) fn expect_described(name: &str, error: &RpcError) {
    let Some(method) = method(name) else { return };
    let kind = error.kind().unwrap_or_default();
    let listed = format!("#/components/errors/{kind}");
    let errors = method["errors"].as_array().unwrap();
    assert!(
        errors.iter().any(|one| one["$ref"] == listed.as_str()),
        "{name} fails with {kind}, which its description does not list: add it to `errors` of its `method!`"
    );
    let listed = document()["x-errors"].as_array().unwrap().iter().find(|one| one["kind"] == kind).unwrap();
    assert_eq!(listed["code"], error.code, "{name} {kind}");
    let schema = listed["data"]["$ref"].as_str().unwrap().trim_start_matches('#');
    let schema = document().pointer(schema).unwrap();
    for member in error.data.as_ref().and_then(Value::as_object).unwrap().keys() {
        assert!(
            schema["properties"].get(member).is_some(),
            "data.{member} of {kind} is not listed in wire/error.rs"
        );
    }
}

#[test]
fn every_method_has_a_scope_and_errors_and_a_method_that_returns_secrets_is_of_the_scope_launch() {
    for method in document()["methods"].as_array().unwrap() {
        let scope = method["x-scope"].as_str();
        let known = ["read", "login", "launch", "admin", "owner"];
        assert!(
            scope.is_some_and(|scope| known.contains(&scope)),
            "{} has no scope in routes.rs",
            method["name"]
        );
        assert!(!method["errors"].as_array().unwrap().is_empty(), "{method}");
        assert!(!method["tags"].as_array().unwrap().is_empty(), "{method}");
    }
    for name in ["launch.resolve", "profile.best"] {
        assert_eq!(method(name).unwrap()["x-scope"], "launch", "{name}");
    }
}

#[test]
fn limits_in_the_document_are_those_of_the_daemon() {
    let document = document();
    assert_eq!(document["x-limits"]["batch"], 50);
    let codes: Vec<i64> = document["x-close-codes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["code"].as_i64().unwrap())
        .collect();
    assert_eq!(codes, [1001, 1002, 1003, 1007, 1008, 1009, 4003, 4008, 4013]);
}

#[tokio::test(flavor = "multi_thread")]
async fn window_that_asks_for_ninety_accounts_at_once_gets_every_answer() {
    let daemon = Home::new().start();
    let limits = daemon.call("srvd.info", json!({})).await["limits"].take();
    assert_eq!(limits, document()["x-limits"]);
    let (client, params) = (daemon.client().await, json!({}));
    let calls = (0..90).map(|_| client.call_raw("bundle.list", &params));
    for reply in futures_util::future::join_all(calls).await {
        assert_eq!(reply.unwrap()["bundles"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_parameter_is_named_or_refused_by_the_rules() {
    let daemon = Home::new().start();
    let made = daemon.call("bundle.create", json!({"name": "work", "colour": "red"})).await;
    assert_eq!(made["warnings"], json!(["the parameter `colour` is unknown and was ignored"]));
    let error = daemon.error("bundle.create", json!({"nmae": "other"})).await;
    assert_eq!(error.data.unwrap(), json!({"kind": "invalid_params", "path": "nmae", "suggestion": "name"}));
    let error = daemon.error("launch.resolve", json!({"bundleId": made["id"], "colour": 1})).await;
    assert_eq!(error.data.unwrap(), json!({"kind": "invalid_params", "path": "colour"}));
    let error = daemon.error("bundle.crate", json!({})).await;
    assert_eq!(error.data.unwrap()["suggestion"], "bundle.create");
    // Both names of a method reach it.
    for name in ["account.refreshstatus", "account.refreshStatus"] {
        assert_eq!(daemon.refused(name, json!({"accountId": "nobody"})).await.0, 1001);
    }
}

const SCRIPT: &str = "\
dir-var FAKE_HOME
out Go to https://login.fake.test/device
out and enter code: ABCD-1234
wait-file approved
write credentials.json {\"access\":\"a\",\"email\":\"ann@fake.test\"}
out Logged in.
";

/// The calls of the examples. `$name` is a value of an earlier result, `method/pointer`.
fn calls() -> Vec<(&'static str, Value)> {
    let key = json!({
        "providerId": "anthropic", "intoBundleId": "$bundle.create/id", "apiKey": "sk-ant-api03-example-0000000000",
        "accountName": "team key", "validate": false,
    });
    vec![
        ("srvd.ping", json!({"text": "hello"})),
        ("srvd.info", json!({})),
        ("bundle.create", json!({"name": "work", "description": "the day job"})),
        ("bundle.list", json!({})),
        ("bundle.get", json!({"bundleId": "$bundle.create/id"})),
        ("auth.submitapikey", key),
        ("account.list", json!({"bundleId": "$bundle.create/id"})),
        ("account.get", json!({"accountId": "$auth.submitapikey/accountId"})),
        ("account.update", json!({"accountId": "$auth.submitapikey/accountId", "displayName": "Team"})),
        ("bundle.update", json!({"bundleId": "$bundle.create/id", "unbound": "sealed"})),
        ("launch.ready", json!({"bundleId": "$bundle.create/id"})),
        (
            "launch.resolve",
            json!({"bundleId": "$bundle.create/id", "dryRun": true, "environmentNames": ["PATH", "OPENAI_API_KEY"]}),
        ),
        ("instance.create", json!({"definitionId": "reviewer", "bundleId": "$bundle.create/id"})),
        ("instance.list", json!({})),
        ("instance.end", json!({"instanceId": "$instance.create/id"})),
        ("provider.list", json!({"providerId": "anthropic"})),
        (
            "auth.start",
            json!({"providerId": "fake", "intoBundleId": "$bundle.create/id", "recipe": "device"}),
        ),
        ("auth.poll", json!({"sessionId": "$auth.start/sessionId"})),
        ("auth.cancel", json!({"sessionId": "$auth.start/sessionId"})),
        ("auth.list", json!({})),
        ("operator.list", json!({})),
        ("declared.list", json!({})),
        ("bundle.unbind", json!({"bundleId": "$bundle.create/id", "providerId": "anthropic"})),
        ("account.delete", json!({"accountId": "$auth.submitapikey/accountId"})),
        ("bundle.delete", json!({"bundleId": "$bundle.create/id"})),
    ]
}

/// Replaces each `$method/pointer` by the value in an earlier result.
fn filled(params: &Value, results: &BTreeMap<&str, Value>) -> Value {
    match params {
        Value::String(text) => match text.strip_prefix('$').and_then(|text| text.split_once('/')) {
            Some((method, name)) => results[method][name].clone(),
            None => params.clone(),
        },
        Value::Object(members) => {
            members.iter().map(|(name, one)| (name.clone(), filled(one, results))).collect()
        }
        other => other.clone(),
    }
}

/// Makes the calls of the examples.
async fn record(daemon: &Daemon) -> Vec<Value> {
    let (client, mut results) = (daemon.client().await, BTreeMap::new());
    let mut recorded = Vec::new();
    for (method, params) in calls() {
        let params = filled(&params, &results);
        if method == "auth.poll" {
            // The example shows the login with its code.
            daemon
                .session(params["sessionId"].as_str().unwrap(), |session| session["deviceCode"].is_string())
                .await;
        }
        let result =
            client.call_raw(method, &params).await.unwrap_or_else(|error| panic!("{method}: {error:?}"));
        recorded.push(json!({"method": method, "params": params, "result": result.clone()}));
        results.insert(method, result);
    }
    recorded
}

/// Returns a value with the type of each leaf in its place, and the words that do not vary.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(name, one)| (name.clone(), shape(one))).collect(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Number(_) => "a number".into(),
        Value::String(text) if text.contains('/') || text.contains('-') || text.contains('.') => {
            "a text".into()
        }
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_in_the_document_are_what_the_daemon_answers() {
    let daemon = fake::home(SCRIPT).start();
    // The example names a provider that every reader knows.
    let text = serde_json::to_string(&record(&daemon).await).unwrap();
    let text = text.replace("\"fake\"", "\"codex\"").replace("login.fake.test", "auth.openai.com/codex");
    let mut recorded: Vec<Value> = serde_json::from_str(&text).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rpc/examples.json");
    for one in &mut recorded {
        let info = &mut one["result"];
        if info.get("searchPath").is_some() {
            info["searchPath"] = json!(["/usr/local/bin", "/usr/bin"]);
        }
    }
    if std::env::vars().any(|(name, _)| name == "SRVD_WRITE_EXAMPLES") {
        let home = daemon.home.dir("").display().to_string();
        let text = serde_json::to_string_pretty(&recorded).unwrap();
        let text = text.replace(home.trim_end_matches('/'), "/home/ann/.srvd");
        std::fs::write(&path, text + "\n").unwrap();
    }
    let written: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let again = "run this test with SRVD_WRITE_EXAMPLES=1 and build the program again";
    for (written, recorded) in written.iter().zip(&recorded) {
        assert_eq!(shape(written), shape(recorded), "an example is stale; {again}");
    }
    assert_eq!(written.len(), recorded.len(), "{again}");
}
