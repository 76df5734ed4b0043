//! API keys are validated, sealed, bound and announced. Rejected keys are stored nowhere.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::standin::Standin;
use crate::support::{Daemon, Home, event, files_below};

/// Starts a daemon whose key services are the stand-in.
async fn fixture() -> (Daemon, Standin) {
    let standin = Standin::start().await;
    let entry = |(id, _): (&str, &str)| format!("[providers.{id}.key]\nbase-url = \"{}\"\n", standin.url());
    let overlay = KEYS.map(entry).concat();
    (Home::new().config("providers.d/standin.toml", &overlay).start(), standin)
}

fn submit(provider: &str, key: &str) -> Value {
    json!({"providerId": provider, "apiKey": key, "accountName": "main", "bundleName": format!("{provider} keys")})
}

/// Keys in the format of each provider.
const KEYS: [(&str, &str); 10] = [
    ("anthropic", "sk-ant-api03-planted-secret-0123456789abcdefghij"),
    ("openai", "sk-proj-planted-secret-0123456789abcdefghij"),
    ("github", "ghp_plantedsecret0123456789abcdefghijklmno"),
    ("moonshot", "sk-planted-secret-moonshot-0123456789abcdefghij"),
    ("gemini", "AIzaPlantedSecret0123456789abcdefghijklmno"),
    ("openrouter", "sk-or-v1-planted-secret-0123456789abcdefghij"),
    ("xai", "xai-planted-secret-0123456789abcdefghijklmno"),
    ("groq", "gsk_plantedsecret0123456789abcdefghijklmno"),
    ("mistral", "plantedsecretmistral0123456789ab"),
    ("deepseek", "sk-planted-secret-deepseek-0123456789abcdef"),
];

