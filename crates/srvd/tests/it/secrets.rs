//! Keys that the operator keeps in another place. `srvd.toml` names them, each launch reads them, and they are never
//! stored.

use serde_json::{Value, json};

use crate::standin::Standin;
use crate::support::{Daemon, Home, credentials, files_below};

const KEY: &str = "sk-proj-planted-secret-0123456789abcdefghij";
const TOKEN: &str = "ghp_plantedsecret0123456789abcdefghijklmno";

/// Creates a home whose file names three keys. One of them is the output of a command.
fn home() -> Home {
    let home = Home::new();
    let kept = home.dir("kept");
    std::fs::write(&kept, format!("{TOKEN}\n")).unwrap();
    let command = json!(["/bin/cat", kept]);
    let toml = format!(
        "[secrets.work]\nprovider = \"openai-api\"\nenv = \"WORK_KEY\"\n\
         [secrets.manager]\nprovider = \"github\"\ncommand = {command}\n\
         [secrets.empty]\nprovider = \"groq\"\nenv = \"NOT_SET\"\n"
    );
    home.config("srvd.toml", &toml)
}

fn start(home: Home) -> Daemon {
    home.start_with(|command| command.env("WORK_KEY", KEY))
}

async fn add(daemon: &Daemon, provider: &str, name: &str, bundle: &Value) -> Value {
    let params = json!({
        "providerId": provider, "secretName": name, "accountName": "Work", "validate": false, "intoBundleId": bundle
    });
    let done = daemon.call("auth.submitapikey", params).await;
    assert_eq!((&done["success"], &done["status"]), (&json!(true), &json!("unknown")), "{done}");
    daemon.call("account.get", json!({"accountId": done["accountId"]})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn named_key_is_read_at_each_launch() {
    let daemon = start(home());
    let bundle = daemon.call("bundle.create", json!({"name": "Work"})).await["id"].clone();
    let account = add(&daemon, "openai", "work", &bundle).await;
    assert_eq!(account["secretRef"], json!({"backend": "env", "var": "WORK_KEY"}));
    assert_eq!((&account["evidence"], account.get("maskedTail")), (&json!("none"), None));
    let account = add(&daemon, "github", "manager", &bundle).await;
    assert_eq!(account["secretRef"], json!({"backend": "command"}));
    let resolve = json!({"bundleId": bundle});
    let launch = daemon.call("launch.resolve", resolve.clone()).await;
    assert_eq!(
        credentials(&launch),
        json!({"OPENAI_API_KEY": KEY, "GITHUB_TOKEN": TOKEN, "GH_TOKEN": TOKEN})
    );

    // The secret manager now has another key, and later none.
    let kept = daemon.home.dir("kept");
    let newer = TOKEN.replace("0123", "9876");
    std::fs::write(&kept, &newer).unwrap();
    let launch = daemon.call("launch.resolve", resolve.clone()).await;
    assert_eq!(launch["set"]["GH_TOKEN"], json!(newer));
    std::fs::remove_file(&kept).unwrap();
    let explained = json!({"bundleId": bundle, "explain": true});
    let launch = daemon.call("launch.resolve", explained).await;
    assert_eq!(credentials(&launch), json!({"OPENAI_API_KEY": KEY}));
    let failed = "the command failed (exit code 1)";
    assert_eq!(
        (&launch["accounts"][1]["reason"], &launch["accounts"][1]["status"]),
        (&json!(failed), &json!("unknown"))
    );
    let traced: Vec<(&Value, &Value)> =
        launch["trace"].as_array().unwrap().iter().map(|one| (&one["chosen"], &one["reason"])).collect();
    assert_eq!(traced, [(&json!(true), &json!("sets OPENAI_API_KEY")), (&json!(false), &json!(failed))]);
    let alone = json!({"bundleId": bundle, "providerId": "github"});
    let (code, data) = daemon.refused("launch.resolve", alone).await;
    assert_eq!((code, &data["reason"]), (1011, &json!("backend_failed")), "{data}");
    let checked = daemon.call("account.refreshstatus", json!({"accountId": account["id"]})).await;
    assert_eq!((&checked["status"], &checked["statusReason"]), (&json!("unknown"), &json!(failed)));

    for path in files_below(&daemon.home.dir("data")).into_iter().chain([daemon.home.dir("log")]) {
        let bytes = std::fs::read(&path).unwrap();
        for secret in [KEY, TOKEN, &newer] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
    // A key is missing without its variable, and also when the file no longer names it.
    let (_, home) = daemon.stop();
    let daemon = home.start();
    let alone = json!({"bundleId": bundle, "providerId": "openai"});
    let (code, data) = daemon.refused("launch.resolve", alone.clone()).await;
    assert_eq!((code, &data["reason"]), (1011, &json!("missing")), "{data}");
    let daemon = start(daemon.stop().1.config("srvd.toml", ""));
    let error = daemon.error("launch.resolve", alone).await;
    assert_eq!(
        (error.code, &*error.message),
        (1011, "openai: srvd.toml does not define the source of this key")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn client_can_name_a_configured_key_but_not_its_source() {
    let daemon = start(home());
    let submit = async |more: Value| {
        let mut params = json!({"providerId": "openai", "accountName": "Work", "validate": false});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        daemon.refused("auth.submitapikey", params).await
    };
    let (code, data) = submit(json!({"secretName": "manager"})).await;
    assert_eq!((code, &data["field"], &data["known"]), (1005, &json!("secretName"), &json!(["work"])));
    for (more, field) in [
        (json!({}), "apiKey"),
        (json!({"secretName": "work", "apiKey": KEY}), "apiKey"),
        (json!({"secretName": "work", "baseUrl": "https://evil.test"}), "baseUrl"),
        (json!({"apiKey": KEY, "baseUrl": "http://evil.test"}), "baseUrl"),
    ] {
        let (code, data) = submit(more.clone()).await;
        assert_eq!((code, &data["field"]), (1005, &json!(field)), "{more}");
    }
    for named in
        [json!({"command": ["/bin/id"]}), json!({"env": "HOME"}), json!({"secretRef": {"backend": "env"}})]
    {
        // Additional fields of the request are ignored: the key is still missing.
        assert_eq!(submit(named).await.0, 1005);
    }
    let empty = json!({"providerId": "groq", "secretName": "empty", "accountName": "Work"});
    let (code, data) = daemon.refused("auth.submitapikey", empty).await;
    assert_eq!((code, &data["reason"]), (1011, &json!("missing")), "{data}");
    assert_eq!(daemon.call("account.list", json!({})).await, json!({"accounts": [], "corrupt": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn add_key_command_adds_a_named_key_and_asks_its_provider() {
    let standin = Standin::start().await;
    standin.accept_key(KEY);
    let overlay = format!("[providers.openai.key]\nbase-url = \"{}\"\n", standin.url());
    let daemon = start(home().config("providers.d/standin.toml", &overlay));
    let added = daemon.home.run(&["add-key", "openai", "--from", "work", "--bundle", "work", "--new"]);
    let said = String::from_utf8(added.stdout).unwrap();
    assert!(
        said.ends_with("The provider accepted the key.\n"),
        "{said} {:?}",
        String::from_utf8(added.stderr)
    );
    let accounts = daemon.call("account.list", json!({})).await;
    let account = &accounts["accounts"][0];
    assert_eq!((&account["status"], &account["evidence"]), (&json!("valid"), &json!("live")));
    let checked = daemon.call("account.refreshstatus", json!({"accountId": account["id"]})).await;
    assert_eq!((&checked["status"], &checked["evidence"]), (&json!("valid"), &json!("live")));
}

#[tokio::test(flavor = "multi_thread")]
async fn key_with_a_base_url_is_checked_and_launched_there() {
    let standin = Standin::start().await;
    standin.accept_key(KEY);
    let daemon = Home::new().start();
    let params =
        json!({"providerId": "openai", "apiKey": KEY, "accountName": "Work", "baseUrl": standin.url()});
    let done = daemon.call("auth.submitapikey", params).await;
    assert_eq!((&done["success"], &done["status"]), (&json!(true), &json!("valid")), "{done}");
    let launch = daemon.call("launch.resolve", json!({"bundleId": done["bundleId"]})).await;
    let address = format!("{}/v1", standin.url());
    let set = json!({"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": address, "OPENAI_API_BASE": address});
    assert_eq!(credentials(&launch), set);
}
