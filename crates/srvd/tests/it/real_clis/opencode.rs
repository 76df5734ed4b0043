//! `opencode`: its browser login and its device login.

use serde_json::{Value, json};

use super::{home_at, is_stored, named, page, paste, start, stop};
use crate::support::Daemon;
use crate::support::namespace::inside;

async fn is_logged_in(daemon: Daemon, session: &str) {
    let done = daemon.ended(session).await;
    let dir = is_stored(&daemon, &done, "opencode", &Value::Null).await;
    assert_eq!(named(&daemon.home, |name| name == "auth.json"), [dir.join("opencode/auth.json")]);
    assert!(!daemon.log().contains("planted-code"));
    stop(daemon, &[session]);
}

#[test]
fn opencode_logs_in_by_a_pasted_address() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "opencode", "recipe": "openai"})).await;
        let address = vendors.consent(&page(&daemon, &id).await);
        assert_eq!(paste(&daemon, &id, address.to_string()).await, json!({"success": true}));
        is_logged_in(daemon, &id).await;
    });
}

#[test]
fn opencode_logs_in_by_device_code() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "opencode", "recipe": "openai-device"})).await;
        let shown = daemon.session(&id, |session| session["status"] == "code-emitted").await;
        assert_eq!(
            (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
            (&json!("ABCD-00001"), &json!("https://auth.openai.com/codex/device"), &json!(true))
        );
        vendors.approve();
        is_logged_in(daemon, &id).await;
    });
}