#[tokio::test(flavor = "multi_thread")]
async fn accepted_keys_are_sealed_bound_and_announced() {
    let (daemon, standin) = fixture().await;
    let client = daemon.client().await;
    let mut events = client.subscribe(["*"]).await.unwrap();
    for (provider, key) in KEYS {
        standin.accept_key(key);
        let done = daemon.call("auth.submitapikey", submit(provider, key)).await;
        assert_eq!((&done["success"], &done["status"]), (&json!(true), &json!("valid")), "{done}");
        let bundle = done["bundleId"].as_str().unwrap();
        let topic = format!("identitybundlebindings:changed:{bundle}");
        assert_eq!(event(&mut events, &topic).await, Some(json!({"bundleId": bundle})));
        let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
        assert_eq!(account["maskedTail"], &key[key.len() - 4..]);
        assert_eq!(account["secretRef"], json!({"backend": "sealed"}));
        assert_eq!((&account["status"], &account["evidence"]), (&json!("valid"), &json!("live")));
        assert_eq!(account["boundTo"], json!([bundle]));
    }
    let bundles = daemon.call("bundle.list", json!({})).await;
    assert_eq!(bundles["bundles"].as_array().unwrap().len(), 1 + KEYS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_key_is_not_stored() {
    let (daemon, _standin) = fixture().await;
    for (provider, key) in KEYS {
        let done = daemon.call("auth.submitapikey", submit(provider, key)).await;
        assert_eq!(
            (&done["success"], &done["errorKind"]),
            (&json!(false), &json!("not_authenticated")),
            "{done}"
        );
        assert!(done.get("accountId").is_none() && done.get("bundleId").is_none());
    }
    assert_eq!(daemon.call("account.list", json!({})).await, json!({"accounts": [], "corrupt": []}));
    assert_eq!(daemon.call("bundle.list", json!({})).await["bundles"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_status_is_unknown_when_the_provider_cannot_be_asked() {
    let (daemon, standin) = fixture().await;
    drop(standin);
    let (provider, key) = KEYS[0];
    let done = daemon.call("auth.submitapikey", submit(provider, key)).await;
    assert_eq!((&done["success"], &done["status"]), (&json!(true), &json!("unknown")), "{done}");
    assert!(done["statusReason"].as_str().unwrap().contains("127.0.0.1"), "{done}");
    let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
    assert_eq!((&account["status"], &account["evidence"]), (&json!("unknown"), &json!("none")));
    assert_eq!(account["statusReason"], done["statusReason"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_asks_the_provider_and_keeps_the_status_when_it_is_unreachable() {
    let (daemon, standin) = fixture().await;
    let (provider, key) = KEYS[1];
    let mut unasked = submit(provider, key);
    unasked["validate"] = json!(false);
    let account = daemon.call("auth.submitapikey", unasked).await["accountId"].clone();
    let topic = format!("identityaccounts:changed:{}", account.as_str().unwrap());
    let mut events = daemon.client().await.subscribe([topic.clone()]).await.unwrap();
    let refresh = async || daemon.call("account.refreshstatus", json!({"accountId": account})).await;
    let found = refresh().await;
    assert_eq!((&found["status"], &found["evidence"]), (&json!("invalid"), &json!("live")), "{found}");
    assert_eq!(found["statusReason"], "its provider refused it (HTTP status 401)");
    assert!(
        found["nextStep"]["command"].as_str().unwrap().starts_with("srvd add-key openai --bundle "),
        "{found}"
    );
    event(&mut events, &topic).await;
    standin.accept_key(key);
    let found = refresh().await;
    assert_eq!((&found["status"], &found["evidence"]), (&json!("valid"), &json!("live")), "{found}");
    assert!(found.get("nextStep").is_none() && found.get("statusReason").is_none(), "{found}");
    drop(standin);
    let later = refresh().await;
    assert_eq!((&later["status"], &later["evidence"]), (&json!("valid"), &json!("live")), "{later}");
    assert_eq!(later["checkedAt"], found["checkedAt"]);
    assert!(later["statusReason"].as_str().unwrap().starts_with("the request to 127.0.0.1"), "{later}");
    assert!(!daemon.log().contains(key));
}

#[tokio::test(flavor = "multi_thread")]
async fn second_key_replaces_the_first_and_keeps_its_account() {
    let (daemon, standin) = fixture().await;
    let (provider, key) = KEYS[1];
    standin.accept_key(key);
    let first = daemon.call("auth.submitapikey", submit(provider, key)).await;
    let into = json!({"providerId": "OpenAI ", "apiKey": format!("{key}second"), "accountName": "other", "intoBundleId": first["bundleId"], "validate": false});
    let second = daemon.call("auth.submitapikey", into).await;
    assert_eq!((&second["accountId"], &second["bundleId"]), (&first["accountId"], &first["bundleId"]));
    assert_eq!(second["status"], "unknown");
    let account = daemon.call("account.get", json!({"accountId": first["accountId"]})).await;
    assert_eq!(account["maskedTail"], "cond");
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_keys_and_targets_are_refused_by_name() {
    let (daemon, standin) = fixture().await;
    let (provider, key) = KEYS[0];
    standin.accept_key(key);
    let check = async |changes: Value, code: i32, name: &str, value: Value| {
        let mut params = submit(provider, key);
        params.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let (got, data) = daemon.refused("auth.submitapikey", params).await;
        assert_eq!((got, &data[name]), (code, &value), "{changes} -> {data}");
    };
    check(json!({"apiKey": ""}), 1005, "field", json!("apiKey")).await;
    check(json!({"apiKey": "sk-ant-with\nnewline-0123456789"}), 1005, "field", json!("apiKey")).await;
    check(json!({"apiKey": "x".repeat(9000)}), 1005, "field", json!("apiKey")).await;
    check(json!({"providerId": "nobody"}), 1003, "kind", json!("unknown_provider")).await;
    check(json!({"providerId": "codex"}), 1005, "field", json!("providerId")).await;
    check(json!({"intoBundleId": "../x"}), 1005, "field", json!("intoBundleId")).await;
    check(json!({"intoBundleId": "blank"}), 1005, "field", json!("intoBundleId")).await;
    check(json!({"intoBundleId": "nobody"}), 1001, "what", json!("bundle")).await;
    check(json!({"bundleName": "Blank"}), 1002, "what", json!("bundle name")).await;
    check(json!({"accountName": ""}), 1005, "field", json!("accountName")).await;
    check(json!({"bundleName": "a\u{7}b"}), 1005, "field", json!("bundleName")).await;
    assert_eq!(standin.requests(), Vec::<String>::new(), "nothing came as far as the provider");
    assert_eq!(daemon.call("account.list", json!({})).await, json!({"accounts": [], "corrupt": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_key_appears_in_no_log_error_event_or_file() {
    let (daemon, standin) = fixture().await;
    let client = daemon.client().await;
    let mut events = client.subscribe(["*"]).await.unwrap();
    let mut heard = String::new();
    for (provider, key) in KEYS {
        heard += &daemon.call("auth.submitapikey", submit(provider, key)).await.to_string();
        standin.accept_key(key);
        let done = daemon.call("auth.submitapikey", submit(provider, key)).await;
        let topic = format!("identityaccounts:changed:{}", done["accountId"].as_str().unwrap());
        heard.extend(event(&mut events, &topic).await.map(|data| data.to_string()));
        // The key is in a field where it does not belong, and of the wrong type.
        for params in [
            json!({"providerId": provider, "apiKey": [key], "accountName": "a"}),
            json!({"providerId": provider, "apiKey": key, "accountName": "a", "validate": key}),
            json!({"providerId": key, "apiKey": key, "accountName": "a"}),
        ] {
            let error = daemon.error("auth.submitapikey", params).await;
            heard.extend([error.message.to_string(), error.data.unwrap_or_default().to_string()]);
        }
    }
    heard += &daemon.call("account.list", json!({})).await.to_string();
    let pid = daemon.pid();
    heard += &std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let log = daemon.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is at trace level");
    let home = daemon.kill();
    for (_, key) in KEYS {
        assert!(!heard.contains(key), "an answer holds the key");
        assert!(!log.contains(key), "the log holds the key");
        for path in files_below(&home.dir("")) {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
            assert!(!found, "{} holds the key", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_of_two_parts_is_refused_when_one_is_missing() {
    let daemon = Home::new().start();
    let (id, secret) = ("AKIAPLANTED012345678", "plantedSecret/0123456789+abcdefghijklmno");
    let mut heard = String::new();
    for wrong in [
        format!("{id}{secret}"),
        format!("{id}{secret}:"),
        format!(":{secret}{id}"),
        format!("{id} {secret}"),
    ] {
        let error = daemon.error("auth.submitapikey", submit("aws", &wrong)).await;
        let data = error.data.unwrap_or_default();
        assert_eq!((error.code, &data["field"]), (1005, &json!("apiKey")), "{data}");
        heard.extend([error.message.to_string(), data.to_string()]);
    }
    assert_eq!(daemon.call("account.list", json!({})).await, json!({"accounts": [], "corrupt": []}));
    let done = daemon.call("auth.submitapikey", submit("Bedrock", &format!("{id}:{secret}\n"))).await;
    assert_eq!((&done["success"], &done["status"]), (&json!(true), &json!("unknown")), "{done}");
    let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
    assert_eq!((&account["providerId"], &account["maskedTail"]), (&json!("aws"), &json!("lmno")));
    heard += &daemon.log();
    assert!(!heard.contains(id) && !heard.contains(secret), "a part of the key is told");
}

/// A key that cannot be checked is stored only where it replaces none that works.
#[tokio::test(flavor = "multi_thread")]
async fn unchecked_key_replaces_no_working_key_until_asked_to() {
    let (daemon, standin) = fixture().await;
    let (provider, key) = KEYS[1];
    standin.accept_key(key);
    let first = daemon.call("auth.submitapikey", submit(provider, key)).await;
    assert_eq!(first["status"], "valid", "{first}");
    let failing = failing_service().await;
    let other = "sk-proj-planted-other-0123456789abcdefghijklm";
    let mut params = json!({
        "providerId": provider, "apiKey": other, "accountName": "main", "intoBundleId": first["bundleId"],
        "baseUrl": failing,
    });
    let kept = daemon.call("auth.submitapikey", params.clone()).await;
    assert_eq!((&kept["success"], &kept["errorKind"]), (&json!(false), &json!("conflict")), "{kept}");
    let error = kept["error"].as_str().unwrap();
    assert!(error.contains("HTTP status 503") && error.contains("working key was kept"), "{error}");
    let account = daemon.call("account.get", json!({"accountId": first["accountId"]})).await;
    assert_eq!(
        (&account["maskedTail"], &account["status"]),
        (&json!(key[key.len() - 4..]), &json!("valid")),
        "{account}"
    );
    params["validate"] = json!(false);
    let stored = daemon.call("auth.submitapikey", params).await;
    assert_eq!(
        (&stored["success"], &stored["status"], &stored["accountId"]),
        (&json!(true), &json!("unknown"), &first["accountId"]),
        "{stored}"
    );
    // Into a bundle without a working key, it is stored as before.
    let new = json!({
        "providerId": provider, "apiKey": other, "accountName": "main", "bundleName": "new", "baseUrl": failing,
    });
    let stored = daemon.call("auth.submitapikey", new).await;
    assert_eq!((&stored["success"], &stored["status"]), (&json!(true), &json!("unknown")), "{stored}");
}

/// Starts a service that answers every request with 503 until the test ends, and returns its URL.
pub(crate) async fn failing_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            // The request is small and arrives in one piece. What it says does not matter.
            if stream.read(&mut request).await.is_ok() {
                let answer =
                    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                // The daemon may have given up.
                let _ = stream.write_all(answer).await;
            }
        }
    });
    url
}
