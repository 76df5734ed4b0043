//! Device logins of Kimi Code and of the old Kimi CLI, which have the same name, and the retired package of the old
//! CLI.

use std::path::Path;

use serde_json::{Value, json};

use super::{home_at, is_stored, named, nothing_is_left, start, stop, trusting};
use crate::standin::Standin;
use crate::support::namespace::inside;
use crate::support::{Daemon, Home, clis, event, optional};

/// Waits for the code of a login that has just started.
async fn shows_its_code(daemon: &Daemon, session: &str) {
    let shown = daemon.session(session, |session| session["status"] == "code-emitted").await;
    let page = "https://www.kimi.com/code/authorize_device?user_code=WXYZ-0001";
    assert_eq!(
        (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
        (&json!("WXYZ-0001"), &json!(page), &json!(true))
    );
}

#[test]
fn kimi_code_logs_in_by_device_code() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let client = daemon.client().await;
        let mut events = client.subscribe(["identitybundlebindings:changed:*"]).await.unwrap();
        let id = start(&daemon, json!({"providerId": "kimi-code"})).await;
        shows_its_code(&daemon, &id).await;
        vendors.approve();
        let done = daemon.ended(&id).await;
        let dir = is_stored(&daemon, &done, "kimi-code", &Value::Null).await;
        let bundle = done["bundleId"].as_str().unwrap();
        event(&mut events, &format!("identitybundlebindings:changed:{bundle}")).await;
        let credentials = named(&daemon.home, |name| name.starts_with("kimi-code"));
        let places: Vec<&Path> = credentials.iter().map(|path| path.parent().unwrap()).collect();
        assert_eq!(places, [dir.join("credentials")]);
        stop(daemon, &[&id]);
    });
}

#[test]
fn kimi_code_login_leaves_nothing_when_it_is_denied() {
    inside(async |vendors| {
        vendors.deny();
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "kimi-code"})).await;
        let ended = daemon.ended(&id).await;
        assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("denied")), "{ended}");
        nothing_is_left(&daemon, &id).await;
    });
}

/// Creates a home with Kimi Code before the old CLI on the path. The provider has to use the old CLI, which trusts only
/// its built-in authorities. It therefore uses the same hosts without TLS.
fn old_kimi(vendors: &Standin, old: &Path) -> Home {
    let places = json!({
        "KIMI_CODE_OAUTH_HOST": "http://auth.kimi.com",
        "KIMI_CODE_BASE_URL": "http://api.kimi.com/coding/v1",
    });
    let overlay = toml::to_string(&json!({"providers": {"kimi": {"cli": {"env": places}}}})).unwrap();
    trusting(vendors).search(old).search(clis()).config("providers.d/standin.toml", &overlay)
}

#[test]
fn old_kimi_logs_in_by_device_code() {
    let Some(old) = optional("kimi-cli") else { return };
    inside(async |vendors| {
        let daemon = old_kimi(&vendors, &old).start();
        let id = start(&daemon, json!({"providerId": "kimi"})).await;
        shows_its_code(&daemon, &id).await;
        vendors.approve();
        let done = daemon.ended(&id).await;
        let dir = is_stored(&daemon, &done, "kimi", &Value::Null).await;
        assert_eq!(
            named(&daemon.home, |name| name == "kimi-code.json"),
            [dir.join("credentials/kimi-code.json")]
        );
        stop(daemon, &[&id]);
    });
}

/// The CLI reports the refusal as a line of JSON about waiting, and would continue.
#[test]
fn old_kimi_login_gives_a_plain_error_and_leaves_nothing_when_it_is_denied() {
    let Some(old) = optional("kimi-cli") else { return };
    inside(async |vendors| {
        vendors.deny();
        let daemon = old_kimi(&vendors, &old).start();
        let id = start(&daemon, json!({"providerId": "kimi"})).await;
        let ended = daemon.ended(&id).await;
        assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("denied")), "{ended}");
        assert!(!ended["error"].as_str().unwrap().contains(['{', '"']), "{ended}");
        nothing_is_left(&daemon, &id).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn kimi_login_fails_as_retired_when_the_cli_is_the_last_kimi_cli() {
    let Some(tombstone) = optional("kimi-tombstone") else { return };
    let daemon = Home::offline().search(tombstone).start();
    let id = start(&daemon, json!({"providerId": "kimi"})).await;
    let ended = daemon.ended(&id).await;
    assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("cli_retired")), "{ended}");
    assert!(ended["error"].as_str().unwrap().contains("kimi-cli is no longer maintained"), "{ended}");
    assert!(ended["hint"].as_str().unwrap().contains("npm install -g @moonshot-ai/kimi-code"), "{ended}");
    nothing_is_left(&daemon, &id).await;
    // The same program is not Kimi Code, although it has the same name.
    let (code, data) = daemon.refused("auth.start", json!({"providerId": "kimi-code"})).await;
    assert_eq!(code, 1001, "{data}");
}
