//! Kimi Code and the old Kimi, which have one name: whole logins at the stand-in. And what is left of the old one.

use std::path::Path;

use serde_json::{Value, json};

use super::{home, is_stored, named, nothing_is_left, overlay, start};
use crate::standin::Standin;
use crate::support::{Home, event, left_over, optional, standing_in};

fn kimi_home(standin: &Standin, home: Home, provider: &str) -> Home {
    let env = toml::Table::from_iter(standin.kimi_env().map(|(name, value)| (name, value.into())));
    overlay(home, provider, [("env", env.into())])
}

#[tokio::test(flavor = "multi_thread")]
async fn kimi_code_logs_in_by_device_code() {
    let standin = Standin::start().await;
    let daemon = kimi_home(&standin, home(), "kimi-code").start();
    let client = daemon.client().await;
    let mut events = client.subscribe(["identitybundlebindings:changed:*"]).await.unwrap();
    let id = start(&daemon, json!({"providerId": "kimi-code"})).await;
    let shown = daemon.session(&id, |session| session["status"] == "code-emitted").await;
    let page = "https://www.kimi.com/code/authorize_device?user_code=WXYZ-0001";
    assert_eq!(
        (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
        (&json!("WXYZ-0001"), &json!(page), &json!(true))
    );
    standin.approve();
    let done = daemon.ended(&id).await;
    let dir = is_stored(&daemon, &done, "kimi-code", &Value::Null).await;
    event(&mut events, &format!("identitybundlebindings:changed:{}", done["bundleId"].as_str().unwrap()))
        .await;
    let credentials = named(&daemon.home, |name| name.starts_with("kimi-code-env-"));
    let places: Vec<&Path> = credentials.iter().map(|path| path.parent().unwrap()).collect();
    assert_eq!(places, [dir.join("credentials")]);
    let (_, _home) = daemon.stop();
    assert_eq!(left_over(&id), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn kimi_code_is_refused_and_leaves_nothing() {
    let standin = Standin::start().await;
    standin.deny();
    let daemon = kimi_home(&standin, home(), "kimi-code").start();
    let id = start(&daemon, json!({"providerId": "kimi-code"})).await;
    let ended = daemon.ended(&id).await;
    assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("denied")), "{ended}");
    nothing_is_left(&daemon, &id).await;
}

const PAGE: &str = "https://www.kimi.com/code/authorize_device?user_code=WXYZ-0001";

#[tokio::test(flavor = "multi_thread")]
async fn the_old_kimi_logs_in_by_device_code_and_is_told_from_the_new_one() {
    let Some(old) = optional("kimi-cli") else { return };
    let standin = Standin::start().await;
    // Kimi Code comes first on the path, and it is not what this provider means.
    let daemon =
        kimi_home(&standin, Home::offline().search(old.clone()).search(crate::support::clis()), "kimi")
            .start();
    let id = start(&daemon, json!({"providerId": "kimi"})).await;
    let shown = daemon.session(&id, |session| session["status"] == "code-emitted").await;
    assert_eq!(
        (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
        (&json!("WXYZ-0001"), &json!(PAGE), &json!(true))
    );
    standin.approve();
    let done = daemon.ended(&id).await;
    let dir = is_stored(&daemon, &done, "kimi", &Value::Null).await;
    assert_eq!(
        named(&daemon.home, |name| name == "kimi-code.json"),
        [dir.join("credentials/kimi-code.json")]
    );
    let (_, _home) = daemon.stop();
    assert_eq!(left_over(&id), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_kimi_goes_on_after_a_refusal_until_it_is_cancelled() {
    let Some(old) = optional("kimi-cli") else { return };
    let standin = Standin::start().await;
    standin.deny();
    let daemon = kimi_home(&standin, Home::offline().search(old), "kimi").start();
    let id = start(&daemon, json!({"providerId": "kimi"})).await;
    standin.seen("POST /api/oauth/token").await;
    // Its title has taken the place of its environment.
    assert_eq!(standing_in(&daemon.home.dir("data/identities")).len(), 1, "the CLI runs");
    assert_eq!(daemon.call("auth.cancel", json!({"sessionId": id})).await, json!({"success": true}));
    assert_eq!(daemon.ended(&id).await["errorKind"], "cancelled");
    nothing_is_left(&daemon, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_kimi_cli_is_no_cli_any_more() {
    let Some(tombstone) = optional("kimi-tombstone") else { return };
    let daemon = Home::offline().search(tombstone).start();
    let id = start(&daemon, json!({"providerId": "kimi"})).await;
    let ended = daemon.ended(&id).await;
    assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("cli_retired")), "{ended}");
    assert!(ended["error"].as_str().unwrap().contains("kimi-cli is no longer maintained"), "{ended}");
    assert!(ended["hint"].as_str().unwrap().contains("npm install -g @moonshot-ai/kimi-code"), "{ended}");
    nothing_is_left(&daemon, &id).await;
    // The same program is not Kimi Code, whatever its name.
    let (code, data) = daemon.refused("auth.start", json!({"providerId": "kimi-code"})).await;
    assert_eq!(code, 1001, "{data}");
}
