//! Grok: its browser login, whose identity token has a signature, and its device login.

use serde_json::{Value, json};

use super::seen::{CANARY, Launch, logs_out, only_the_login_is_sent, stored};
use super::{browse, home_at, nothing_is_left, page, paste, refuses, start, stop};
use crate::standin::Standin;
use crate::support::namespace::inside;
use crate::support::{Daemon, optional};

fn ada() -> (Value, Value) {
    (json!("ada@example.com"), json!("acct-standin-1"))
}

/// Starts the browser login, and returns the session and the address where the browser ends.
async fn consent(vendors: &Standin, daemon: &Daemon) -> (String, url::Url) {
    // The name belongs to the CLI; keys of the API are another provider.
    let id = start(daemon, json!({"providerId": "grok"})).await;
    let address = page(daemon, &id).await;
    assert_eq!((address.host_str(), address.path()), (Some("auth.x.ai"), "/oauth2/authorize"));
    (id, vendors.consent(&address))
}

#[test]
fn grok_logs_in_by_the_browser_and_logs_out() {
    let Some(grok) = optional("grok") else { return };
    inside(async |vendors| {
        let daemon = home_at(&vendors).search(&grok).start();
        let (id, callback) = consent(&vendors, &daemon).await;
        browse(&callback);
        let done = daemon.ended(&id).await;
        let dir = stored(&daemon, &done, "grok", ada()).await;
        logs_out(&daemon, &done, dir.join("auth.json")).await;
        stop(daemon, &[&id]);
    });
}

#[test]
fn grok_logs_in_by_a_pasted_address() {
    let Some(grok) = optional("grok") else { return };
    inside(async |vendors| {
        let daemon = home_at(&vendors).search(&grok).start();
        let (id, callback) = consent(&vendors, &daemon).await;
        refuses(&daemon, &id, callback.as_str().replace("state=", "state=x")).await;
        assert_eq!(paste(&daemon, &id, callback.to_string()).await, json!({"success": true}));
        let done = daemon.ended(&id).await;
        stored(&daemon, &done, "grok", ada()).await;
        stop(daemon, &[&id]);
    });
}

#[test]
fn grok_logs_in_by_device_code_and_launches_by_its_own_login() {
    let Some(grok) = optional("grok") else { return };
    inside(async |vendors| {
        let daemon = home_at(&vendors).search(&grok).start();
        let id = start(&daemon, json!({"providerId": "grok", "recipe": "device-auth"})).await;
        let shown = daemon.session(&id, |session| session["status"] == "code-emitted").await;
        let page = "https://accounts.x.ai/oauth2/device?user_code=GROK-0001";
        assert_eq!(
            (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
            (&json!("GROK-0001"), &json!(page), &json!(true))
        );
        vendors.approve();
        let done = daemon.ended(&id).await;
        stored(&daemon, &done, "grok", ada()).await;
        let own = json!({"https://auth.x.ai::b1a00492-073a-47ea-816f-4c329264a828": {
            "key": CANARY, "auth_mode": "oidc", "refresh_token": CANARY, "expires_at": "2099-01-01T00:00:00Z",
        }});
        let launch = Launch {
            provider: "grok",
            program: grok.join("grok"),
            args: &["-p", "hi", "--max-turns", "1"],
            request: "POST cli-chat-proxy.grok.com/v1/responses",
            hosts: &["x.ai", "grok.com"],
            own: (".grok/auth.json", own),
        };
        only_the_login_is_sent(&vendors, &daemon, done["bundleId"].as_str().unwrap(), &launch).await;
        stop(daemon, &[&id]);
    });
}

#[test]
fn grok_login_leaves_nothing_when_it_is_denied() {
    let Some(grok) = optional("grok") else { return };
    inside(async |vendors| {
        vendors.deny();
        let daemon = home_at(&vendors).search(&grok).start();
        let id = start(&daemon, json!({"providerId": "grok", "recipe": "device-auth"})).await;
        let ended = daemon.ended(&id).await;
        assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("denied")), "{ended}");
        nothing_is_left(&daemon, &id).await;
    });
}
